"""What RBAC cannot say: the policies that hold in every tenant's namespace. Kubernetes 1.33 or newer evaluates them.

admission_policy      how a policy is written, and by which annotations it knows what a tenant may have
admission_workloads   pods: images, priority, nodes, accounts, volumes
admission_traffic     host names, routes, Services
admission_rights      the platform's objects, the namespace, kinds that are the platform's, role bindings, finalizers
admission_flux        Flux's objects, Helm
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
    """Everything that a cluster needs once, before its first tenant: roles, then policies, then their bindings."""
    policies, bindings = zip(*(policy.manifests() for policy in POLICIES), strict=True)
    return [*reconciler_roles(), *policies, *bindings]
