"""Removes and restores defences, to prove which one stops an attack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from model.config.names import product_namespace
from model.kubernetes import admission
from model.kubernetes.admission.flux_values import flux_values
from model.kubernetes.admission.policy import Policy
from model.kubernetes.manifests import POD_SECURITY as POD_SECURITY_LABEL
from model.kubernetes.manifests import Manifest
from tests.isolation import flux_fields
from tests.isolation.api import Actor
from tests.isolation.objects import RBAC, make

ROLE = "RBAC: the reconciler's role, bound in its own namespace only"
QUOTA, LIMITS, POD_SECURITY = "ResourceQuota", "LimitRange", "Pod Security"
LOCKDOWN = "Flux: its multi-tenancy lockdown"
POLICIES: Mapping[str, Policy] = {
    policy.name: policy for policy in (flux_values(flux_fields.of_all_kinds()), *admission.POLICIES)
}
"""Admission policies by their names, each of which is a defence."""

ADMISSION = frozenset(POLICIES)
SPACE = frozenset({QUOTA, LIMITS, POD_SECURITY})

PROMISES = {
    ROLE: "A reconciler manages its product's usual objects in its own namespace, and nothing else anywhere.",
    QUOTA: "A tenant takes no more of the cluster than its tier gives it.",
    LIMITS: "No container of a tenant takes more of a node than its tier gives it.",
    POD_SECURITY: "A tenant's pods meet the Pod Security Standard of its tier.",
    **{name: policy.promise for name, policy in POLICIES.items()},
}
"""The purpose of each defence."""

Restore = Callable[[], None]


def admission_policy(name: str) -> str:
    """A policy's full name."""
    found = f"saas-tenant-{name}"
    assert found in POLICIES
    return found


class Defences:
    """Removes defences from some tenants, and restores them as the program made them."""

    def __init__(
        self, administrator: Actor, tenants: Sequence[str], lock_down: Callable[[bool], None] | None = None
    ) -> None:
        self._administrator, self._tenants, self._lock_down = administrator, tenants, lock_down
        self._removed: dict[str, list[Restore]] = {}

    @property
    def removed(self) -> frozenset[str]:
        return frozenset(self._removed)

    def only_without(self, names: frozenset[str]) -> None:
        """Remove these defences and restore all others. The API server applies changes with a delay."""
        for name in sorted(self.removed - names):
            for restore in self._removed.pop(name):
                restore()
        for name in sorted(names - self.removed):
            self._removed[name] = list(self._remove(name))

    def _remove(self, name: str) -> list[Restore]:
        if name in POLICIES:
            return [self._policy_only_warns(name)]
        if name == ROLE:
            return [self._rights_everywhere()]
        if name == LOCKDOWN:
            assert self._lock_down, "no Flux here"
            lock_down = self._lock_down
            lock_down(False)
            return [lambda: lock_down(True)]
        remove = self._pod_security_is_lowered if name == POD_SECURITY else lambda tenant: self._deleted(name, tenant)
        return [remove(tenant) for tenant in self._tenants]

    def _policy_only_warns(self, name: str) -> Restore:
        """Let the policy only warn, with the numbers of its failing checks."""
        changed, binding = POLICIES[name].manifests()
        numbered = [
            {"expression": check["expression"], "message": f"#{number}"}
            for number, check in enumerate(changed["spec"]["validations"])
        ]
        self._merge({**binding, "spec": {**binding["spec"], "validationActions": ["Warn"]}})
        self._merge({**changed, "spec": {**changed["spec"], "validations": numbered}})

        def restore() -> None:
            self._merge(changed)
            self._merge(binding)

        return restore

    def _rights_everywhere(self) -> Restore:
        """Bind every account of the tenants to cluster-admin in the whole cluster."""
        everywhere: Manifest = {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "hostile-everywhere"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [
                {"kind": "Group", "apiGroup": RBAC, "name": f"system:serviceaccounts:{namespace}"}
                for tenant in self._tenants
                for namespace in (tenant, product_namespace(tenant))
            ],
        }
        self._administrator.apply(everywhere)
        return lambda: self._delete(everywhere)

    def _deleted(self, kind: str, tenant: str) -> Restore:
        """Delete the quota or the limits of a tenant."""
        limit = make(kind, tenant, name="tenant")
        found = self._administrator.send("get", limit).body
        self._delete(limit)
        metadata = {key: found["metadata"][key] for key in ("name", "namespace", "labels")}
        return lambda: self._administrator.apply({**limit, "metadata": metadata, "spec": found["spec"]})

    def _pod_security_is_lowered(self, tenant: str) -> Restore:
        label = f"{POD_SECURITY_LABEL}/enforce"
        namespace: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant}}
        level = self._administrator.send("get", namespace).body["metadata"]["labels"][label]

        def enforce(value: str) -> None:
            self._merge({**namespace, "metadata": {"name": tenant, "labels": {label: value}}})

        enforce("privileged")
        return lambda: enforce(level)

    def _merge(self, manifest: Manifest) -> None:
        """Replace fields by a merge patch: server-side apply would keep list elements that others own."""
        answer = self._administrator.send("merge", manifest)
        assert answer.ok, answer.message

    def _delete(self, manifest: Manifest) -> None:
        answer = self._administrator.send("delete", manifest)
        assert answer.ok, answer.message
