"""What is not the tenant's: other namespaces, the cluster, its own limits, rights that it has not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import ADMIN, BASIC, CLUSTER_ADMIN, NEIGHBOUR, ROLE, TAKE_OUT, Attack, by_policy
from tests.isolation.attacks_on_flux import git_repository, kustomization

TOKEN_REQUEST: Manifest = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
NEIGHBOURS_POD = [{"addresses": [{"ip": "10.244.1.7"}], "ports": [{"port": 80}]}]


def network_policy(namespace: str) -> Manifest:
    """Everything is open to everybody."""
    spec = {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}
    return of.make("NetworkPolicy", namespace, version="networking.k8s.io/v1", spec=spec)


def endpoint_slice(namespace: str) -> Manifest:
    """A Service's requests go to a neighbour's pod."""
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
    """What the default role does not permit; policies refuse some of it once more."""

    def tries(
        name: str, manifest: Manifest, *policies: str, reason: str = " is forbidden: User ", **how: Any
    ) -> Attack:
        return Attack(name, (ROLE, *map(by_policy, policies)), reason, manifest, **how)

    def wide(kind: str, version: str, *, name: str = "evil", **content: Any) -> Manifest:
        return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}

    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    everywhere = wide(
        "ClusterRoleBinding",
        f"{of.RBAC}/v1",
        roleRef={"apiGroup": of.RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        subjects=[{"kind": "ServiceAccount", "name": BASIC, "namespace": BASIC}],
    )
    yield tries("a tenant writes into a neighbour's namespace", of.config_map(NEIGHBOUR))
    yield tries("a tenant makes a namespace", wide("Namespace", "v1"))
    yield tries("a tenant makes a ClusterRole", wide("ClusterRole", f"{of.RBAC}/v1", rules=everything))
    yield tries("a tenant makes a ClusterRoleBinding", everywhere)
    yield tries("a tenant makes a PriorityClass", wide("PriorityClass", "scheduling.k8s.io/v1", value=5))
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

    intercepts = wide("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1", webhooks=[])
    yield tries("a tenant intercepts everybody's requests", intercepts)
    unbound = wide("ValidatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1", name=by_policy("nodes"))
    yield tries("a tenant unbinds an admission policy", unbound, verb="delete")
    yield tries(
        "a tenant drains a node", wide("Node", "v1", name="simulated-a", spec={"unschedulable": True}), verb="merge"
    )
    volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/"}}
    yield tries("a tenant makes a volume of the node's root", wide("PersistentVolume", "v1", spec=volume))
    names = {"kind": "Evil", "plural": "evils", "singular": "evil"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "example.com", "names": names, "scope": "Cluster", "versions": [version]}
    definition = wide("CustomResourceDefinition", "apiextensions.k8s.io/v1", name="evils.example.com", spec=spec)
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
    cannot = "cannot impersonate"
    for who in (
        f"system:serviceaccount:{NEIGHBOUR}:{NEIGHBOUR}",
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


def beyond_the_role() -> Iterator[Attack]:
    """What a wider role in its own namespace would permit."""
    platform, managed = by_policy("platform-objects"), by_policy("managed-kinds")

    def tries(name: str, policy: str, reason: str, manifest: Manifest, **how: Any) -> Attack:
        return Attack(name, (policy,), reason, manifest, **{"tenant": CLUSTER_ADMIN, **how})

    def own(kind: str, name: str, version: str = "v1", **content: Any) -> Manifest:
        return of.make(kind, CLUSTER_ADMIN, version=version, name=name, **content)

    binding = own("RoleBinding", f"{CLUSTER_ADMIN}-reconciler", f"{of.RBAC}/v1")
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
    yield Attack("its quota is raised", both, TAKE_OUT, quota, CLUSTER_ADMIN, "merge")
    yield Attack("its quota is deleted", both, TAKE_OUT, quota, CLUSTER_ADMIN, "delete")
    yield Attack("all its quotas are deleted at once", both, TAKE_OUT, quota, CLUSTER_ADMIN, "deletecollection")
    used = {**quota, "spec": {}, "status": {"used": {"pods": "0"}}}
    yield Attack("its quota forgets what is used", both, TAKE_OUT, used, CLUSTER_ADMIN, "merge", "status")
    limits = own("LimitRange", "tenant")
    closed = own("NetworkPolicy", "default-deny", "networking.k8s.io/v1")
    yield Attack("its network policies are deleted at once", both, TAKE_OUT, closed, CLUSTER_ADMIN, "deletecollection")
    opened = {**closed, "spec": {"ingress": [{}], "egress": [{}]}}
    yield Attack("its network policy is opened", both, TAKE_OUT, opened, CLUSTER_ADMIN, "merge")
    yield tries("all its role bindings are deleted at once", platform, reason, binding, verb="deletecollection")
    yield Attack("its limits are deleted", both, TAKE_OUT, limits, CLUSTER_ADMIN, "delete")

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
        yield tries(f"the namespace {what}", by_policy("namespace"), reason, changed, **how)
    hosts = {"saas-in-eks.io/hosts": f"{NEIGHBOUR}.example.com"}
    changed = {**namespace, "metadata": {"name": CLUSTER_ADMIN, "annotations": hosts}}
    yield tries("the namespace gets a neighbour's host name", by_policy("namespace"), reason, changed, verb="merge")
    yield tries("the namespace is deleted", by_policy("namespace"), reason, namespace, verb="delete")

    for what, subject in (
        ("a person", {"apiGroup": of.RBAC, "kind": "User", "name": "mallory"}),
        ("everybody", {"apiGroup": of.RBAC, "kind": "Group", "name": "system:authenticated"}),
        ("a neighbour's account", {"kind": "ServiceAccount", "name": NEIGHBOUR, "namespace": NEIGHBOUR}),
    ):
        reason = f"only service accounts of {BASIC} can be subjects here, not {subject['kind']} {subject['name']}"
        binding = of.role_binding(BASIC, subject)
        given = (of.role(BASIC),)
        yield tries(f"{what} gets rights", by_policy("role-bindings"), reason, binding, tenant=BASIC, given=given)
    stuck = of.config_map(BASIC, finalizers=["example.com/never"])
    reason = "keep the namespace for ever: example.com/never"
    yield tries("an object can never be deleted", by_policy("finalizers"), reason, stuck, tenant=BASIC)
