"""ValidatingAdmissionPolicies for every tenant's namespace: rules that RBAC cannot express.

policy      builder of a policy and its binding; annotations by which policies know a tenant's rights
workloads   pods: images, priority, nodes, accounts, volumes
traffic     host names, routes, Services
rights      the platform's objects, the namespace, kinds reserved for the platform, role bindings, finalizers
flux        Flux's objects, Helm
flux_values durations, numbers and lists in Flux's objects, from the schemas of the installed release
encrypted   values that SOPS has encrypted
shards      the controllers that reconcile a tenant's objects
"""

from __future__ import annotations

from collections.abc import Iterable

from model.kubernetes.admission.encrypted import ENCRYPTED
from model.kubernetes.admission.flux import FLUX
from model.kubernetes.admission.flux_values import bounded_fields, flux_values
from model.kubernetes.admission.rights import RIGHTS
from model.kubernetes.admission.shards import OF_WATCHDOG, SHARDS
from model.kubernetes.admission.traffic import TRAFFIC
from model.kubernetes.admission.workloads import WORKLOADS
from model.kubernetes.manifests import Manifest
from model.kubernetes.roles import reconciler_roles

POLICIES = (*RIGHTS, *FLUX, *SHARDS, *WORKLOADS, *TRAFFIC, ENCRYPTED)
"""All policies for tenants, except the one that is generated from Flux's definitions."""


def guardrails(definitions: Iterable[Manifest]) -> list[Manifest]:
    """Cluster-wide objects that come before the first tenant: roles, then policies, then their bindings.

    `definitions` are Flux's CustomResourceDefinitions.
    """
    generated = flux_values(bounded_fields(definitions))
    policies, bindings = zip(*(policy.manifests() for policy in (generated, *POLICIES, OF_WATCHDOG)), strict=True)
    return [*reconciler_roles(), *policies, *bindings]
