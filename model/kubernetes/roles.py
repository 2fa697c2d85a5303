"""ClusterRoles of the tenants' reconcilers: a product's usual objects, nothing else.

Neither role is aggregated into Kubernetes' own `admin`, `edit` and `view`. tests/isolation/permissions.md is the
table of everything they permit, compared with the API server's answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.config.tiers import HELM_ROLE, RECONCILER_ROLE
from model.kubernetes.manifests import Manifest

READ = ("get", "list", "watch")
WRITE = (*READ, "create", "update", "patch", "delete")

RBAC = "rbac.authorization.k8s.io"


def reconciler_roles() -> list[Manifest]:
    """The default role of every reconciler, and the additional one for tiers that allow Helm."""
    return [
        _cluster_role(
            RECONCILER_ROLE,
            "A product's usual objects in the tenant's namespace. Neither its quota, limits and network policies nor "
            "the Flux objects that feed it; no token of an account, no command in a pod.",
            [
                _rule("", ["configmaps", "persistentvolumeclaims", "secrets", "serviceaccounts", "services"], WRITE),
                # No DaemonSets: an agent on every node is the platform's business.
                _rule("apps", ["deployments", "statefulsets"], WRITE),
                _rule("batch", ["cronjobs", "jobs"], WRITE),
                _rule("autoscaling", ["horizontalpodautoscalers"], WRITE),
                _rule("policy", ["poddisruptionbudgets"], WRITE),
                _rule("networking.k8s.io", ["ingresses"], WRITE),
                _rule("gateway.networking.k8s.io", ["grpcroutes", "httproutes"], WRITE),
                # Without escalate and bind: it can grant only rights that it has itself.
                _rule(RBAC, ["rolebindings", "roles"], WRITE),
                # For the product to use, not the reconciler: leader election and events.
                _rule("coordination.k8s.io", ["leases"], WRITE),
                # Not to read them: Flux's controllers write errors there in their own words.
                _rule("", ["events"], ("create", "patch")),
                _rule("events.k8s.io", ["events"], ("create", "patch")),
                # Health of the applied objects. Read only: a writer of endpoints could send the cluster's ingress to a
                # neighbour.
                _rule("", ["endpoints", "pods", "pods/log"], READ),
                _rule("apps", ["controllerrevisions", "replicasets"], READ),
                _rule("discovery.k8s.io", ["endpointslices"], READ),
                # Its own limits.
                _rule("", ["limitranges", "resourcequotas"], READ),
                _rule("networking.k8s.io", ["networkpolicies"], READ),
                _rule("", ["namespaces"], ("get",)),
            ],
        ),
        _cluster_role(
            HELM_ROLE,
            "Charts: releases and where they come from, for tenants whose tier allows Helm.",
            [
                _rule("helm.toolkit.fluxcd.io", ["helmreleases"], WRITE),
                _rule("source.toolkit.fluxcd.io", ["helmcharts", "helmrepositories", "ocirepositories"], WRITE),
                # A chart's hooks and tests may be bare pods.
                _rule("", ["pods"], WRITE),
            ],
        ),
    ]


def _cluster_role(name: str, description: str, rules: Sequence[Manifest]) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "annotations": {"kubernetes.io/description": description}},
        "rules": list(rules),
    }


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> Manifest:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
