"""EKS of the AWS stand-in: clusters, access to them, node groups and add-ons."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from standins.aws.engine import (
    REGION,
    TAGS,
    AwsKind,
    Call,
    Field,
    Tagging,
    parsed_json,
    value_at,
)
from standins.aws.session import Session
from standins.provider import UNKNOWN, RefusedError, Values

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
MAX_GROUP_NAME = 63
MAX_GROUP_PREFIX = MAX_GROUP_NAME - 26
"""The official provider appends 26 characters to a prefix."""

_SWITCH = {"enabled": Field(bool, computed=True)}


class _Eks(AwsKind):
    service = "eks"
    capitals = False
    missing = ("ResourceNotFoundException",)
    tagging = Tagging(by={"resourceArn": "{arn}"}, tags="tags", keys="tagKeys", pairs=None)

    def settle(self, scope: Values) -> None:
        """Wait as the official provider does. Raises RefusedError with EKS' own reason if a change fails."""
        found = self.find(scope) or {}
        while found.get("status") in ("CREATING", "UPDATING", "PENDING"):
            time.sleep(1)
            found = self.find(scope) or {}
        if found.get("status", "ACTIVE") not in ("ACTIVE", "DEGRADED"):
            raise RefusedError(f"unexpected state {found['status']!r}, wanted target 'ACTIVE': {found.get('health')}")


