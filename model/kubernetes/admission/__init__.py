"""ValidatingAdmissionPolicies for every tenant's namespace: rules that RBAC cannot express.

policy      builder of a policy and its binding; annotations by which policies know a tenant's rights
workloads   pods: images, priority, nodes, accounts, volumes
traffic     host names, routes, Services
rights      the platform's objects, the namespace, kinds reserved for the platform, role bindings, finalizers
flux        Flux's objects, Helm
"""

from __future__ import annotations

from model.kubernetes.admission.flux import FLUX
from model.kubernetes.admission.rights import RIGHTS
from model.kubernetes.admission.traffic import TRAFFIC
from model.kubernetes.admission.workloads import WORKLOADS
from model.kubernetes.manifests import Manifest
from model.kubernetes.roles import reconciler_roles

POLICIES = (*RIGHTS, *FLUX, *WORKLOADS, *TRAFFIC)


def guardrails() -> list[Manifest]:
    """Cluster-wide objects that come before the first tenant: roles, then policies, then their bindings."""
    policies, bindings = zip(*(policy.manifests() for policy in POLICIES), strict=True)
    return [*reconciler_roles(), *policies, *bindings]
