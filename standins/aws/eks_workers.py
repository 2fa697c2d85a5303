"""AWS stand-in: what runs in an EKS cluster from its first minute: managed node groups and add-ons."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from standins.aws.eks import MISSING, wait_until_active
from standins.aws.kind import REGION, TAGS, AwsKind, autoname, changed
from standins.aws.tagging import update_tags
from standins.provider import Property, Values

_UNSUPPORTED = Property(unsupported=True)
MAX_GROUP_NAME = 63
MAX_GROUP_PREFIX = MAX_GROUP_NAME - 26
"""What the official provider appends to a prefix has 26 characters."""


class NodeGroup(AwsKind):
    """A managed node group. Other instance types are another group."""

    token = "aws:eks/nodeGroup:NodeGroup"  # noqa: S105 - a type's name
    autonamed = "nodeGroupName"
    properties = {
        "amiType": Property(computed=True, replaces=True),
        "capacityType": Property(computed=True, replaces=True),
        "clusterName": Property(required=True, replaces=True),
        "diskSize": Property(int, computed=True, replaces=True),
        "forceUpdateVersion": Property(bool, ignored=True),
        "instanceTypes": Property(list, of=str, computed=True, replaces=True),
        "labels": Property(dict, of=str),
        "launchTemplate": Property(
            dict,
            of={
                "id": Property(computed=True),
                "name": Property(computed=True),
                "version": Property(required=True),
            },
        ),
        "nodeGroupName": Property(computed=True, replaces=True),
        "nodeGroupNamePrefix": Property(computed=True, replaces=True),
        "nodeRepairConfig": Property(dict, computed=True, of={"enabled": Property(bool)}),
        "nodeRoleArn": Property(required=True, replaces=True),
        "releaseVersion": Property(computed=True),
        "remoteAccess": _UNSUPPORTED,
        "scalingConfig": Property(
            dict,
            required=True,
            of={
                "desiredSize": Property(int, required=True),
                "maxSize": Property(int, required=True),
                "minSize": Property(int, required=True),
            },
        ),
        "subnetIds": Property(list, of=str, required=True, unordered=True, replaces=True),
        "taints": Property(
            list,
            unordered=True,
            of={"effect": Property(required=True), "key": Property(required=True), "value": Property()},
        ),
        "updateConfig": Property(
            dict,
            computed=True,
            of={"maxUnavailable": Property(int), "maxUnavailablePercentage": Property(int)},
        ),
        "version": Property(computed=True),
        "warmPoolConfig": _UNSUPPORTED,
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "resources", "status")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        if prefix := inputs.get("nodeGroupNamePrefix"):
            if inputs.get("nodeGroupName") is None and isinstance(prefix, str):
                inputs["nodeGroupName"] = f"{prefix}{seed.hex()}"[:MAX_GROUP_NAME]
            if isinstance(prefix, str) and len(prefix) > MAX_GROUP_PREFIX:
                reason = f"expected length to be in the range (0 - {MAX_GROUP_PREFIX}), got {len(prefix)}"
                yield "nodeGroupNamePrefix", reason
        else:
            autoname(inputs, name, seed, most=MAX_GROUP_NAME, key="nodeGroupName")
        yield from super().check(name, inputs, seed)

    def replaces(self, name: str, state: Values, inputs: Values) -> bool:
        if name == "launchTemplate":
            old, new = state.get(name) or {}, inputs.get(name) or {}
            other = any(key in new and new[key] != old.get(key) for key in ("id", "name"))
            return not old or not new or other
        return super().replaces(name, state, inputs)

    def create(self, inputs: Values) -> tuple[str, Values]:
        self.aws.call(
            "eks",
            "create_nodegroup",
            clusterName=inputs["clusterName"],
            nodegroupName=inputs["nodeGroupName"],
            scalingConfig=inputs["scalingConfig"],
            diskSize=inputs.get("diskSize"),
            subnets=inputs["subnetIds"],
            instanceTypes=inputs.get("instanceTypes"),
            amiType=inputs.get("amiType"),
            nodeRole=inputs["nodeRoleArn"],
            labels=inputs.get("labels"),
            taints=inputs.get("taints"),
            launchTemplate=inputs.get("launchTemplate"),
            updateConfig=inputs.get("updateConfig"),
            nodeRepairConfig=inputs.get("nodeRepairConfig"),
            capacityType=inputs.get("capacityType"),
            version=inputs.get("version"),
            releaseVersion=inputs.get("releaseVersion"),
            tags=inputs["tagsAll"],
        )
        place = {"clusterName": inputs["clusterName"], "nodegroupName": inputs["nodeGroupName"]}
        wait_until_active(self.aws, "describe_nodegroup", "nodegroup", **place)
        return self.made(f"{inputs['clusterName']}:{inputs['nodeGroupName']}", inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        cluster, _, name = identifier.partition(":")
        answer = self.aws.find("eks", "describe_nodegroup", MISSING, clusterName=cluster, nodegroupName=name)
        if answer is None:
            return None
        group = answer["nodegroup"]
        keys = ("amiType", "capacityType", "clusterName", "instanceTypes", "releaseVersion", "scalingConfig", "status")
        return identifier, {
            **{key: group[key] for key in (*keys, "updateConfig", "nodeRepairConfig", "version")},
            "arn": group["nodegroupArn"],
            "diskSize": group.get("diskSize", 0),
            "labels": group.get("labels") or {},
            "launchTemplate": group.get("launchTemplate"),
            "nodeGroupName": group["nodegroupName"],
            "nodeGroupNamePrefix": state.get("nodeGroupNamePrefix", ""),
            "nodeRoleArn": group["nodeRole"],
            "region": self.aws.region,
            "resources": [
                {
                    "autoscalingGroups": group["resources"]["autoScalingGroups"],
                    "remoteAccessSecurityGroupId": group["resources"].get("remoteAccessSecurityGroup", ""),
                }
            ],
            "subnetIds": group["subnets"],
            "taints": group.get("taints") or [],
            **self.tag_state(group.get("tags") or {}, state),
        }

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        return ("releaseVersion",) if "version" in changed else ()

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        place = {"clusterName": inputs["clusterName"], "nodegroupName": inputs["nodeGroupName"]}
        if changed(self, state, inputs, "version", "releaseVersion", "launchTemplate"):
            template = inputs.get("launchTemplate") if changed(self, state, inputs, "launchTemplate") else None
            self.aws.call(
                "eks",
                "update_nodegroup_version",
                **place,
                version=inputs.get("version") if changed(self, state, inputs, "version") else None,
                releaseVersion=inputs.get("releaseVersion") if changed(self, state, inputs, "releaseVersion") else None,
                launchTemplate=template,
                force=inputs.get("forceUpdateVersion"),
            )
            wait_until_active(self.aws, "describe_nodegroup", "nodegroup", **place)
        if changed(self, state, inputs, "labels", "scalingConfig", "taints", "updateConfig", "nodeRepairConfig"):
            old, new = state.get("labels") or {}, inputs.get("labels") or {}
            before, after = state.get("taints") or [], inputs.get("taints") or []
            named = {(taint["key"], taint["effect"]) for taint in after}
            gone = [taint for taint in before if (taint["key"], taint["effect"]) not in named]
            self.aws.call(
                "eks",
                "update_nodegroup_config",
                **place,
                labels={"addOrUpdateLabels": new, "removeLabels": [key for key in old if key not in new]},
                taints={"addOrUpdateTaints": after or None, "removeTaints": gone or None},
                scalingConfig=inputs["scalingConfig"],
                updateConfig=inputs.get("updateConfig"),
                nodeRepairConfig=inputs.get("nodeRepairConfig"),
            )
            wait_until_active(self.aws, "describe_nodegroup", "nodegroup", **place)
        update_tags(self.aws, "eks", state["arn"], state["tagsAll"], inputs["tagsAll"])
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        cluster, _, name = identifier.partition(":")
        self.aws.find("eks", "delete_nodegroup", MISSING, clusterName=cluster, nodegroupName=name)


class Addon(AwsKind):
    """An EKS add-on."""

    token = "aws:eks/addon:Addon"  # noqa: S105 - a type's name
    properties = {
        "addonName": Property(required=True, replaces=True),
        "addonVersion": Property(computed=True),
        "clusterName": Property(required=True, replaces=True),
        "configurationValues": Property(computed=True),
        "namespaceConfig": _UNSUPPORTED,
        "podIdentityAssociations": Property(
            list,
            unordered=True,
            of={"roleArn": Property(required=True), "serviceAccount": Property(required=True)},
        ),
        "preserve": Property(bool),
        "resolveConflictsOnCreate": Property(choices=("NONE", "OVERWRITE")),
        "resolveConflictsOnUpdate": Property(choices=("NONE", "OVERWRITE", "PRESERVE")),
        "serviceAccountRoleArn": Property(),
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "createdAt", "modifiedAt")

    def same(self, name: str, old: Any, new: Any) -> bool:
        if name == "configurationValues" and old and new:
            return _parsed(old) == _parsed(new)
        return False

    def create(self, inputs: Values) -> tuple[str, Values]:
        place = {"clusterName": inputs["clusterName"], "addonName": inputs["addonName"]}
        self.aws.call(
            "eks",
            "create_addon",
            **place,
            addonVersion=inputs.get("addonVersion"),
            configurationValues=inputs.get("configurationValues"),
            podIdentityAssociations=inputs.get("podIdentityAssociations"),
            resolveConflicts=inputs.get("resolveConflictsOnCreate"),
            serviceAccountRoleArn=inputs.get("serviceAccountRoleArn"),
            tags=inputs["tagsAll"],
        )
        wait_until_active(self.aws, "describe_addon", "addon", **place)
        return self.made(f"{place['clusterName']}:{place['addonName']}", inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        cluster, _, name = identifier.partition(":")
        answer = self.aws.find("eks", "describe_addon", MISSING, clusterName=cluster, addonName=name)
        if answer is None:
            return None
        addon = answer["addon"]
        kept = ("preserve", "resolveConflictsOnCreate", "resolveConflictsOnUpdate")
        return identifier, {
            **{key: state.get(key) for key in kept},
            **{key: addon[key] for key in ("addonName", "addonVersion", "clusterName")},
            "arn": addon["addonArn"],
            "configurationValues": addon.get("configurationValues", ""),
            "createdAt": addon["createdAt"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "modifiedAt": addon["modifiedAt"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "podIdentityAssociations": [
                self._pod_identity(cluster, arn) for arn in addon.get("podIdentityAssociations") or []
            ],
            "region": self.aws.region,
            "serviceAccountRoleArn": addon.get("serviceAccountRoleArn", ""),
            **self.tag_state(addon.get("tags") or {}, state),
        }

    def _pod_identity(self, cluster: str, arn: str) -> Values:
        identifier = arn.rpartition("/")[2]
        method = "describe_pod_identity_association"
        found = self.aws.call("eks", method, clusterName=cluster, associationId=identifier)["association"]
        return {"roleArn": found["roleArn"], "serviceAccount": found["serviceAccount"]}

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        return ("modifiedAt",)

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        place = {"clusterName": inputs["clusterName"], "addonName": inputs["addonName"]}
        names = ("addonVersion", "configurationValues", "podIdentityAssociations", "serviceAccountRoleArn")
        if changed(self, state, inputs, *names):
            self.aws.call(
                "eks",
                "update_addon",
                **place,
                addonVersion=inputs.get("addonVersion"),
                configurationValues=inputs.get("configurationValues"),
                podIdentityAssociations=inputs.get("podIdentityAssociations") or [],
                resolveConflicts=inputs.get("resolveConflictsOnUpdate"),
                serviceAccountRoleArn=inputs.get("serviceAccountRoleArn"),
            )
            wait_until_active(self.aws, "describe_addon", "addon", **place)
        update_tags(self.aws, "eks", state["arn"], state["tagsAll"], inputs["tagsAll"])
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        cluster, _, name = identifier.partition(":")
        preserve = state.get("preserve")
        self.aws.find("eks", "delete_addon", MISSING, clusterName=cluster, addonName=name, preserve=preserve)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


KINDS = (NodeGroup, Addon)