class Cluster(_Eks):
    """A cluster. A change that EKS can't make replaces it, which deletes everything in it."""

    token = "aws:eks/cluster:Cluster"  # noqa: S105 - a type's name
    properties = {
        "accessConfig": Field(
            dict,
            computed=True,
            of={
                "authenticationMode": Field(computed=True),
                "bootstrapClusterCreatorAdminPermissions": Field(bool, computed=True),
            },
        ),
        "bootstrapSelfManagedAddons": Field(bool, default=True, replaces=True, api=None),
        "computeConfig": Field(
            dict,
            of={
                "enabled": Field(bool),
                "nodePools": Field(list, of=str, unordered=True),
                "nodeRoleArn": Field(),
            },
        ),
        "deletionProtection": Field(bool, computed=True),
        "enabledClusterLogTypes": Field(list, of=str, unordered=True, api=None),
        "encryptionConfig": Field(
            dict,
            single=True,
            of={
                "provider": Field(dict, required=True, of={"keyArn": Field(required=True)}),
                "resources": Field(list, of=str, required=True, unordered=True),
            },
        ),
        "forceUpdateVersion": Field(bool, ignored=True, api=None),
        "kubernetesNetworkConfig": Field(
            dict,
            computed=True,
            of={
                "elasticLoadBalancing": Field(dict, computed=True, of=_SWITCH),
                "ipFamily": Field(computed=True),
                "serviceIpv4Cidr": Field(computed=True),
                "serviceIpv6Cidr": Field(computed=True, unsupported=True),
            },
        ),
        "name": Field(replaces=True),
        "roleArn": Field(required=True, replaces=True),
        "storageConfig": Field(dict, of={"blockStorage": Field(dict, of=_SWITCH)}),
        "upgradePolicy": Field(dict, computed=True, of={"supportType": Field(computed=True)}),
        "version": Field(computed=True),
        "vpcConfig": Field(
            dict,
            required=True,
            api="resourcesVpcConfig",
            of={
                "clusterSecurityGroupId": Field(computed=True, ignored=True, unsupported=True),
                "endpointPrivateAccess": Field(bool, default=False),
                "endpointPublicAccess": Field(bool, default=True),
                "publicAccessCidrs": Field(list, of=str, unordered=True, computed=True),
                "securityGroupIds": Field(list, of=str, unordered=True),
                "subnetIds": Field(list, of=str, required=True, unordered=True),
                "vpcId": Field(computed=True, ignored=True, unsupported=True),
            },
        ),
        **TAGS,
        **REGION,
    }
    outputs = dict.fromkeys(
        ("arn", "certificateAuthority", "createdAt", "endpoint", "identities", "platformVersion", "status"), ""
    )
    longest_name = 100
    identity = "{name}"
    key = {"name": "{id}"}
    creates = Call("create_cluster", {"bootstrapSelfManagedAddons": "{bootstrapSelfManagedAddons}"})
    reads = Call("describe_cluster", answer="cluster")
    # EKS takes one change at a time.
    updates = (
        Call("update_cluster_config", when=("deletionProtection",)),
        Call("update_cluster_config", when=("accessConfig",)),
        Call("update_cluster_version", when=("version",)),
        Call("update_cluster_config", when=("computeConfig", "storageConfig", "kubernetesNetworkConfig")),
        Call("associate_encryption_config", when=("encryptionConfig",)),
        Call("update_cluster_config", when=("enabledClusterLogTypes",)),
        Call("update_cluster_config", when=("upgradePolicy",)),
        Call("update_cluster_config", when=("vpcConfig",)),
    )
    deletes = Call("delete_cluster")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        for kind in inputs.get("enabledClusterLogTypes") or []:
            if isinstance(kind, str) and kind not in LOG_TYPES:
                yield "enabledClusterLogTypes", f"{kind} is none of {', '.join(LOG_TYPES)}"

    def replaces(self, name: str, state: Values, inputs: Values) -> bool:
        old, new = state.get(name) or {}, inputs.get(name) or {}
        if name == "accessConfig" and new is not UNKNOWN:
            key = "bootstrapClusterCreatorAdminPermissions"
            return key in new and new[key] != old.get(key)
        if name == "kubernetesNetworkConfig" and new is not UNKNOWN:
            return any(key in new and new[key] != old.get(key) for key in ("ipFamily", "serviceIpv4Cidr"))
        if name == "encryptionConfig":
            return bool(old)
        return super().replaces(name, state, inputs)

    def creation(self, inputs: Values) -> Values:
        logs = inputs.get("enabledClusterLogTypes")
        setups = {"clusterLogging": [{"types": logs, "enabled": True}]} if logs else None
        return super().creation(inputs) | {"logging": setups}

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        sent = self.arguments(inputs, call.when)
        if call.when == ("accessConfig",):
            sent = {"accessConfig": {"authenticationMode": inputs["accessConfig"]["authenticationMode"]}}
        elif "computeConfig" in call.when:
            balancing = value_at(inputs, "kubernetesNetworkConfig.elasticLoadBalancing") or {"enabled": False}
            sent = {
                "computeConfig": sent["computeConfig"] or {"enabled": False},
                "storageConfig": sent["storageConfig"] or {"blockStorage": {"enabled": False}},
                "kubernetesNetworkConfig": {"elasticLoadBalancing": balancing},
            }
        elif call.when == ("enabledClusterLogTypes",):
            wanted = inputs.get("enabledClusterLogTypes") or []
            rest = [kind for kind in LOG_TYPES if kind not in wanted]
            setups = [{"types": wanted, "enabled": True}, {"types": rest, "enabled": False}]
            sent = {"logging": {"clusterLogging": [setup for setup in setups if setup["types"]]}}
        elif call.when == ("vpcConfig",):
            self._update_network(scope, inputs)
            return
        elif call.when == ("encryptionConfig",):
            self.call(call.operation, clusterName=scope["id"], **sent)
            return
        self.call(call.operation, name=scope["id"], **sent)

    def _update_network(self, scope: Values, inputs: Values) -> None:
        """Change the subnets, then the endpoint's access: EKS takes them as two updates."""
        old, new, declared = scope["vpcConfig"], inputs["vpcConfig"], self.properties["vpcConfig"].of
        assert isinstance(declared, dict)
        for keys in (
            ("subnetIds", "securityGroupIds"),
            ("endpointPrivateAccess", "endpointPublicAccess", "publicAccessCidrs"),
        ):
            if any(declared[key].differs(old.get(key), new.get(key)) for key in keys):
                network = {key: new[key] for key in keys if key in new}
                self.call("update_cluster_config", name=scope["id"], resourcesVpcConfig=network)
                self.settle(scope)

    def describe(self, scope: Values, found: Values) -> Values:
        state = super().describe(scope, found) | {
            "certificateAuthority": found["certificateAuthority"],
            "enabledClusterLogTypes": _enabled_logs(found),
            "identities": _identities(found),
        }
        # Blocks that are in the state only if the program has them or they are enabled.
        if not (value_at(state, "computeConfig.enabled") or scope.get("computeConfig")):
            state["computeConfig"] = None
        if not (value_at(state, "storageConfig.blockStorage.enabled") or scope.get("storageConfig")):
            state["storageConfig"] = None
        return state


