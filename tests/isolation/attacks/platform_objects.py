"""Attacks on the platform's objects in a namespace: quota, limits, policies, the reconciler, the namespace itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import (
    ADMIN,
    BASIC,
    CLUSTER_ADMIN,
    FORBIDDEN,
    NEIGHBOUR,
    OWN,
    PRIVATE,
    TAKE_OUT,
    Attack,
    commit,
    request,
)
from tests.isolation.attacks.rights import FORCE, NEIGHBOURS_POD, TOKEN_REQUEST, endpoint_slice, network_policy
from tests.isolation.defences import ADMISSION, ROLE, admission_policy

DEVICE = [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com", "allocationMode": "All"}}]


def beyond_the_role() -> Iterator[Attack]:
    """Changes that a wider role in its own namespace would permit."""
    platform, managed = admission_policy("platform-objects"), admission_policy("managed-kinds")

    def tries(name: str, policy: str, reason: str, manifest: Manifest, **how: Any) -> Attack:
        return request(name, (policy,), reason, manifest, **{"tenant": CLUSTER_ADMIN, **how})

    def own(kind: str, name: str, version: str = "v1", **content: Any) -> Manifest:
        return of.make(kind, CLUSTER_ADMIN, version=version, name=name, **content)

    binding = own("RoleBinding", f"{CLUSTER_ADMIN}-reconciler-cluster-admin", f"{of.RBAC}/v1")
    account = own("ServiceAccount", CLUSTER_ADMIN)
    reason = "is the platform's. Take it out"
    yield tries("its own role binding is deleted", platform, reason, binding, verb="delete")
    yield tries("its own account is deleted", platform, reason, account, verb="delete")
    unmarked = {**account, "metadata": {**account["metadata"], "labels": {"saas-in-eks.io/owner": None}}}
    yield tries("a platform object loses its mark", platform, reason, unmarked, verb="merge")
    labelled = of.config_map(BASIC, labels={"saas-in-eks.io/owner": "platform"})
    yield tries("an object pretends to be the platform's", platform, "marks the platform's own", labelled, tenant=BASIC)

    quota = own("ResourceQuota", "tenant", spec={"hard": {"pods": "100000"}})
    both = (platform, managed)
    yield request("its quota is raised", both, TAKE_OUT, quota, CLUSTER_ADMIN, "merge")
    yield request("its quota is deleted", both, TAKE_OUT, quota, CLUSTER_ADMIN, "delete")
    yield request("all its quotas are deleted at once", both, TAKE_OUT, quota, CLUSTER_ADMIN, "deletecollection")
    used = {**quota, "spec": {}, "status": {"used": {"pods": "0"}}}
    yield request("its quota forgets what is used", both, TAKE_OUT, used, CLUSTER_ADMIN, "merge", "status")
    limits = own("LimitRange", "tenant")
    closed = own("NetworkPolicy", "default-deny", "networking.k8s.io/v1")
    yield request("its network policies are deleted at once", both, TAKE_OUT, closed, CLUSTER_ADMIN, "deletecollection")
    opened = {**closed, "spec": {"ingress": [{}], "egress": [{}]}}
    yield request("its network policy is opened", both, TAKE_OUT, opened, CLUSTER_ADMIN, "merge")
    yield tries("all its role bindings are deleted at once", platform, reason, binding, verb="deletecollection")
    yield request("its limits are deleted", both, TAKE_OUT, limits, CLUSTER_ADMIN, "delete")

    for what, manifest, tenant in (
        ("opens its network", network_policy(ADMIN), ADMIN),
        ("adds a quota", {**quota, "metadata": {**quota["metadata"], "name": "mine"}}, CLUSTER_ADMIN),
        ("makes a Gateway", own("Gateway", "mine", "gateway.networking.k8s.io/v1", spec={}), CLUSTER_ADMIN),
        ("joins another's target group", own("TargetGroupBinding", "mine", "elbv2.k8s.aws/v1", spec={}), CLUSTER_ADMIN),
        (
            "joins another's target group in Auto Mode",
            own("TargetGroupBinding", "mine", "eks.amazonaws.com/v1", spec={}),
            CLUSTER_ADMIN,
        ),
        (
            "says what a StatefulSet's pods were",
            own("ControllerRevision", "mine", "apps/v1", revision=1, data={}),
            CLUSTER_ADMIN,
        ),
        (
            "claims devices of nodes",
            own("ResourceClaim", "mine", "resource.k8s.io/v1", spec={"devices": {"requests": DEVICE}}),
            CLUSTER_ADMIN,
        ),
        ("sends requests elsewhere", own("Endpoints", "product", subsets=NEIGHBOURS_POD), CLUSTER_ADMIN),
        ("sends requests elsewhere by slices", endpoint_slice(CLUSTER_ADMIN), CLUSTER_ADMIN),
    ):
        yield tries(
            f"a tenant with a wider role {what}", managed, "are for the platform to make", manifest, tenant=tenant
        )
    yield tries(
        "a token of its own account is made, to keep",
        managed,
        "serviceaccounts/token are for the platform to make",
        account,
        verb="create",
        subresource="token",
        body=TOKEN_REQUEST,
    )
    exposed = of.service(CLUSTER_ADMIN)
    exposed["metadata"]["name"] = "exposed"
    status = {"loadBalancer": {"ingress": [{"ip": "10.0.0.10"}]}}
    yield tries(
        "a Service claims an address by its status",
        managed,
        "services/status are for the platform",
        {**exposed, "spec": {}, "status": status},
        verb="merge",
        subresource="status",
        given=({**exposed, "spec": {**exposed["spec"], "type": "LoadBalancer"}},),
    )

    addressed = of.pod(CLUSTER_ADMIN, schedulingGates=[{"name": "example.com/never"}])
    addressed["metadata"]["name"] = "addressed"
    metadata_service = {"podIP": "169.254.169.254", "podIPs": [{"ip": "169.254.169.254"}]}
    yield tries(
        "a pod claims the metadata service's address, for the API server to send requests to",
        managed,
        "pods/status are for the platform",
        {**addressed, "spec": {}, "status": metadata_service},
        verb="merge",
        subresource="status",
        given=(addressed,),
    )

    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CLUSTER_ADMIN}}
    reason = "the namespace is the platform's"
    for what, labels, subresource in (
        ("lowers its Pod Security", {"pod-security.kubernetes.io/enforce": "privileged", "x": "y"}, ""),
        ("lowers its Pod Security by the status", {"pod-security.kubernetes.io/enforce": None}, "status"),
        ("is no tenant's any more", {"toolkit.fluxcd.io/tenant": None}, ""),
    ):
        changed = {**namespace, "metadata": {"name": CLUSTER_ADMIN, "labels": labels}}
        how = {"verb": "merge", "subresource": subresource}
        yield tries(f"the namespace {what}", admission_policy("namespace"), reason, changed, **how)
    hosts = {"saas-in-eks.io/hosts": f"{NEIGHBOUR}.example.com"}
    changed = {**namespace, "metadata": {"name": CLUSTER_ADMIN, "annotations": hosts}}
    yield tries(
        "the namespace gets a neighbour's host name", admission_policy("namespace"), reason, changed, verb="merge"
    )
    yield tries("the namespace is deleted", admission_policy("namespace"), reason, namespace, verb="delete")

    for what, subject in (
        ("a person", {"apiGroup": of.RBAC, "kind": "User", "name": "mallory"}),
        ("everybody", {"apiGroup": of.RBAC, "kind": "Group", "name": "system:authenticated"}),
        ("a neighbour's account", {"kind": "ServiceAccount", "name": NEIGHBOUR, "namespace": NEIGHBOUR}),
    ):
        reason = f"only service accounts of {BASIC} can be subjects here, not {subject['kind']} {subject['name']}"
        binding = of.role_binding(BASIC, subject)
        given = (of.role(BASIC),)
        yield tries(
            f"{what} gets rights", admission_policy("role-bindings"), reason, binding, tenant=BASIC, given=given
        )
    stuck = of.config_map(BASIC, finalizers=["example.com/never"])
    reason = "keep the namespace for ever: example.com/never"
    yield tries("an object can never be deleted", admission_policy("finalizers"), reason, stuck, tenant=BASIC)


def commits() -> Iterator[Attack]:
    """Commits that contain the platform's objects."""
    promise = "What limits a tenant is not the tenant's to change."
    both = ADMISSION | {ROLE}
    limit = {"type": "Container", "max": {"memory": "999Gi"}}
    open_ = {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}
    network = "networking.k8s.io/v1"
    for what, manifest in (
        ("raises its quota", of.make("ResourceQuota", OWN, name="tenant", spec={"hard": {"pods": "100000"}})),
        ("adds a quota", of.make("ResourceQuota", OWN, name="attack", spec={"hard": {"pods": "100000"}})),
        ("raises its limits", of.make("LimitRange", OWN, name="tenant", spec={"limits": [limit]})),
        ("opens its default deny", of.make("NetworkPolicy", OWN, version=network, name="default-deny", spec=open_)),
        ("opens its network by one more policy", of.make("NetworkPolicy", OWN, version=network, spec=open_)),
        (
            "sends its Service's requests to a neighbour's pod",
            of.make(
                "EndpointSlice",
                OWN,
                version="discovery.k8s.io/v1",
                name="attack",
                addressType="IPv4",
                endpoints=[{"addresses": ["10.244.1.7"]}],
                ports=[{"port": 80}],
            ),
        ),
    ):
        # Pruning would remove the platform's own objects: these attacks keep the role.
        ours = manifest["metadata"]["name"] in ("tenant", "default-deny")
        defence = f"{ROLE}; admission: saas-tenant-managed-kinds"
        yield commit(
            f"a commit {what}", promise, FORBIDDEN, defence, frozenset() if ours else both, objects=(manifest,)
        )
        # Two policies refuse it; the API server may quote either.
        reason = "denied request: " if ours else "are for the platform to make"
        defence = f"admission: saas-tenant-{'platform-objects' if ours else 'managed-kinds'}"
        name, away = f"a commit {what}, by the role cluster-admin", ADMISSION
        yield commit(
            name, promise, reason, defence, frozenset() if ours else away, tenant=CLUSTER_ADMIN, objects=(manifest,)
        )
    defence = "admission: saas-tenant-platform-objects"
    binding = of.role_binding(OWN, cluster_role="saas-tenant-reconciler")
    binding["metadata"] |= {"name": f"{OWN}-reconciler", "annotations": {FORCE: "enabled"}}
    account = of.make("ServiceAccount", OWN, name=OWN, metadata={"annotations": {"x": "y"}})
    account["metadata"] |= {"name": OWN, "namespace": OWN}
    for what, manifest in (
        ("replaces the reconciler's role binding", binding),
        ("changes the reconciler's account", account),
    ):
        reason = "is the platform's. Take it out"
        yield commit(f"a commit {what}", promise, reason, defence, objects=(manifest,))
    key = of.make("Secret", OWN, name=OWN, stringData={"known_hosts": "evil.example.com ssh-ed25519 AAAA"})
    yield commit(
        "a commit changes the key by which its source is read",
        promise,
        "is the platform's. Take it out",
        defence,
        tenant=PRIVATE,
        objects=(key,),
    )
    pretends = of.config_map(OWN)
    pretends["metadata"] = {"name": "attack", "namespace": OWN, "labels": {"saas-in-eks.io/owner": "platform"}}
    yield commit(
        "a commit's object pretends to be the platform's",
        promise,
        "marks the platform's own objects",
        defence,
        ADMISSION,
        objects=(pretends,),
    )
    promise = "Nothing of a tenant keeps its namespace from going when the tenant goes."
    stuck = of.config_map(OWN)
    stuck["metadata"] = {"name": "attack", "namespace": OWN, "finalizers": ["example.com/never"]}
    defence = "admission: saas-tenant-finalizers"
    yield commit(
        "a commit's object can never be deleted",
        promise,
        "keep the namespace for ever",
        defence,
        ADMISSION,
        objects=(stuck,),
    )


ATTACKS = (*beyond_the_role(), *commits())
