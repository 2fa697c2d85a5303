"""EKS add-ons as pulumi-eks configures them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

VPC_CNI_ENVIRONMENT = {
    "AWS_VPC_ENI_MTU": "9001",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "false",
    "AWS_VPC_K8S_CNI_EXTERNALSNAT": "false",
    "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG",
    "AWS_VPC_K8S_CNI_LOG_FILE": "/host/var/log/aws-routed-eni/ipamd.log",
    "AWS_VPC_K8S_CNI_VETHPREFIX": "eni",
    "AWS_VPC_K8S_PLUGIN_LOG_FILE": "/var/log/aws-routed-eni/plugin.log",
    "AWS_VPC_K8S_PLUGIN_LOG_LEVEL": "DEBUG",
    "ENABLE_POD_ENI": "false",
    "WARM_ENI_TARGET": "1",
}
VPC_CNI_INIT_ENVIRONMENT = {"DISABLE_TCP_EARLY_DEMUX": "false"}


class VpcCniAddon(pulumi.ComponentResource):
    """The component `eks:index:VpcCniAddon`: the network plugin, which enforces network policies if configured to."""

    def __init__(
        self,
        name: str,
        *,
        cluster_name: pulumi.Input[str],
        options: Mapping[str, Any],
        tags: pulumi.Input[dict[str, str]] | None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("eks:index:VpcCniAddon", name, None, opts)
        values = pulumi.Output.all(
            options.get("enableNetworkPolicy"), pulumi.Output.from_input(options.get("configurationValues"))
        ).apply(lambda given: vpc_cni_values(given[0], given[1] or {}))
        self.addon = aws.eks.Addon(
            name,
            cluster_name=cluster_name,
            addon_name="vpc-cni",
            addon_version=options["addonVersion"],
            configuration_values=values.apply(sorted_json),
            preserve=True,
            resolve_conflicts_on_create=options.get("resolveConflictsOnCreate") or "OVERWRITE",
            resolve_conflicts_on_update=options.get("resolveConflictsOnUpdate") or "OVERWRITE",
            service_account_role_arn=options.get("serviceAccountRoleArn"),
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"addon": self.addon})


def vpc_cni_values(enable_network_policy: bool | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The add-on's configuration: the given values over pulumi-eks' defaults."""
    values = dict(given)
    if enable_network_policy is not None:
        values.setdefault("enableNetworkPolicy", "true" if enable_network_policy else "false")
    values["env"] = {**VPC_CNI_ENVIRONMENT, **values.get("env", {})}
    init = values.get("init", {})
    values["init"] = {**init, "env": {**VPC_CNI_INIT_ENVIRONMENT, **init.get("env", {})}}
    return values


def plain_addon(
    name: str,
    addon: str,
    *,
    cluster_name: pulumi.Input[str],
    options: Mapping[str, Any],
    tags: pulumi.Input[dict[str, str]] | None,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
) -> aws.eks.Addon:
    """An add-on that stays in the cluster when the resource goes, as pulumi-eks has all of them."""
    configured = options.get("configurationValues")
    return aws.eks.Addon(
        f"{name}-{addon}",
        cluster_name=cluster_name,
        addon_name=addon,
        addon_version=options["version"],
        configuration_values=pulumi.Output.from_input(configured).apply(sorted_json) if configured else None,
        preserve=True,
        resolve_conflicts_on_create=options.get("resolveConflictsOnCreate") or "OVERWRITE",
        resolve_conflicts_on_update=options.get("resolveConflictsOnUpdate") or "OVERWRITE",
        tags=tags,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on)),
    )


def sorted_json(values: object) -> str:
    """JSON without blanks and with sorted keys, so that the same values are the same text."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