def _enabled_logs(cluster: Values) -> list[str]:
    """The kinds of logs that a cluster writes."""
    setups = cluster.get("logging", {}).get("clusterLogging", [])
    return [kind for setup in setups if setup["enabled"] for kind in setup["types"]]


def _identities(cluster: Values) -> list[Values]:
    return [{"oidcs": [{"issuer": cluster["identity"]["oidc"]["issuer"]}]}]


class AccessEntry(_Eks):
    """The access of a principal to a cluster's API."""

    token = "aws:eks/accessEntry:AccessEntry"  # noqa: S105 - a type's name
    properties = {
        "clusterName": Field(required=True, replaces=True),
        "kubernetesGroups": Field(list, of=str, computed=True, unordered=True),
        "principalArn": Field(required=True, replaces=True),
        "type": Field(default="STANDARD", replaces=True),
        "userName": Field(computed=True, api="username"),
        **TAGS,
        **REGION,
    }
    outputs = dict.fromkeys(("accessEntryArn", "createdAt", "modifiedAt"), "")
    moving = {"modifiedAt": ()}
    identity = "{clusterName}:{principalArn}"
    key = {"clusterName": "{clusterName}", "principalArn": "{principalArn}"}
    creates = Call("create_access_entry")
    reads = Call("describe_access_entry", answer="accessEntry")
    updates = (Call("update_access_entry", when=("kubernetesGroups", "userName")),)
    deletes = Call("delete_access_entry")
    tagging = Tagging(by={"resourceArn": "{accessEntryArn}"}, tags="tags", keys="tagKeys", pairs=None)


class AccessPolicyAssociation(_Eks):
    """The rights of a principal in a cluster."""

    token = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"  # noqa: S105 - a type's name
    properties = {
        "accessScope": Field(
            dict,
            required=True,
            replaces=True,
            of={
                "namespaces": Field(list, of=str, unordered=True),
                "type": Field(required=True, choices=("cluster", "namespace")),
            },
        ),
        "clusterName": Field(required=True, replaces=True),
        "policyArn": Field(required=True, replaces=True),
        "principalArn": Field(required=True, replaces=True),
        **REGION,
    }
    outputs = dict.fromkeys(("associatedAt", "modifiedAt"), "")
    identity = "{clusterName}#{principalArn}#{policyArn}"
    key = {"clusterName": "{clusterName}", "principalArn": "{principalArn}", "policyArn": "{policyArn}"}
    creates = Call("associate_access_policy")
    deletes = Call("disassociate_access_policy")

    def find(self, scope: Values) -> Values | None:
        where = {"clusterName": scope["clusterName"], "principalArn": scope["principalArn"]}
        if self.aws.find("eks", "describe_access_entry", self.missing, **where) is None:
            return None
        found = self.aws.list("eks", "list_associated_access_policies", "associatedAccessPolicies", **where)
        return next(({**where, **policy} for policy in found if policy["policyArn"] == scope["policyArn"]), None)


