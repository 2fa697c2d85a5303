"""Attacks on rights: other namespaces, the cluster, rights that the tenant lacks, tokens, other identities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import BASIC, CLUSTER_ADMIN, FORBIDDEN, NEIGHBOUR, OWN, PRODUCT, Attack, commit, request
from tests.isolation.attacks.flux import git_repository, kustomization
from tests.isolation.defences import ADMISSION, ROLE, admission_policy

TOKEN_REQUEST: Manifest = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
NEIGHBOURS_POD = [{"addresses": [{"ip": "10.244.1.7"}], "ports": [{"port": 80}]}]


def network_policy(namespace: str) -> Manifest:
    """A NetworkPolicy that allows all connections."""
    spec = {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}
    return of.make("NetworkPolicy", namespace, version="networking.k8s.io/v1", spec=spec)


def endpoint_slice(namespace: str) -> Manifest:
    """An EndpointSlice that sends a Service's requests to a neighbour's pod."""
    return of.make(
        "EndpointSlice",
        namespace,
        version="discovery.k8s.io/v1",
        metadata={"labels": {"kubernetes.io/service-name": "product"}},
        addressType="IPv4",
        endpoints=[{"addresses": ["10.244.1.7"]}],
        ports=[{"port": 80}],
    )


def outside_of_the_role() -> Iterator[Attack]:
    """Requests that the default role does not permit; policies also refuse some of them."""

    def tries(
        name: str, manifest: Manifest, *policies: str, reason: str = " is forbidden: User ", **how: Any
    ) -> Attack:
        return request(name, (ROLE, *map(admission_policy, policies)), reason, manifest, **how)

    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    everywhere = of.cluster_wide(
        "ClusterRoleBinding",
        f"{of.RBAC}/v1",
        roleRef={"apiGroup": of.RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        subjects=[{"kind": "ServiceAccount", "name": BASIC, "namespace": BASIC}],
    )
    yield tries("a tenant writes into a neighbour's namespace", of.config_map(NEIGHBOUR))
    yield tries("a tenant makes a namespace", of.cluster_wide("Namespace", "v1"))
    yield tries("a tenant makes a ClusterRole", of.cluster_wide("ClusterRole", f"{of.RBAC}/v1", rules=everything))
    yield tries("a tenant makes a ClusterRoleBinding", everywhere)
    yield tries("a tenant makes a PriorityClass", of.cluster_wide("PriorityClass", "scheduling.k8s.io/v1", value=5))
    more = "not currently held"
    given = (of.make("ServiceAccount", BASIC),)
    binding = of.role_binding(BASIC, cluster_role="cluster-admin")
    yield tries("a tenant binds its account to cluster-admin", binding, reason=more, given=given)
    all_of_it = of.role(BASIC, **everything[0])
    yield tries("a tenant makes a role that may do everything", all_of_it, reason=more)
    yield tries("a tenant opens its network", network_policy(BASIC), "managed-kinds")
    yield tries("a tenant makes a Kustomization", kustomization(BASIC), "flux")
    yield tries("a tenant makes a GitRepository", git_repository(BASIC), "flux")
    yield tries("a tenant of the default tier makes a release", of.release(BASIC), "flux")
    yield tries("a tenant runs an agent on every node", of.daemon_set(BASIC))
    yield tries("a tenant runs a bare pod", of.pod(BASIC))
    yield tries("a tenant sends requests elsewhere", endpoint_slice(BASIC), "managed-kinds")
    level = {"pod-security.kubernetes.io/enforce": "privileged"}
    lowered = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BASIC, "labels": level}}
    yield tries("a tenant lowers its Pod Security", lowered, "namespace", verb="merge")
    yield tries("a tenant deletes its namespace", lowered, "namespace", verb="delete")
    raised = of.make("ResourceQuota", BASIC, name="tenant", spec={"hard": {"pods": "100000"}})
    both = ("platform-objects", "managed-kinds")
    yield tries("a tenant raises its quota", raised, *both, verb="merge")
    yield tries("a tenant deletes its quota", raised, *both, verb="delete")
    yield tries("a tenant deletes its limits", of.make("LimitRange", BASIC, name="tenant"), *both, verb="delete")
    closed = of.make("NetworkPolicy", BASIC, version="networking.k8s.io/v1", name="default-deny")
    yield tries("a tenant deletes its network policy", closed, *both, verb="delete")
    mine = of.make("Kustomization", BASIC, version=f"kustomize.{of.FLUX}/v1", name=BASIC)
    both = ("flux", "platform-objects")
    other = {**mine, "spec": {"serviceAccountName": None}}
    yield tries("a tenant's Kustomization acts as Flux's controller", other, *both, verb="merge")
    yield tries("a tenant deletes its Kustomization", mine, *both, verb="delete")

    intercepts = of.cluster_wide("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1", webhooks=[])
    yield tries("a tenant intercepts everybody's requests", intercepts)
    unbound = of.cluster_wide(
        "ValidatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1", name=admission_policy("nodes")
    )
    yield tries("a tenant unbinds an admission policy", unbound, verb="delete")
    yield tries(
        "a tenant drains a node",
        of.cluster_wide("Node", "v1", name="simulated-a", spec={"unschedulable": True}),
        verb="merge",
    )
    volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/"}}
    yield tries("a tenant makes a volume of the node's root", of.cluster_wide("PersistentVolume", "v1", spec=volume))
    names = {"kind": "Evil", "plural": "evils", "singular": "evil"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "example.com", "names": names, "scope": "Cluster", "versions": [version]}
    definition = of.cluster_wide(
        "CustomResourceDefinition", "apiextensions.k8s.io/v1", name="evils.example.com", spec=spec
    )
    yield tries("a tenant defines a kind", definition)

    secret = of.make("Secret", NEIGHBOUR, name="product", stringData={"password": "neighbours"})
    yield tries("a tenant reads a neighbour's Secret", secret, verb="get", given=(secret,))
    theirs = of.make("ServiceAccount", NEIGHBOUR, name=NEIGHBOUR)
    controllers = of.make("ServiceAccount", "flux-system", name="kustomize-controller")
    own = of.make("ServiceAccount", BASIC, name=BASIC)
    create: dict[str, Any] = {"verb": "create", "subresource": "token", "body": TOKEN_REQUEST}
    yield tries("a tenant makes a token of a neighbour's account", theirs, **create)
    yield tries("a tenant makes a token of Flux's controller", controllers, **create, given=(controllers,))
    yield tries("a tenant makes a token of its own account", own, "managed-kinds", **create)
    key = of.make("Secret", PRODUCT, name="shop", stringData={"identity": "the deploy key"})
    yield tries("a tenant reads the deploy key of a product", key, verb="get", given=(key,))
    reconciler = of.make("ServiceAccount", PRODUCT, name=NEIGHBOUR)
    yield tries("a tenant makes a token of a neighbour's account in a product's namespace", reconciler, **create)
    yield tries("a tenant makes a Kustomization in a product's namespace", kustomization(PRODUCT))
    theirs = of.make("Kustomization", PRODUCT, version=f"kustomize.{of.FLUX}/v1", name=NEIGHBOUR)
    suspended = {**theirs, "spec": {"suspend": True}}
    yield tries("a tenant suspends a neighbour's Kustomization of the same product", suspended, verb="merge")
    yield request(
        "a tenant gives rights to a neighbour's account in a product's namespace",
        (admission_policy("role-bindings"),),
        "can be subjects here, not ServiceAccount neighbour",
        of.role_binding(BASIC, {"kind": "ServiceAccount", "name": NEIGHBOUR, "namespace": PRODUCT}),
        given=(of.role(BASIC),),
    )
    cannot = "cannot impersonate"
    for who in (
        f"system:serviceaccount:{NEIGHBOUR}:{NEIGHBOUR}",
        f"system:serviceaccount:{PRODUCT}:{NEIGHBOUR}",
        f"gotk:{NEIGHBOUR}:reconciler",
        "system:kube-controller-manager",
    ):
        how: dict[str, Any] = {"verb": "get", "as_user": who, "reason": cannot}
        allowed = secret
        yield tries(f"a tenant says that it is {who}", allowed, **how)
    yield tries(
        "a tenant with cluster-admin in its namespace says that it is a neighbour",
        of.config_map(NEIGHBOUR),
        tenant=CLUSTER_ADMIN,
        as_user=f"gotk:{NEIGHBOUR}:reconciler",
        reason=cannot,
    )


FORCE = "kustomize.toolkit.fluxcd.io/force"
"""Annotation that makes Flux recreate objects with immutable changes."""


def commits_for_the_cluster() -> Iterator[Attack]:
    """Commits with cluster-scoped objects."""
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
        ("a ClusterRole", of.cluster_wide("ClusterRole", rbac, name=f"attack-{OWN}", rules=[of.EVERYTHING])),
        (
            "a ClusterRoleBinding",
            of.cluster_wide("ClusterRoleBinding", rbac, name=f"attack-{OWN}", roleRef=role, subjects=[subject]),
        ),
        ("a namespace", of.cluster_wide("Namespace", "v1", name=f"attack-{OWN}")),
        (
            "a CustomResourceDefinition",
            of.cluster_wide(
                "CustomResourceDefinition",
                "apiextensions.k8s.io/v1",
                name="attacks.example.com",
                spec={"group": "example.com", "names": names, "scope": "Cluster", "versions": [version]},
            ),
        ),
        (
            "a webhook that reads all requests",
            of.cluster_wide("MutatingWebhookConfiguration", admission, name=f"attack-{OWN}", webhooks=[webhook]),
        ),
        (
            "a volume that is a folder of the nodes",
            of.cluster_wide("PersistentVolume", "v1", name=f"attack-{OWN}", spec=volume),
        ),
        ("a PriorityClass", of.cluster_wide("PriorityClass", "scheduling.k8s.io/v1", name=f"attack-{OWN}", value=1)),
        (
            "the end of an admission policy",
            of.cluster_wide(
                "ValidatingAdmissionPolicyBinding",
                admission,
                name="saas-tenant-nodes",
                spec={"policyName": "saas-tenant-nodes", "validationActions": ["Audit"]},
            ),
        ),
    ):
        away = frozenset({ROLE})
        if manifest["kind"] == "Namespace" or "saas-tenant-nodes" in str(manifest):
            # Kustomize renames every Namespace to the tenant's. Removing defences here would prove nothing.
            away = frozenset[str]()
        yield commit(f"a commit holds {what}", promise, FORBIDDEN, ROLE, away, objects=(manifest,))
    for what, given in (
        ("lowers its Pod Security", {}),
        ("is taken over, to be pruned with the next commit", {FORCE: "enabled"}),
    ):
        own = of.cluster_wide("Namespace", "v1", name=OWN)
        own["metadata"] |= {
            "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
            "annotations": given,
        }
        promise = "A tenant changes nothing about its own namespace, and does not delete it."
        name = f"the tenant's own namespace {what}"
        yield commit(name, promise, FORBIDDEN, ROLE, objects=(own,))
        name = f"{name}, by the role cluster-admin"
        defence, reason = "admission: saas-tenant-namespace", "the namespace is the platform's"
        yield commit(name, promise, reason, defence, tenant=CLUSTER_ADMIN, objects=(own,))


def commits_for_rights() -> Iterator[Attack]:
    """Commits with roles, bindings and tokens."""
    promise = "A tenant gives nobody rights that it has not itself, nor any to others than its own accounts."
    more = "not currently held"
    escalates = "RBAC: the API server's escalation check"
    binding = of.role_binding(OWN, cluster_role="cluster-admin")
    yield commit(
        "a RoleBinding to cluster-admin", promise, more, escalates, frozenset({ROLE}), objects=(of.evil(binding),)
    )
    for what, rule in (
        ("may do everything", of.EVERYTHING),
        ("may act as others", {"apiGroups": [""], "resources": ["serviceaccounts", "users"], "verbs": ["impersonate"]}),
        ("makes tokens of accounts", {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}),
    ):
        role = of.evil(of.role(OWN, **rule))
        yield commit(f"a Role that {what}", promise, more, escalates, frozenset({ROLE}), objects=(role,))
    others = of.role_binding(OWN, {"kind": "ServiceAccount", "name": NEIGHBOUR, "namespace": NEIGHBOUR})
    defence, reason = "admission: saas-tenant-role-bindings", "can be subjects here, not ServiceAccount neighbour"
    given = (of.evil(others), of.role(OWN))
    yield commit("a RoleBinding for a neighbour's account", promise, reason, defence, ADMISSION, objects=given)
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
    yield commit(
        "a Secret asks for the reconciler's token",
        promise,
        reason,
        defence,
        ADMISSION,
        objects=(token,),
        proof=f"/api/v1/namespaces/{OWN}/secrets/attack",
    )
    defence, reason = "admission: saas-tenant-accounts", f"the service account {OWN} is the reconciler's"
    pods = of.evil(of.deployment(OWN, serviceAccountName=OWN))
    yield commit(
        "a Deployment runs as the reconciler",
        promise,
        "is the reconciler's",
        defence,
        ADMISSION,
        objects=(pods,),
    )


ATTACKS = (*outside_of_the_role(), *commits_for_the_cluster(), *commits_for_rights())
