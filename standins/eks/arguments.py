"""Validation of the inputs of `eks:index:Cluster`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
from pulumi.errors import InputPropertyErrorDetails

ADDON = {
    "enabled": None,
    "version": None,
    "configurationValues": ...,
    "resolveConflictsOnCreate": None,
    "resolveConflictsOnUpdate": None,
}
VPC_CNI = {
    "addonVersion": None,
    "configurationValues": ...,
    "enableNetworkPolicy": None,
    "resolveConflictsOnCreate": None,
    "resolveConflictsOnUpdate": None,
    "serviceAccountRoleArn": None,
}
KNOWN: dict[str, Any] = {
    "accessEntries": {
        "*": {
            "principalArn": None,
            "type": None,
            "username": None,
            "kubernetesGroups": ...,
            "tags": ...,
            "accessPolicies": {"*": {"policyArn": None, "accessScope": {"type": None, "namespaces": ...}}},
        }
    },
    "authenticationMode": None,
    "autoMode": {
        "enabled": None,
        "createNodeRole": None,
        "computeConfig": {"nodePools": ..., "nodeRoleArn": None},
    },
    "bootstrapSelfManagedAddons": None,
    "clusterSecurityGroup": ...,
    "clusterSecurityGroupTags": ...,
    "clusterTags": ...,
    "corednsAddonOptions": ADDON,
    "createOidcProvider": None,
    "deletionProtection": None,
    "enabledClusterLogTypes": ...,
    "encryptionConfigKeyArn": None,
    "endpointPrivateAccess": None,
    "endpointPublicAccess": None,
    "ipFamily": None,
    "kubeProxyAddonOptions": ADDON,
    "kubernetesServiceIpAddressRange": None,
    "name": None,
    "nodeAssociatePublicIpAddress": None,
    "nodeSecurityGroupTags": ...,
    "privateSubnetIds": ...,
    "providerCredentialOpts": {"profileName": None, "roleArn": None},
    "publicAccessCidrs": ...,
    "publicSubnetIds": ...,
    "serviceRole": ...,
    "skipDefaultNodeGroup": None,
    "skipDefaultSecurityGroups": None,
    "subnetIds": ...,
    "tags": ...,
    "upgradePolicy": {"supportType": None},
    "useDefaultVpcCni": None,
    "version": None,
    "vpcCniOptions": VPC_CNI,
    "vpcId": None,
}
"""Property -> the properties inside it; None for a plain value, ... for a value that is passed on unchanged."""


def checked(inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs without empty ones. Raises pulumi.InputPropertiesError with all their faults."""
    inputs = {name: value for name, value in inputs.items() if value is not None}
    wrong = [*_unknown(inputs, KNOWN, ""), *_refused(inputs)]
    if wrong:
        # The engine shows only this text of an error in a component's inputs.
        text = "; ".join(f"{path}: {reason}" for path, reason in wrong)
        details: list[InputPropertyErrorDetails] = [{"property_path": path, "reason": why} for path, why in wrong]
        raise pulumi.InputPropertiesError(text, details)
    return inputs


def _unknown(value: Any, known: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(known, dict) or not isinstance(value, Mapping):
        return
    for name, inner in value.items():
        here = f"{path}.{name}" if path else name
        if "*" in known:
            yield from _unknown(inner, known["*"], here)
        elif name in known:
            yield from _unknown(inner, known[name], here)
        elif inner is not None:
            yield here, "the eks stand-in has no mapping for it: leave it out, or use the official plugin"


def _refused(inputs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    auto = is_auto(inputs)
    if inputs.get("authenticationMode") != "API":
        yield "authenticationMode", "the eks stand-in writes no aws-auth ConfigMap: set it to API"
    if not inputs.get("skipDefaultNodeGroup"):
        yield "skipDefaultNodeGroup", "the eks stand-in makes no self-managed node group: set it to true"
    if "vpcId" not in inputs:
        yield "vpcId", "the eks stand-in knows no default VPC: name one"
    if "subnetIds" in inputs and ("publicSubnetIds" in inputs or "privateSubnetIds" in inputs):
        yield "subnetIds", "mutually exclusive with publicSubnetIds and privateSubnetIds: choose a single approach"
    if not {"subnetIds", "publicSubnetIds", "privateSubnetIds"} & set(inputs):
        yield "subnetIds", "missing: name the cluster's subnets"
    if inputs.get("publicAccessCidrs") and inputs.get("endpointPublicAccess") is False:
        yield "publicAccessCidrs", "`publicAccessCidrs` can only be set when `endpointPublicAccess` is true"
    versions = {
        "kubeProxyAddonOptions": ("version", has_kube_proxy(inputs, auto)),
        "corednsAddonOptions": ("version", has_coredns(inputs, auto)),
        "vpcCniOptions": ("addonVersion", has_vpc_cni(inputs, auto)),
    }
    for options, (key, wanted) in versions.items():
        if wanted and key not in (inputs.get(options) or {}):
            yield f"{options}.{key}", "the newest version of an add-on is not known here: pin one"


def is_auto(inputs: Mapping[str, Any]) -> bool:
    """Whether the cluster uses EKS Auto Mode."""
    return bool((inputs.get("autoMode") or {}).get("enabled"))


def has_kube_proxy(inputs: Mapping[str, Any], auto: bool) -> bool:
    """Whether pulumi-eks makes the add-on kube-proxy."""
    enabled = (inputs.get("kubeProxyAddonOptions") or {}).get("enabled")
    return not auto if enabled is None else bool(enabled)


def has_vpc_cni(inputs: Mapping[str, Any], auto: bool) -> bool:
    """Whether pulumi-eks makes the add-on vpc-cni."""
    default = inputs.get("useDefaultVpcCni")
    return not auto if default is None else not default


def has_coredns(inputs: Mapping[str, Any], auto: bool) -> bool:
    """Whether pulumi-eks makes the add-on coredns: without its default node group, only if it is enabled."""
    options = inputs.get("corednsAddonOptions") or {}
    if options.get("enabled") is True or options.get("configurationValues"):
        return True
    return auto and options.get("enabled") is not False