class PodIdentityAssociation(_Eks):
    """The role of a service account's pods."""

    token = "aws:eks/podIdentityAssociation:PodIdentityAssociation"  # noqa: S105 - a type's name
    properties = {
        "clusterName": Field(required=True, replaces=True),
        "disableSessionTags": Field(bool, computed=True),
        "namespace": Field(required=True, replaces=True),
        "policy": Field(),
        "roleArn": Field(required=True),
        "serviceAccount": Field(required=True, replaces=True),
        "targetRoleArn": Field(),
        **TAGS,
        **REGION,
    }
    outputs = dict.fromkeys(("associationArn", "associationId", "externalId"), "")
    imported = "{clusterName},{id}"
    key = {"clusterName": "{clusterName}", "associationId": "{id}"}
    creates = Call("create_pod_identity_association", answer="association.associationId")
    reads = Call("describe_pod_identity_association", answer="association")
    updates = (
        Call(
            "update_pod_identity_association",
            when=("disableSessionTags", "policy", "roleArn", "targetRoleArn"),
        ),
    )
    deletes = Call("delete_pod_identity_association")
    tagging = Tagging(by={"resourceArn": "{associationArn}"}, tags="tags", keys="tagKeys", pairs=None)


class NodeGroup(_Eks):
    """A managed node group. Other instance types are another group."""

    token = "aws:eks/nodeGroup:NodeGroup"  # noqa: S105 - a type's name
    autonamed = "nodeGroupName"
    longest_name = MAX_GROUP_NAME
    properties = {
        "amiType": Field(computed=True, replaces=True),
        "capacityType": Field(computed=True, replaces=True),
        "clusterName": Field(required=True, replaces=True),
        "diskSize": Field(int, computed=True, replaces=True),
        "forceUpdateVersion": Field(bool, ignored=True, api=None),
        "instanceTypes": Field(list, of=str, computed=True, replaces=True),
        "labels": Field(dict, of=str),
        "launchTemplate": Field(
            dict,
            of={
                "id": Field(computed=True),
                "name": Field(computed=True),
                "version": Field(required=True),
            },
        ),
        "nodeGroupName": Field(computed=True, replaces=True, api="nodegroupName"),
        "nodeGroupNamePrefix": Field(computed=True, replaces=True, api=None),
        "nodeRepairConfig": Field(dict, computed=True, of={"enabled": Field(bool)}),
        "nodeRoleArn": Field(required=True, replaces=True, api="nodeRole"),
        "releaseVersion": Field(computed=True),
        "scalingConfig": Field(
            dict,
            required=True,
            of={
                "desiredSize": Field(int, required=True),
                "maxSize": Field(int, required=True),
                "minSize": Field(int, required=True),
            },
        ),
        "subnetIds": Field(list, of=str, required=True, unordered=True, replaces=True, api="subnets"),
        "taints": Field(
            list,
            unordered=True,
            of={"effect": Field(required=True), "key": Field(required=True), "value": Field()},
        ),
        "updateConfig": Field(
            dict,
            computed=True,
            of={"maxUnavailable": Field(int), "maxUnavailablePercentage": Field(int)},
        ),
        "version": Field(computed=True),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "nodegroupArn", "resources": "", "status": ""}
    moving = {"releaseVersion": ("version",)}
    identity = "{clusterName}:{nodeGroupName}"
    key = {"clusterName": "{clusterName}", "nodegroupName": "{nodeGroupName}"}
    creates = Call("create_nodegroup")
    reads = Call("describe_nodegroup", answer="nodegroup")
    updates = (
        Call("update_nodegroup_version", when=("version", "releaseVersion", "launchTemplate")),
        Call("update_nodegroup_config", when=("labels", "scalingConfig", "taints", "updateConfig", "nodeRepairConfig")),
    )
    deletes = Call("delete_nodegroup")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        prefix = inputs.get("nodeGroupNamePrefix")
        if isinstance(prefix, str) and prefix:
            inputs.setdefault("nodeGroupName", f"{prefix}{seed.hex()}"[:MAX_GROUP_NAME])
            if len(prefix) > MAX_GROUP_PREFIX:
                reason = f"expected length to be in the range (0 - {MAX_GROUP_PREFIX}), got {len(prefix)}"
                yield "nodeGroupNamePrefix", reason
        yield from super().check(name, inputs, seed)

    def replaces(self, name: str, state: Values, inputs: Values) -> bool:
        if name == "launchTemplate":
            old, new = state.get(name) or {}, inputs.get(name) or {}
            other = any(key in new and new[key] != old.get(key) for key in ("id", "name"))
            return not old or not new or other
        return super().replaces(name, state, inputs)

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        sent = self.arguments(inputs, call.when)
        if call.operation == "update_nodegroup_version":
            sent = {key: value for key, value in sent.items() if self.changed(scope, inputs, key)}
            sent["force"] = inputs.get("forceUpdateVersion")
        else:
            old, new = scope.get("labels") or {}, inputs.get("labels") or {}
            before, after = scope.get("taints") or [], inputs.get("taints") or []
            named = {(taint["key"], taint["effect"]) for taint in after}
            gone = [taint for taint in before if (taint["key"], taint["effect"]) not in named]
            sent["labels"] = {"addOrUpdateLabels": new, "removeLabels": [key for key in old if key not in new]}
            sent["taints"] = {"addOrUpdateTaints": after or None, "removeTaints": gone or None}
        place = {"clusterName": inputs["clusterName"], "nodegroupName": inputs["nodeGroupName"]}
        self.call(call.operation, **place, **sent)

    def describe(self, scope: Values, found: Values) -> Values:
        resources = found["resources"]
        return super().describe(scope, found) | {
            "diskSize": found.get("diskSize", 0),
            "nodeGroupNamePrefix": scope.get("nodeGroupNamePrefix", ""),
            "resources": [
                {
                    "autoscalingGroups": resources["autoScalingGroups"],
                    "remoteAccessSecurityGroupId": resources.get("remoteAccessSecurityGroup", ""),
                }
            ],
        }


