"""Managed node groups. The nodes themselves are the platform's simulated ones."""

from __future__ import annotations

import re
import uuid

from moto.core.utils import utcnow

from standins.moto.eks.clusters import Clusters
from standins.moto.eks.errors import EksError, refuse
from standins.moto.eks.references import Values
from standins.moto.ssm import FIRST_RELEASE

X86 = "AL2023_x86_64_STANDARD"


class NodeGroups(Clusters):
    """Operations on node groups."""

    def create_nodegroup(self, given: Values) -> Values:
        cluster = self.cluster(given["clusterName"])
        name = given["nodegroupName"]
        if name in cluster["_nodeGroups"]:
            reason = f"NodeGroup already exists with name {name} and cluster name {cluster['name']}"
            raise EksError("ResourceInUseException", reason)
        for unknown in ("remoteAccess", "warmPoolConfig"):
            if given.get(unknown):
                raise refuse(f"{unknown}: this platform has nothing that would act on it: leave it out")
        self.references.role(given["nodeRole"], "ec2.amazonaws.com")
        subnets = self.references.subnets(given["subnets"])
        if subnets[0].vpc_id != cluster["resourcesVpcConfig"]["vpcId"]:
            raise refuse("Subnets are not in the VPC of the cluster")
        types = given.get("instanceTypes") or ["t3.medium"]
        image = given.get("amiType") or X86
        for instance in types:
            if _is_arm(instance) != ("ARM" in image):
                raise refuse(f"[{instance}] is not a valid instance type for requested amiType {image}")
        scaling = _scaling(given.get("scalingConfig") or {"minSize": 1, "maxSize": 2, "desiredSize": 2})
        template = given.get("launchTemplate")
        if template and given.get("diskSize"):
            raise refuse("Disk size must be specified within the launch template.")
        version = given.get("version") or cluster["version"]
        self._check_version(version, cluster)
        identifier = str(uuid.uuid4())
        now = utcnow()
        made: Values = {
            "nodegroupName": name,
            "nodegroupArn": self.arn(f"nodegroup/{cluster['name']}/{name}/{identifier}"),
            "clusterName": cluster["name"],
            "version": version,
            "releaseVersion": given.get("releaseVersion") or f"{version}.0-{FIRST_RELEASE}",
            "createdAt": now,
            "modifiedAt": now,
            "status": "ACTIVE",
            "capacityType": given.get("capacityType") or "ON_DEMAND",
            "scalingConfig": scaling,
            "instanceTypes": types,
            "subnets": given["subnets"],
            "amiType": image,
            "nodeRole": given["nodeRole"],
            "labels": given.get("labels") or {},
            "taints": given.get("taints") or [],
            "resources": {"autoScalingGroups": [{"name": f"eks-{name}-{identifier}"}]},
            "health": {"issues": []},
            "updateConfig": given.get("updateConfig") or {"maxUnavailable": 1},
            "nodeRepairConfig": given.get("nodeRepairConfig") or {"enabled": False},
            "tags": given.get("tags") or {},
        }
        if template:
            made["launchTemplate"] = self.references.launch_template(template)
        else:
            made["diskSize"] = given.get("diskSize") or 20
        cluster["_nodeGroups"][name] = made
        if cluster["accessConfig"]["authenticationMode"] != "CONFIG_MAP":
            self.add_node_entry(cluster, given["nodeRole"], "EC2_LINUX")
        return {"nodegroup": made}

    def _check_version(self, version: str, cluster: Values) -> None:
        if version != cluster["version"]:
            raise refuse(f"Requested Nodegroup version {version} is not the cluster's, {cluster['version']}")

    def _node_group(self, given: Values) -> Values:
        groups = self.cluster(given["clusterName"])["_nodeGroups"]
        if given["nodegroupName"] not in groups:
            reason = f"No node group found for name: {given['nodegroupName']}."
            raise EksError("ResourceNotFoundException", reason)
        return groups[given["nodegroupName"]]

    def describe_nodegroup(self, given: Values) -> Values:
        return {"nodegroup": self._node_group(given)}

    def list_nodegroups(self, given: Values) -> Values:
        return {"nodegroups": sorted(self.cluster(given["clusterName"])["_nodeGroups"])}

    def delete_nodegroup(self, given: Values) -> Values:
        group = self._node_group(given)
        del self.cluster(given["clusterName"])["_nodeGroups"][given["nodegroupName"]]
        return {"nodegroup": {**group, "status": "DELETING"}}

    def update_nodegroup_config(self, given: Values) -> Values:
        group = self._node_group(given)
        if given.get("scalingConfig"):
            group["scalingConfig"] = _scaling({**group["scalingConfig"], **given["scalingConfig"]})
        for key in ("updateConfig", "nodeRepairConfig"):
            if given.get(key):
                group[key] = given[key]
        labels = given.get("labels") or {}
        kept = {key: value for key, value in group["labels"].items() if key not in (labels.get("removeLabels") or [])}
        group["labels"] = {**kept, **(labels.get("addOrUpdateLabels") or {})}
        taints = given.get("taints") or {}
        gone = [(taint["key"], taint["effect"]) for part in taints.values() for taint in part]
        stay = [taint for taint in group["taints"] if (taint["key"], taint["effect"]) not in gone]
        group["taints"] = [*stay, *(taints.get("addOrUpdateTaints") or [])]
        group["modifiedAt"] = utcnow()
        return self.updated("ConfigUpdate")

    def update_nodegroup_version(self, given: Values) -> Values:
        group = self._node_group(given)
        if given.get("version"):
            self._check_version(given["version"], self.cluster(given["clusterName"]))
            group["version"] = given["version"]
        newest = f"{group['version']}.0-{FIRST_RELEASE}" if given.get("version") else ""
        release = given.get("releaseVersion") or newest
        if release and not release.startswith(f"{group['version']}."):
            raise refuse(f"Requested release version {release} is not valid for kubernetes version {group['version']}")
        group["releaseVersion"] = release or group["releaseVersion"]
        if given.get("launchTemplate"):
            found = self.references.launch_template(given["launchTemplate"])
            if found["id"] != group.get("launchTemplate", {}).get("id"):
                raise refuse("You cannot specify a different launch template than the node group's.")
            group["launchTemplate"] = found
        group["modifiedAt"] = utcnow()
        return self.updated("VersionUpdate")


def _scaling(given: Values) -> Values:
    if given["minSize"] > given["maxSize"]:
        raise refuse(f"Minimum capacity {given['minSize']} can't be greater than maximum size {given['maxSize']}")
    if not given["minSize"] <= given.get("desiredSize", given["minSize"]) <= given["maxSize"]:
        raise refuse(
            f"desired capacity {given['desiredSize']} is not between {given['minSize']} and {given['maxSize']}"
        )
    return {"desiredSize": given["minSize"], **given}


def _is_arm(instance: str) -> bool:
    """Whether an instance type has a Graviton processor: the letter after the generation is g."""
    family = instance.partition(".")[0]
    return family == "a1" or re.fullmatch(r"[a-z]+\d+g[a-z]*", family) is not None
