"""Rule about the objects that isolate a tenant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .resource import Hidden, Resource

TENANT = "saas:tenant:TenantSpace"
NAMESPACE = "kubernetes:core/v1:Namespace"

ACCOUNT = "kubernetes:core/v1:ServiceAccount"
PRODUCTS = "product-"
"""Prefix of the namespaces of shared products, in which their tenants' reconcilers are."""

REQUIRED_OBJECTS: Sequence[str] = (
    ACCOUNT,
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
    "kubernetes:core/v1:ResourceQuota",
    "kubernetes:core/v1:LimitRange",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy",
)
"""Types of which each tenant has an object in its own namespace; the account may be in a shared product's."""

REQUIRED_LABELS: Sequence[str] = ("toolkit.fluxcd.io/tenant", "pod-security.kubernetes.io/enforce")
"""Labels of each tenant's namespace; admission policies select by the first."""

ADMISSION = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding"

CLUSTER_WIDE = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding"


def tenant_isolation(resources: Sequence[Resource]) -> Iterator[tuple[str, str]]:
    """Each tenant has its own namespace with everything that isolates it, and no rights outside it."""
    owners: dict[str, str] = {}
    admission = any(each.type == ADMISSION for each in resources)
    for tenant in resources:
        if tenant.type != TENANT:
            continue
        children = [each for each in resources if each.parent == tenant.urn]
        namespaces = [each for each in children if each.type == NAMESPACE]
        if len(namespaces) != 1:
            yield tenant.urn, f"the tenant has {len(namespaces)} namespaces: give it one of its own."
            continue
        namespace = namespaces[0].get("metadata", "name")
        if namespace in owners:
            yield tenant.urn, f"the tenant shares {namespace} with {owners[namespace]}: give each its own."
        owners[namespace] = tenant.name
        for kind in REQUIRED_OBJECTS:
            places = [each.get("metadata", "namespace") for each in children if each.type == kind]
            shared = kind == ACCOUNT and any(str(place).startswith(PRODUCTS) for place in places)
            if namespace not in places and not shared:
                yield tenant.urn, f"the tenant has no {kind.split(':')[-1]} in {namespace}: add one."
        labels = namespaces[0].get("metadata", "labels")
        for label in REQUIRED_LABELS:
            if not isinstance(labels, Hidden) and label not in (labels or {}):
                yield namespaces[0].urn, f"the namespace lacks the label {label}: add it."
        for child in children:
            if child.type == CLUSTER_WIDE:
                yield child.urn, "the tenant gets rights in every namespace: bind the role in its own namespace."
        if not admission:
            yield tenant.urn, "no admission policy is in effect for the tenant: add the component Guardrails."
