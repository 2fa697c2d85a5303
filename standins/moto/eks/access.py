"""Access to a cluster: access entries with policies, and Pod Identity for its pods."""

from __future__ import annotations

import json
import secrets
import string
import uuid

from moto.core.utils import utcnow

from standins.moto.eks.clusters import Clusters
from standins.moto.eks.errors import EksError, refuse
from standins.moto.eks.references import Values

POLICY_NAMES = (
    *("AmazonEKSClusterAdminPolicy", "AmazonEKSAdminPolicy", "AmazonEKSAdminViewPolicy", "AmazonEKSEditPolicy"),
    *("AmazonEKSViewPolicy", "AmazonEKSSecretReaderPolicy", "AmazonEKSAutoNodePolicy", "AmazonEKSHybridPolicy"),
    *("AmazonEKSBlockStoragePolicy", "AmazonEKSLoadBalancingPolicy", "AmazonEKSNetworkingPolicy"),
    *("AmazonEKSComputePolicy", "AmazonEKSClusterInsightsPolicy", "AmazonEKSEventPolicy"),
)
NODE_TYPES = ("EC2", "EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "HYBRID_LINUX", "HYPERPOD_LINUX")


def _new_id(length: int = 17) -> str:
    """Random letters and digits."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


class Access(Clusters):
    """Operations on access entries, their policies, and Pod Identity associations."""

    def _entries(self, cluster_name: str) -> dict[str, Values]:
        cluster = self.cluster(cluster_name)
        if cluster["accessConfig"]["authenticationMode"] == "CONFIG_MAP":
            raise EksError(
                "InvalidRequestException",
                "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this "
                "operation.",
            )
        return cluster["_entries"]

    def _entry(self, given: Values) -> Values:
        entries = self._entries(given["clusterName"])
        if given["principalArn"] not in entries:
            reason = f"The specified principalArn could not be found: {given['principalArn']}"
            raise EksError("ResourceNotFoundException", reason)
        return entries[given["principalArn"]]

    def create_access_entry(self, given: Values) -> Values:
        entries = self._entries(given["clusterName"])
        principal, kind = given["principalArn"], given.get("type") or "STANDARD"
        if principal in entries:
            reason = "The specified access entry resource is already in use on this cluster."
            raise EksError("ResourceInUseException", reason)
        self.references.principal(principal)
        _check_groups(given, kind)
        entries[principal] = self._new_entry(given, kind)
        return {"accessEntry": entries[principal]}

    def _new_entry(self, given: Values, kind: str) -> Values:
        principal, now = given["principalArn"], utcnow()
        name = principal.rpartition("/")[2]
        what = "role" if ":role/" in principal else "user"
        named = f"arn:{self.partition}:sts::{self.account_id}:assumed-role/{name}/{{{{SessionName}}}}"
        own = named if what == "role" else principal
        if kind in NODE_TYPES:
            own = "system:node:{{EC2PrivateDNSName}}"
        return {
            "clusterName": given["clusterName"],
            "principalArn": principal,
            "kubernetesGroups": ["system:nodes"] if kind in NODE_TYPES else given.get("kubernetesGroups") or [],
            "accessEntryArn": self.arn(
                f"access-entry/{given['clusterName']}/{what}/{self.account_id}/{name}/{uuid.uuid4()}"
            ),
            "createdAt": now,
            "modifiedAt": now,
            "tags": given.get("tags") or {},
            "username": given.get("username") or own,
            "type": kind,
            "_policies": {},
        }

    def add_node_entry(self, cluster: Values, role: str, kind: str) -> None:
        """Create the access entry that EKS creates by itself for the role of managed nodes."""
        if role not in cluster["_entries"]:
            cluster["_entries"][role] = self._new_entry({"clusterName": cluster["name"], "principalArn": role}, kind)

    def describe_access_entry(self, given: Values) -> Values:
        return {"accessEntry": self._entry(given)}

    def list_access_entries(self, given: Values) -> Values:
        return {"accessEntries": sorted(self._entries(given["clusterName"]))}

    def update_access_entry(self, given: Values) -> Values:
        entry = self._entry(given)
        _check_groups(given, entry["type"])
        if given.get("kubernetesGroups") is not None:
            entry["kubernetesGroups"] = given["kubernetesGroups"]
        if given.get("username"):
            entry["username"] = given["username"]
        entry["modifiedAt"] = utcnow()
        return {"accessEntry": entry}

    def delete_access_entry(self, given: Values) -> Values:
        self._entry(given)
        del self._entries(given["clusterName"])[given["principalArn"]]
        return {}

    def associate_access_policy(self, given: Values) -> Values:
        entry, policy, scope = self._entry(given), given["policyArn"], given["accessScope"]
        if policy not in [f"arn:{self.partition}:eks::aws:cluster-access-policy/{name}" for name in POLICY_NAMES]:
            raise refuse(f"The policyArn parameter format is not valid: {policy}")
        if scope.get("type") == "namespace" and not scope.get("namespaces"):
            raise refuse("The namespaces parameter is required for the access scope type namespace")
        if scope.get("type") == "cluster" and scope.get("namespaces"):
            raise refuse("The namespaces parameter is not allowed for the access scope type cluster")
        if entry["type"] not in ("STANDARD", "EC2"):
            raise refuse(f"Access policies cannot be associated with an access entry of type {entry['type']}")
        now = utcnow()
        old = entry["_policies"].get(policy, {"associatedAt": now})
        made = {"policyArn": policy, "accessScope": {"namespaces": [], **scope}, "modifiedAt": now}
        entry["_policies"][policy] = {**old, **made}
        return {
            "clusterName": given["clusterName"],
            "principalArn": given["principalArn"],
            "associatedAccessPolicy": entry["_policies"][policy],
        }

    def list_associated_access_policies(self, given: Values) -> Values:
        policies = list(self._entry(given)["_policies"].values())
        return {
            "clusterName": given["clusterName"],
            "principalArn": given["principalArn"],
            "associatedAccessPolicies": policies,
        }

    def disassociate_access_policy(self, given: Values) -> Values:
        if self._entry(given)["_policies"].pop(given["policyArn"], None) is None:
            reason = f"The policy {given['policyArn']} is not associated with {given['principalArn']}"
            raise EksError("ResourceNotFoundException", reason)
        return {}

    def create_pod_identity_association(self, given: Values) -> Values:
        cluster = self.cluster(given["clusterName"])
        place = given["namespace"], given["serviceAccount"]
        for other in cluster["_associations"].values():
            if (other["namespace"], other["serviceAccount"]) == place:
                reason = f"Association already exists: {other['associationId']}"
                raise EksError("ResourceInUseException", reason)
        self.references.role(given["roleArn"], "pods.eks.amazonaws.com")
        _check_session_policy(given)
        identifier, now = f"a-{_new_id()}", utcnow()
        made: Values = {
            "clusterName": cluster["name"],
            "namespace": place[0],
            "serviceAccount": place[1],
            "roleArn": given["roleArn"],
            "associationArn": self.arn(f"podidentityassociation/{cluster['name']}/{identifier}"),
            "associationId": identifier,
            "tags": given.get("tags") or {},
            "createdAt": now,
            "modifiedAt": now,
            "disableSessionTags": bool(given.get("disableSessionTags")),
        }
        if given.get("_owner"):
            made["ownerArn"] = given["_owner"]
        self._set_target(made, given)
        cluster["_associations"][identifier] = made
        return {"association": made}

    def _set_target(self, association: Values, given: Values) -> None:
        if given.get("targetRoleArn"):
            association["targetRoleArn"] = given["targetRoleArn"]
            association.setdefault("externalId", str(uuid.uuid4()))
        if given.get("policy"):
            association["policy"] = given["policy"]

    def _association(self, given: Values) -> Values:
        associations = self.cluster(given["clusterName"])["_associations"]
        if given["associationId"] not in associations:
            reason = f"No association found with associationId: {given['associationId']}"
            raise EksError("ResourceNotFoundException", reason)
        return associations[given["associationId"]]

    def describe_pod_identity_association(self, given: Values) -> Values:
        return {"association": self._association(given)}

    def list_pod_identity_associations(self, given: Values) -> Values:
        wanted = {key: given[key] for key in ("namespace", "serviceAccount") if given.get(key)}
        found = self.cluster(given["clusterName"])["_associations"].values()
        return {
            "associations": [
                association for association in found if all(association[key] == value for key, value in wanted.items())
            ]
        }

    def update_pod_identity_association(self, given: Values) -> Values:
        association = self._association(given)
        if given.get("roleArn"):
            self.references.role(given["roleArn"], "pods.eks.amazonaws.com")
            association["roleArn"] = given["roleArn"]
        if given.get("disableSessionTags") is not None:
            association["disableSessionTags"] = given["disableSessionTags"]
        _check_session_policy({**association, **given})
        self._set_target(association, given)
        association["modifiedAt"] = utcnow()
        return {"association": association}

    def delete_pod_identity_association(self, given: Values) -> Values:
        association = self._association(given)
        if association.get("ownerArn"):
            reason = f"The association is managed by an add-on: {association['ownerArn']}"
            raise EksError("InvalidRequestException", reason)
        del self.cluster(given["clusterName"])["_associations"][given["associationId"]]
        return {"association": association}


def _check_groups(given: Values, kind: str) -> None:
    groups = given.get("kubernetesGroups") or []
    if kind in NODE_TYPES and (groups or given.get("username")):
        raise refuse(f"kubernetesGroups and username cannot be given for an access entry of type {kind}")
    for group in groups:
        if group.startswith(("system:", "eks:", "aws:", "amazon:", "iam:")):
            prefix = group.partition(":")[0]
            raise refuse(f"The kubernetes group name {group} is invalid, it cannot start with {prefix}:")


def _check_session_policy(given: Values) -> None:
    if not given.get("policy"):
        return
    if not given.get("disableSessionTags"):
        raise refuse("disableSessionTags must be true when a policy is given")
    try:
        json.loads(given["policy"])
    except ValueError as error:
        raise refuse(f"policy is not JSON: {error}") from error