class Addon(_Eks):
    """An EKS add-on."""

    token = "aws:eks/addon:Addon"  # noqa: S105 - a type's name
    properties = {
        "addonName": Field(required=True, replaces=True),
        "addonVersion": Field(computed=True),
        "clusterName": Field(required=True, replaces=True),
        "configurationValues": Field(computed=True),
        "podIdentityAssociations": Field(
            list,
            unordered=True,
            of={"roleArn": Field(required=True), "serviceAccount": Field(required=True)},
        ),
        "preserve": Field(bool, api=None),
        "resolveConflictsOnCreate": Field(choices=("NONE", "OVERWRITE"), api=None),
        "resolveConflictsOnUpdate": Field(choices=("NONE", "OVERWRITE", "PRESERVE"), api=None),
        "serviceAccountRoleArn": Field(),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "addonArn", "createdAt": "", "modifiedAt": ""}
    moving = {"modifiedAt": ()}
    identity = "{clusterName}:{addonName}"
    key = {"clusterName": "{clusterName}", "addonName": "{addonName}"}
    creates = Call("create_addon", {"resolveConflicts": "{resolveConflictsOnCreate}"})
    reads = Call("describe_addon", answer="addon")
    updates = (
        Call(
            "update_addon",
            {"resolveConflicts": "{resolveConflictsOnUpdate}"},
            when=("addonVersion", "configurationValues", "podIdentityAssociations", "serviceAccountRoleArn"),
        ),
    )
    deletes = Call("delete_addon", {"preserve": "{preserve}"})

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "configurationValues" and bool(old and new) and parsed_json(old) == parsed_json(new)

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        super().change(call, scope, {"podIdentityAssociations": [], **inputs})

    def describe(self, scope: Values, found: Values) -> Values:
        method, where = "describe_pod_identity_association", {"clusterName": found["clusterName"]}
        identities = [
            self.call(method, **where, associationId=arn.rpartition("/")[2])["association"]
            for arn in found.get("podIdentityAssociations") or []
        ]
        return super().describe(scope, {**found, "podIdentityAssociations": identities})


