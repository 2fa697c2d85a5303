"""Add-ons: which there are, and how they are configured. Nothing of them runs on the platform."""

from __future__ import annotations

import json
import re
import uuid

from moto.core.utils import utcnow

from standins.moto.eks.access import Access
from standins.moto.eks.errors import EksError, refuse
from standins.moto.eks.references import Values

NEWEST = {
    "vpc-cni": "v1.21.1-eksbuild.1",
    "coredns": "v1.13.1-eksbuild.1",
    "eks-pod-identity-agent": "v1.3.10-eksbuild.1",
    "aws-ebs-csi-driver": "v1.53.0-eksbuild.1",
    "aws-efs-csi-driver": "v2.1.13-eksbuild.1",
    "snapshot-controller": "v8.3.0-eksbuild.1",
    "metrics-server": "v0.8.0-eksbuild.3",
    "eks-node-monitoring-agent": "v1.4.2-eksbuild.1",
    "amazon-cloudwatch-observability": "v4.6.0-eksbuild.1",
    "aws-guardduty-agent": "v1.12.1-eksbuild.2",
    "cert-manager": "v1.19.1-eksbuild.1",
    "external-dns": "v0.19.0-eksbuild.2",
    "kube-state-metrics": "v2.17.0-eksbuild.4",
    "prometheus-node-exporter": "v1.10.2-eksbuild.1",
}
"""The newest version of each add-on here, which is its default. Older ones are offered, too."""


def newest(name: str, kubernetes: str) -> str:
    """The newest version for a version of Kubernetes. kube-proxy has that of Kubernetes."""
    if name == "kube-proxy":
        return f"v{kubernetes}.0-eksbuild.2"
    if name not in NEWEST:
        raise refuse(f"Addon {name} specified is not supported in {kubernetes} kubernetes version")
    return NEWEST[name]


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


NAMESPACES = {"amazon-cloudwatch-observability": "amazon-cloudwatch", "cert-manager": "cert-manager"}
"""Where an add-on's service accounts are, if not in kube-system."""


class Addons(Access):
    """Operations on add-ons."""

    def create_addon(self, given: Values) -> Values:
        cluster = self.cluster(given["clusterName"])
        name = given["addonName"]
        newest(name, cluster["version"])
        if name in cluster["_addons"]:
            raise EksError("ResourceInUseException", "Addon already exists.")
        if given.get("namespaceConfig"):
            raise refuse("namespaceConfig: this platform has nothing that would act on it: leave it out")
        _check(given, cluster["version"])
        if not given.get("addonVersion"):
            raise refuse(f"addonVersion: this platform has no catalogue of the versions of {name}: name one")
        now = utcnow()
        arn = self.arn(f"addon/{cluster['name']}/{name}/{uuid.uuid4()}")
        made: Values = {
            "addonName": name,
            "clusterName": cluster["name"],
            "status": "ACTIVE",
            "addonVersion": given["addonVersion"],
            "health": {"issues": []},
            "addonArn": arn,
            "createdAt": now,
            "modifiedAt": now,
            "tags": given.get("tags") or {},
            "publisher": "eks",
            "owner": "aws",
            "podIdentityAssociations": [],
        }
        if given.get("configurationValues"):
            made["configurationValues"] = given["configurationValues"]
        if given.get("serviceAccountRoleArn"):
            self.references.role(given["serviceAccountRoleArn"])
            made["serviceAccountRoleArn"] = given["serviceAccountRoleArn"]
        self._associate(made, given.get("podIdentityAssociations") or [])
        cluster["_addons"][name] = made
        return {"addon": made}

    def _associate(self, addon: Values, wanted: list[Values]) -> None:
        """Pod identities that the add-on owns: exactly these."""
        associations = self.cluster(addon["clusterName"])["_associations"]
        for association in list(associations.values()):
            if association.get("ownerArn") == addon["addonArn"]:
                del associations[association["associationId"]]
        addon["podIdentityAssociations"] = [
            self.create_pod_identity_association(
                {
                    "clusterName": addon["clusterName"],
                    "namespace": NAMESPACES.get(addon["addonName"], "kube-system"),
                    "serviceAccount": association["serviceAccount"],
                    "roleArn": association["roleArn"],
                    "_owner": addon["addonArn"],
                }
            )["association"]["associationArn"]
            for association in wanted
        ]

    def _addon(self, given: Values) -> Values:
        addons = self.cluster(given["clusterName"])["_addons"]
        if given["addonName"] not in addons:
            raise EksError("ResourceNotFoundException", f"No addon: {given['addonName']} found in cluster: "
                                   f"{given['clusterName']}")  # fmt: skip
        return addons[given["addonName"]]

    def describe_addon_versions(self, given: Values) -> Values:
        name, kubernetes = given["addonName"], given["kubernetesVersion"]
        offered = {"clusterVersion": kubernetes, "platformVersions": ["*"], "defaultVersion": True}
        version = {"addonVersion": newest(name, kubernetes), "architecture": ["amd64", "arm64"]}
        return {"addons": [{"addonName": name, "addonVersions": [{**version, "compatibilities": [offered]}]}]}

    def describe_addon(self, given: Values) -> Values:
        return {"addon": self._addon(given)}

    def list_addons(self, given: Values) -> Values:
        return {"addons": sorted(self.cluster(given["clusterName"])["_addons"])}

    def delete_addon(self, given: Values) -> Values:
        addon = self._addon(given)
        self._associate(addon, [])
        del self.cluster(given["clusterName"])["_addons"][given["addonName"]]
        return {"addon": {**addon, "status": "DELETING"}}

    def update_addon(self, given: Values) -> Values:
        addon = self._addon(given)
        _check(given, self.cluster(given["clusterName"])["version"])
        # The service account's role is not kept where the request does not name it.
        addon.pop("serviceAccountRoleArn", None)
        if given.get("serviceAccountRoleArn"):
            self.references.role(given["serviceAccountRoleArn"])
            addon["serviceAccountRoleArn"] = given["serviceAccountRoleArn"]
        for key in ("addonVersion", "configurationValues"):
            if given.get(key) is not None:
                addon[key] = given[key]
        if given.get("podIdentityAssociations") is not None:
            self._associate(addon, given["podIdentityAssociations"])
        addon["modifiedAt"] = utcnow()
        return self.updated("AddonUpdate")


def _check(given: Values, kubernetes: str) -> None:
    version = given.get("addonVersion")
    known = version and re.fullmatch(r"v\d+\.\d+\.\d+-eksbuild\.\d+", version)
    if version and not (known and _order(version) <= _order(newest(given["addonName"], kubernetes))):
        raise refuse(f"Addon version specified is not supported: {version}")
    configured = given.get("configurationValues")
    if not configured:
        return
    try:
        values = json.loads(configured)
    except ValueError as error:
        raise refuse(f"ConfigurationValue provided in request is not supported: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise refuse("ConfigurationValue provided in request is not supported: not an object")
    if given["addonName"] == "vpc-cni" and values.get("enableNetworkPolicy", "true") not in ("true", "false"):
        reason = 'Json schema validation failed with error: [$.enableNetworkPolicy: must be "true" or "false"]'
        raise refuse(f"ConfigurationValue provided in request is not supported: {reason}")
