"""AWS stand-in: EKS clusters and what belongs to them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from standins.aws.kind import REGION, TAGS, AwsFunction, AwsKind, autoname, changed
from standins.aws.session import Session
from standins.aws.tagging import update_tags
from standins.provider import UNKNOWN, Property, RefusedError, Values

MISSING = ("ResourceNotFoundException",)
LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_UNSUPPORTED = Property(unsupported=True)
_SWITCH = {"enabled": Property(bool, computed=True)}


def wait_until_active(aws: Session, method: str, key: str, **parameters: Any) -> None:
    """Wait as the official provider does. Raises RefusedError with what EKS says if it fails."""
    found = aws.call("eks", method, **parameters)[key]
    while found["status"] in ("CREATING", "UPDATING", "PENDING"):
        time.sleep(1)
        found = aws.call("eks", method, **parameters)[key]
    if found["status"] not in ("ACTIVE", "DEGRADED"):
        raise RefusedError(f"unexpected state {found['status']!r}, wanted target 'ACTIVE': {found.get('health')}")


class Cluster(AwsKind):
    """A cluster. What can't be changed about one replaces it, which deletes everything in it."""

    token = "aws:eks/cluster:Cluster"  # noqa: S105 - a type's name
    properties = {
        "accessConfig": Property(
            dict,
            computed=True,
            of={
                "authenticationMode": Property(computed=True),
                "bootstrapClusterCreatorAdminPermissions": Property(bool, computed=True),
            },
        ),
        "bootstrapSelfManagedAddons": Property(bool, default=True, replaces=True),
        "computeConfig": Property(
            dict,
            of={
                "enabled": Property(bool),
                "nodePools": Property(list, of=str, unordered=True),
                "nodeRoleArn": Property(),
            },
        ),
        "controlPlaneScalingConfig": _UNSUPPORTED,
        "defaultAddonsToRemoves": _UNSUPPORTED,
        "deletionProtection": Property(bool, computed=True),
        "enabledClusterLogTypes": Property(list, of=str, unordered=True),
        "encryptionConfig": Property(
            dict,
            of={
                "provider": Property(dict, required=True, of={"keyArn": Property(required=True)}),
                "resources": Property(list, of=str, required=True, unordered=True),
            },
        ),
        "forceUpdateVersion": Property(bool, ignored=True),
        "kubeApiServerConfig": _UNSUPPORTED,
        "kubeControllerManagerConfig": _UNSUPPORTED,
        "kubeSchedulerConfig": _UNSUPPORTED,
        "kubernetesNetworkConfig": Property(
            dict,
            computed=True,
            of={
                "elasticLoadBalancing": Property(dict, computed=True, of=_SWITCH),
                "ipFamily": Property(computed=True),
                "serviceIpv4Cidr": Property(computed=True),
                "serviceIpv6Cidr": Property(computed=True, unsupported=True),
            },
        ),
        "name": Property(replaces=True),
        "outpostConfig": _UNSUPPORTED,
        "remoteNetworkConfig": _UNSUPPORTED,
        "roleArn": Property(required=True, replaces=True),
        "storageConfig": Property(dict, of={"blockStorage": Property(dict, of=_SWITCH)}),
        "upgradePolicy": Property(dict, computed=True, of={"supportType": Property(computed=True)}),
        "version": Property(computed=True),
        "vpcConfig": Property(
            dict,
            required=True,
            of={
                "clusterSecurityGroupId": Property(computed=True, ignored=True, unsupported=True),
                "controlPlaneEgressMode": _UNSUPPORTED,
                "endpointPrivateAccess": Property(bool, default=False),
                "endpointPublicAccess": Property(bool, default=True),
                "publicAccessCidrs": Property(list, of=str, unordered=True, computed=True),
                "securityGroupIds": Property(list, of=str, unordered=True),
                "subnetIds": Property(list, of=str, required=True, unordered=True),
                "vpcId": Property(computed=True, ignored=True, unsupported=True),
            },
        ),
        "zonalShiftConfig": _UNSUPPORTED,
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "certificateAuthority", "createdAt", "endpoint", "identities", "platformVersion", "status")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=100)
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

    def create(self, inputs: Values) -> tuple[str, Values]:
        network = inputs.get("kubernetesNetworkConfig")
        logs = inputs.get("enabledClusterLogTypes")
        encryption = inputs.get("encryptionConfig")
        self.aws.call(
            "eks",
            "create_cluster",
            name=inputs["name"],
            version=inputs.get("version"),
            roleArn=inputs["roleArn"],
            resourcesVpcConfig=_without_computed(inputs["vpcConfig"]),
            kubernetesNetworkConfig=network,
            logging={"clusterLogging": [{"types": logs, "enabled": True}]} if logs else None,
            accessConfig=inputs.get("accessConfig"),
            bootstrapSelfManagedAddons=inputs["bootstrapSelfManagedAddons"],
            computeConfig=inputs.get("computeConfig"),
            deletionProtection=inputs.get("deletionProtection"),
            encryptionConfig=[encryption] if encryption else None,
            storageConfig=inputs.get("storageConfig"),
            upgradePolicy=inputs.get("upgradePolicy"),
            tags=inputs["tagsAll"],
        )
        wait_until_active(self.aws, "describe_cluster", "cluster", name=inputs["name"])
        return self.made(inputs["name"], inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        answer = self.aws.find("eks", "describe_cluster", MISSING, name=identifier)
        if answer is None:
            return None
        cluster = answer["cluster"]
        told = {
            "name": cluster["name"],
            "bootstrapSelfManagedAddons": state.get("bootstrapSelfManagedAddons", True),
            **{key: cluster[key] for key in ("arn", "endpoint", "platformVersion", "roleArn", "status", "version")},
            **{key: cluster[key] for key in ("accessConfig", "certificateAuthority", "deletionProtection")},
            "createdAt": cluster["createdAt"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "enabledClusterLogTypes": enabled_logs(cluster),
            "encryptionConfig": next(iter(cluster.get("encryptionConfig") or []), None),
            "identities": [{"oidcs": [{"issuer": cluster["identity"]["oidc"]["issuer"]}]}],
            "kubernetesNetworkConfig": cluster["kubernetesNetworkConfig"],
            "region": self.aws.region,
            "upgradePolicy": cluster["upgradePolicy"],
            "vpcConfig": cluster["resourcesVpcConfig"],
        }
        # Blocks that stay away from the state unless the program has them or they say something.
        compute, storage = cluster.get("computeConfig") or {}, cluster.get("storageConfig") or {}
        if compute.get("enabled") or state.get("computeConfig"):
            told["computeConfig"] = compute
        if storage.get("blockStorage", {}).get("enabled") or state.get("storageConfig"):
            told["storageConfig"] = storage
        return identifier, {**told, **self.tag_state(cluster.get("tags") or {}, state)}

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        auto = ("computeConfig", "storageConfig")
        if changed(self, state, inputs, "deletionProtection"):
            self._update(identifier, deletionProtection=inputs["deletionProtection"])
        if changed(self, state, inputs, "accessConfig"):
            mode = {"authenticationMode": inputs["accessConfig"]["authenticationMode"]}
            self._update(identifier, accessConfig=mode)
        if changed(self, state, inputs, "version"):
            self.aws.call("eks", "update_cluster_version", name=identifier, version=inputs["version"])
            self._settle(identifier)
        if changed(self, state, inputs, *auto, "kubernetesNetworkConfig"):
            balancing = (inputs.get("kubernetesNetworkConfig") or {}).get("elasticLoadBalancing") or {"enabled": False}
            self._update(
                identifier,
                computeConfig=inputs.get("computeConfig") or {"enabled": False},
                storageConfig=inputs.get("storageConfig") or {"blockStorage": {"enabled": False}},
                kubernetesNetworkConfig={"elasticLoadBalancing": balancing},
            )
        if changed(self, state, inputs, "encryptionConfig"):
            config = [inputs["encryptionConfig"]]
            self.aws.call("eks", "associate_encryption_config", clusterName=identifier, encryptionConfig=config)
            self._settle(identifier)
        if changed(self, state, inputs, "enabledClusterLogTypes"):
            wanted = inputs.get("enabledClusterLogTypes") or []
            rest = [kind for kind in LOG_TYPES if kind not in wanted]
            setups = [{"types": wanted, "enabled": True}, {"types": rest, "enabled": False}]
            self._update(identifier, logging={"clusterLogging": [setup for setup in setups if setup["types"]]})
        if changed(self, state, inputs, "upgradePolicy"):
            self._update(identifier, upgradePolicy=inputs["upgradePolicy"])
        self._update_network(identifier, state["vpcConfig"], inputs["vpcConfig"])
        update_tags(self.aws, "eks", state["arn"], state["tagsAll"], inputs["tagsAll"])
        return self.made(identifier, inputs)[1]

    def _update_network(self, name: str, old: Values, new: Values) -> None:
        """Where the control plane is, and who reaches it: two updates, as EKS takes one thing at a time."""
        declared = self.properties["vpcConfig"].of
        assert isinstance(declared, dict)
        for keys in (
            ("subnetIds", "securityGroupIds"),
            ("endpointPrivateAccess", "endpointPublicAccess", "publicAccessCidrs"),
        ):
            if any(declared[key].differs(old.get(key), new.get(key)) for key in keys):
                self._update(name, resourcesVpcConfig={key: new[key] for key in keys if key in new})

    def _update(self, name: str, **settings: Any) -> None:
        self.aws.call("eks", "update_cluster_config", name=name, **settings)
        self._settle(name)

    def _settle(self, name: str) -> None:
        wait_until_active(self.aws, "describe_cluster", "cluster", name=name)

    def delete(self, identifier: str, state: Values) -> None:
        self.aws.find("eks", "delete_cluster", MISSING, name=identifier)


def _without_computed(network: Values) -> Values:
    return {key: value for key, value in network.items() if key not in ("clusterSecurityGroupId", "vpcId")}


def enabled_logs(cluster: Values) -> list[str]:
    """The kinds of logs that a cluster writes."""
    setups = cluster.get("logging", {}).get("clusterLogging", [])
    return [kind for setup in setups if setup["enabled"] for kind in setup["types"]]


class AccessEntry(AwsKind):
    """Who may use a cluster's API."""

    token = "aws:eks/accessEntry:AccessEntry"  # noqa: S105 - a type's name
    properties = {
        "clusterName": Property(required=True, replaces=True),
        "kubernetesGroups": Property(list, of=str, computed=True, unordered=True),
        "principalArn": Property(required=True, replaces=True),
        "type": Property(default="STANDARD", replaces=True),
        "userName": Property(computed=True),
        **TAGS,
        **REGION,
    }
    outputs = ("accessEntryArn", "createdAt", "modifiedAt")

    def create(self, inputs: Values) -> tuple[str, Values]:
        self.aws.call(
            "eks",
            "create_access_entry",
            clusterName=inputs["clusterName"],
            principalArn=inputs["principalArn"],
            kubernetesGroups=inputs.get("kubernetesGroups"),
            type=inputs["type"],
            username=inputs.get("userName"),
            tags=inputs["tagsAll"],
        )
        return self.made(f"{inputs['clusterName']}:{inputs['principalArn']}", inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        cluster, _, principal = identifier.partition(":")
        answer = self.aws.find("eks", "describe_access_entry", MISSING, clusterName=cluster, principalArn=principal)
        if answer is None:
            return None
        entry = answer["accessEntry"]
        return identifier, {
            **{key: entry[key] for key in ("accessEntryArn", "clusterName", "principalArn", "type")},
            "createdAt": _time(entry["createdAt"]),
            "modifiedAt": _time(entry["modifiedAt"]),
            "kubernetesGroups": entry["kubernetesGroups"],
            "userName": entry["username"],
            "region": self.aws.region,
            **self.tag_state(entry.get("tags") or {}, state),
        }

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        return ("modifiedAt",)

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if changed(self, state, inputs, "kubernetesGroups", "userName"):
            self.aws.call(
                "eks",
                "update_access_entry",
                clusterName=inputs["clusterName"],
                principalArn=inputs["principalArn"],
                kubernetesGroups=inputs.get("kubernetesGroups"),
                username=inputs.get("userName"),
            )
        update_tags(self.aws, "eks", state["accessEntryArn"], state["tagsAll"], inputs["tagsAll"])
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        cluster, _, principal = identifier.partition(":")
        self.aws.find("eks", "delete_access_entry", MISSING, clusterName=cluster, principalArn=principal)


class AccessPolicyAssociation(AwsKind):
    """What somebody who may use a cluster may do there."""

    token = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"  # noqa: S105 - a type's name
    properties = {
        "accessScope": Property(
            dict,
            required=True,
            replaces=True,
            of={
                "namespaces": Property(list, of=str, unordered=True),
                "type": Property(required=True, choices=("cluster", "namespace")),
            },
        ),
        "clusterName": Property(required=True, replaces=True),
        "policyArn": Property(required=True, replaces=True),
        "principalArn": Property(required=True, replaces=True),
        **REGION,
    }
    outputs = ("associatedAt", "modifiedAt")

    def create(self, inputs: Values) -> tuple[str, Values]:
        cluster, principal, policy = inputs["clusterName"], inputs["principalArn"], inputs["policyArn"]
        self.aws.call(
            "eks",
            "associate_access_policy",
            clusterName=cluster,
            principalArn=principal,
            policyArn=policy,
            accessScope=inputs["accessScope"],
        )
        return self.made(f"{cluster}#{principal}#{policy}", inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        cluster, principal, policy = identifier.split("#")
        place = {"clusterName": cluster, "principalArn": principal}
        if self.aws.find("eks", "describe_access_entry", MISSING, **place) is None:
            return None
        found = self.aws.list("eks", "list_associated_access_policies", "associatedAccessPolicies", **place)
        for association in found:
            if association["policyArn"] == policy:
                scope = association["accessScope"]
                return identifier, {
                    **place,
                    "policyArn": policy,
                    "accessScope": {"type": scope["type"], "namespaces": scope.get("namespaces", [])},
                    "associatedAt": _time(association["associatedAt"]),
                    "modifiedAt": _time(association["modifiedAt"]),
                    "region": self.aws.region,
                }
        return None

    def delete(self, identifier: str, state: Values) -> None:
        cluster, principal, policy = identifier.split("#")
        self.aws.find(
            "eks",
            "disassociate_access_policy",
            MISSING,
            clusterName=cluster,
            principalArn=principal,
            policyArn=policy,
        )


class PodIdentityAssociation(AwsKind):
    """The role that a service account's pods take."""

    token = "aws:eks/podIdentityAssociation:PodIdentityAssociation"  # noqa: S105 - a type's name
    properties = {
        "clusterName": Property(required=True, replaces=True),
        "disableSessionTags": Property(bool, computed=True),
        "namespace": Property(required=True, replaces=True),
        "policy": Property(),
        "roleArn": Property(required=True),
        "serviceAccount": Property(required=True, replaces=True),
        "targetRoleArn": Property(),
        **TAGS,
        **REGION,
    }
    outputs = ("associationArn", "associationId", "externalId")

    def create(self, inputs: Values) -> tuple[str, Values]:
        answer = self.aws.call(
            "eks",
            "create_pod_identity_association",
            clusterName=inputs["clusterName"],
            namespace=inputs["namespace"],
            serviceAccount=inputs["serviceAccount"],
            roleArn=inputs["roleArn"],
            disableSessionTags=inputs.get("disableSessionTags"),
            policy=inputs.get("policy"),
            targetRoleArn=inputs.get("targetRoleArn"),
            tags=inputs["tagsAll"],
        )
        return self.made(answer["association"]["associationId"], inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        cluster, _, own = identifier.rpartition(",")  # CLUSTER,ID is what is imported
        answer = self.aws.find(
            "eks",
            "describe_pod_identity_association",
            MISSING,
            clusterName=cluster or state["clusterName"],
            associationId=own,
        )
        if answer is None:
            return None
        found = answer["association"]
        keys = ("associationArn", "associationId", "clusterName", "namespace", "roleArn", "serviceAccount")
        return own, {
            **{key: found[key] for key in keys},
            **{key: found.get(key) for key in ("disableSessionTags", "externalId", "policy", "targetRoleArn")},
            "region": self.aws.region,
            **self.tag_state(found.get("tags") or {}, state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if changed(self, state, inputs, "roleArn", "disableSessionTags", "policy", "targetRoleArn"):
            self.aws.call(
                "eks",
                "update_pod_identity_association",
                clusterName=inputs["clusterName"],
                associationId=identifier,
                roleArn=inputs["roleArn"],
                disableSessionTags=inputs.get("disableSessionTags"),
                policy=inputs.get("policy"),
                targetRoleArn=inputs.get("targetRoleArn"),
            )
        update_tags(self.aws, "eks", state["associationArn"], state["tagsAll"], inputs["tagsAll"])
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        self.aws.find(
            "eks",
            "delete_pod_identity_association",
            MISSING,
            clusterName=state["clusterName"],
            associationId=identifier,
        )


def _time(value: Any) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def _get_cluster(aws: Session, arguments: Values) -> Values:
    cluster = aws.call("eks", "describe_cluster", name=arguments["name"])["cluster"]
    network, compute = cluster["kubernetesNetworkConfig"], cluster.get("computeConfig") or {}
    return {
        **{key: cluster[key] for key in ("arn", "endpoint", "name", "platformVersion", "roleArn", "status", "version")},
        "id": cluster["name"],
        "accessConfigs": [cluster["accessConfig"]],
        "certificateAuthorities": [cluster["certificateAuthority"]],
        "clusterId": "",
        "computeConfigs": [{"nodeRoleArn": "", **compute}],
        "controlPlaneScalingConfigs": [],
        "createdAt": str(cluster["createdAt"]),
        "deletionProtection": cluster["deletionProtection"],
        "enabledClusterLogTypes": enabled_logs(cluster),
        "identities": [{"oidcs": [{"issuer": cluster["identity"]["oidc"]["issuer"]}]}],
        "kubeApiServerConfigs": [],
        "kubeControllerManagerConfigs": [],
        "kubeSchedulerConfigs": [],
        "kubernetesNetworkConfigs": [
            {
                "elasticLoadBalancings": [network["elasticLoadBalancing"]],
                "ipFamily": network["ipFamily"],
                "serviceIpv4Cidr": network["serviceIpv4Cidr"],
                "serviceIpv6Cidr": "",
            }
        ],
        "outpostConfigs": [],
        "region": aws.region,
        "remoteNetworkConfigs": [],
        "storageConfigs": [{"blockStorages": [cluster["storageConfig"]["blockStorage"]]}],
        "tags": cluster.get("tags") or {},
        "upgradePolicies": [cluster["upgradePolicy"]],
        "vpcConfig": cluster["resourcesVpcConfig"],
        "zonalShiftConfigs": [],
    }


KINDS = (Cluster, AccessEntry, AccessPolicyAssociation, PodIdentityAssociation)
FUNCTIONS = {"aws:eks/getCluster:getCluster": AwsFunction({"name": Property(required=True)}, _get_cluster)}