def get_cluster(aws: Session, arguments: Values) -> Values:
    """The function getCluster."""
    cluster = aws.call("eks", "describe_cluster", name=arguments["name"])["cluster"]
    network, compute = cluster["kubernetesNetworkConfig"], cluster.get("computeConfig") or {}
    unset = (
        *("controlPlaneScalingConfigs", "kubeApiServerConfigs", "kubeControllerManagerConfigs"),
        *("kubeSchedulerConfigs", "outpostConfigs", "remoteNetworkConfigs", "zonalShiftConfigs"),
    )
    return {
        **{key: cluster[key] for key in ("arn", "endpoint", "name", "platformVersion", "roleArn", "status", "version")},
        **{key: [] for key in unset},
        "id": cluster["name"],
        "accessConfigs": [cluster["accessConfig"]],
        "certificateAuthorities": [cluster["certificateAuthority"]],
        "clusterId": "",
        "computeConfigs": [{"nodeRoleArn": "", **compute}],
        "createdAt": str(cluster["createdAt"]),
        "deletionProtection": cluster["deletionProtection"],
        "enabledClusterLogTypes": _enabled_logs(cluster),
        "identities": _identities(cluster),
        "kubernetesNetworkConfigs": [
            {
                "elasticLoadBalancings": [network["elasticLoadBalancing"]],
                "ipFamily": network["ipFamily"],
                "serviceIpv4Cidr": network["serviceIpv4Cidr"],
                "serviceIpv6Cidr": "",
            }
        ],
        "region": aws.region,
        "storageConfigs": [{"blockStorages": [cluster["storageConfig"]["blockStorage"]]}],
        "tags": cluster.get("tags") or {},
        "upgradePolicies": [cluster["upgradePolicy"]],
        "vpcConfig": cluster["resourcesVpcConfig"],
    }


def get_addon_version(aws: Session, arguments: Values) -> Values:
    """The function getAddonVersion: EKS' default version of an add-on, or the newest."""
    name, version = arguments["addonName"], arguments["kubernetesVersion"]
    found = aws.list("eks", "describe_addon_versions", "addons", addonName=name, kubernetesVersion=version)
    offered = found[0]["addonVersions"]
    if not arguments.get("mostRecent"):
        offered = [each for each in offered if any(where["defaultVersion"] for where in each["compatibilities"])]
    return {**arguments, "id": name, "region": aws.region, "version": offered[0]["addonVersion"]}


def get_clusters(aws: Session, arguments: Values) -> Values:
    """The function getClusters."""
    return {"id": aws.region, "region": aws.region, "names": aws.list("eks", "list_clusters", "clusters")}


def get_node_groups(aws: Session, arguments: Values) -> Values:
    """The function getNodeGroups."""
    cluster = arguments["clusterName"]
    names = aws.list("eks", "list_nodegroups", "nodegroups", clusterName=cluster)
    return {"id": cluster, "region": aws.region, "clusterName": cluster, "names": names}


def get_node_group(aws: Session, arguments: Values) -> Values:
    """The function getNodeGroup."""
    where = {"clusterName": arguments["clusterName"], "nodegroupName": arguments["nodeGroupName"]}
    group = aws.call("eks", "describe_nodegroup", **where)["nodegroup"]
    known = ("amiType", "capacityType", "clusterName", "instanceTypes", "labels", "releaseVersion", "status", "version")
    return {
        **{key: group[key] for key in known},
        "id": f"{group['clusterName']}:{group['nodegroupName']}",
        "arn": group["nodegroupArn"],
        "nodeGroupName": group["nodegroupName"],
        "nodeRoleArn": group["nodeRole"],
        "diskSize": group.get("diskSize", 0),
        "region": aws.region,
        "subnetIds": group["subnets"],
        "tags": group["tags"],
        "taints": group["taints"],
        "scalingConfigs": [group["scalingConfig"]],
        "updateConfigs": [],
        "launchTemplates": [],
        "remoteAccesses": [],
        "resources": [],
        "warmPoolConfigs": [],
    }


KINDS = (Cluster, AccessEntry, AccessPolicyAssociation, PodIdentityAssociation, NodeGroup, Addon)
