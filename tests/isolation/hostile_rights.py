"""Objects of Kubernetes that are not the tenant's to make: the cluster's, more rights, the platform's own."""

from __future__ import annotations

from collections.abc import Iterator

from tests.isolation import objects as of
from tests.isolation.hostile import ADMISSION, CLUSTER_ADMIN, FORBIDDEN, NEIGHBOUR, OWN, PRIVATE, RBAC, Attack
from tests.isolation.hostile_objects import EVERYTHING, evil, wide

PREFIX = "kustomize.toolkit.fluxcd.io/"


def _cluster() -> Iterator[Attack]:
    promise = "A tenant makes nothing that belongs to the whole cluster."
    subject = {"kind": "ServiceAccount", "name": OWN, "namespace": OWN}
    role = {"apiGroup": of.RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
    names = {"plural": "attacks", "singular": "attack", "kind": "Attack"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    webhook = {
        "name": "attack.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "clientConfig": {"url": "https://attack.example.com"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["bindings"]}],
    }
    volume = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/"},
        "storageClassName": "none",
    }
    rbac, admission = f"{of.RBAC}/v1", "admissionregistration.k8s.io/v1"
    for what, manifest in (
        ("a ClusterRole", wide("ClusterRole", rbac, rules=[EVERYTHING])),
        ("a ClusterRoleBinding", wide("ClusterRoleBinding", rbac, roleRef=role, subjects=[subject])),
        ("a namespace", wide("Namespace", "v1")),
        (
            "a CustomResourceDefinition",
            wide(
                "CustomResourceDefinition",
                "apiextensions.k8s.io/v1",
                name="attacks.example.com",
                spec={"group": "example.com", "names": names, "scope": "Cluster", "versions": [version]},
            ),
        ),
        ("a webhook that reads all requests", wide("MutatingWebhookConfiguration", admission, webhooks=[webhook])),
        ("a volume that is a folder of the nodes", wide("PersistentVolume", "v1", spec=volume)),
        ("a PriorityClass", wide("PriorityClass", "scheduling.k8s.io/v1", value=1)),
        (
            "the end of an admission policy",
            wide(
                "ValidatingAdmissionPolicyBinding",
                admission,
                name="saas-tenant-nodes",
                spec={"policyName": "saas-tenant-nodes", "validationActions": ["Audit"]},
            ),
        ),
    ):
        away = frozenset({RBAC})
        if manifest["kind"] == "Namespace" or "saas-tenant-nodes" in str(manifest):
            # Kustomize makes every Namespace the tenant's own. Pruning that, or the policy, would prove nothing.
            away = frozenset[str]()
        yield Attack(f"a commit holds {what}", promise, FORBIDDEN, RBAC, away, objects=(manifest,))
    for what, given in (
        ("lowers its Pod Security", {}),
        ("is taken over, to be pruned with the next commit", {f"{PREFIX}force": "enabled"}),
    ):
        own = wide("Namespace", "v1", name="{0}")
        own["metadata"] |= {
            "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
            "annotations": given,
        }
        promise = "A tenant changes nothing about its own namespace, and does not delete it."
        name = f"the tenant's own namespace {what}"
        yield Attack(name, promise, FORBIDDEN, RBAC, objects=(own,))
        name = f"{name}, by the role cluster-admin"
        defence, reason = "admission: saas-tenant-namespace", "the namespace is the platform's"
        yield Attack(name, promise, reason, defence, tenant=CLUSTER_ADMIN, objects=(own,))


def _rights() -> Iterator[Attack]:
    promise = "A tenant gives nobody rights that it has not itself, nor any to others than its own accounts."
    more = "not currently held"
    escalates = "RBAC: the API server's escalation check"
    binding = of.role_binding(OWN, cluster_role="cluster-admin")
    yield Attack(
        "a RoleBinding to cluster-admin", promise, more, escalates, frozenset({RBAC}), objects=(evil(binding),)
    )
    for what, rule in (
        ("may do everything", EVERYTHING),
        ("may act as others", {"apiGroups": [""], "resources": ["serviceaccounts", "users"], "verbs": ["impersonate"]}),
        ("makes tokens of accounts", {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}),
    ):
        role = evil(of.role(OWN, **rule))
        yield Attack(f"a Role that {what}", promise, more, escalates, frozenset({RBAC}), objects=(role,))
    others = of.role_binding(OWN, {"kind": "ServiceAccount", "name": NEIGHBOUR, "namespace": NEIGHBOUR})
    defence, reason = "admission: saas-tenant-role-bindings", "can be subjects here, not ServiceAccount neighbour"
    given = (evil(others), of.role(OWN))
    yield Attack(
        "a RoleBinding for a neighbour's account", promise, reason, defence, frozenset({ADMISSION}), objects=given
    )
    token = of.make(
        "Secret",
        OWN,
        name="attack",
        type="kubernetes.io/service-account-token",
        metadata={"annotations": {"kubernetes.io/service-account.name": OWN}},
    )
    token["metadata"] |= {"annotations": {"kubernetes.io/service-account.name": OWN}}
    promise = "A product gets no token of its reconciler, nor of another account."
    defence, reason = "admission: saas-tenant-tokens", "a token that never ends"
    yield Attack(
        "a Secret asks for the reconciler's token",
        promise,
        reason,
        defence,
        frozenset({ADMISSION}),
        objects=(token,),
        proof=f"/api/v1/namespaces/{OWN}/secrets/attack",
    )
    defence, reason = "admission: saas-tenant-accounts", f"the service account {OWN} is the reconciler's"
    pods = evil(of.deployment(OWN, serviceAccountName=OWN))
    yield Attack(
        "a Deployment runs as the reconciler",
        promise,
        "is the reconciler's",
        defence,
        frozenset({ADMISSION}),
        objects=(pods,),
    )


def _platform_objects() -> Iterator[Attack]:
    promise = "What limits a tenant is not the tenant's to change."
    both = frozenset({RBAC, ADMISSION})
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
        # Pruning what was the platform's would take it away: those are tried with the role that may do it anyway.
        ours = manifest["metadata"]["name"] in ("tenant", "default-deny")
        defence = f"{RBAC}; admission: saas-tenant-managed-kinds"
        yield Attack(
            f"a commit {what}", promise, FORBIDDEN, defence, frozenset() if ours else both, objects=(manifest,)
        )
        # Two policies refuse it; which one is quoted is the API server's choice.
        reason = "denied request: " if ours else "are for the platform to make"
        defence = f"admission: saas-tenant-{'platform-objects' if ours else 'managed-kinds'}"
        name, away = f"a commit {what}, by the role cluster-admin", frozenset({ADMISSION})
        yield Attack(
            name, promise, reason, defence, frozenset() if ours else away, tenant=CLUSTER_ADMIN, objects=(manifest,)
        )
    defence = "admission: saas-tenant-platform-objects"
    binding = of.role_binding(OWN, cluster_role="saas-tenant-reconciler")
    binding["metadata"] |= {"name": f"{OWN}-reconciler", "annotations": {f"{PREFIX}force": "enabled"}}
    account = of.make("ServiceAccount", OWN, name=OWN, metadata={"annotations": {"x": "y"}})
    account["metadata"] |= {"name": OWN, "namespace": OWN}
    for what, manifest in (
        ("replaces the reconciler's role binding", binding),
        ("changes the reconciler's account", account),
    ):
        reason = "is the platform's. Take it out"
        yield Attack(f"a commit {what}", promise, reason, defence, objects=(manifest,))
    key = of.make("Secret", OWN, name=OWN, stringData={"known_hosts": "evil.example.com ssh-ed25519 AAAA"})
    yield Attack(
        "a commit changes the key by which its source is read",
        promise,
        "is the platform's. Take it out",
        defence,
        tenant=PRIVATE,
        objects=(key,),
    )
    pretends = of.config_map(OWN)
    pretends["metadata"] = {"name": "attack", "namespace": OWN, "labels": {"saas-in-eks.io/owner": "platform"}}
    yield Attack(
        "a commit's object pretends to be the platform's",
        promise,
        "marks the platform's own objects",
        defence,
        frozenset({ADMISSION}),
        objects=(pretends,),
    )
    promise = "Nothing of a tenant keeps its namespace from going when the tenant goes."
    stuck = of.config_map(OWN)
    stuck["metadata"] = {"name": "attack", "namespace": OWN, "finalizers": ["example.com/never"]}
    defence = "admission: saas-tenant-finalizers"
    yield Attack(
        "a commit's object can never be deleted",
        promise,
        "keep the namespace for ever",
        defence,
        frozenset({ADMISSION}),
        objects=(stuck,),
    )


ATTACKS = (*_cluster(), *_rights(), *_platform_objects())
