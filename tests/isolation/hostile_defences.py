"""Taking one of our defences away from all hostile tenants, and bringing it back as the program made it."""

from __future__ import annotations

from local import agent
from model.kubernetes.admission import guardrails
from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.hostile import ADMISSION, RBAC, SPACE
from tests.isolation.hostile_platform import HostilePlatform
from tests.isolation.hostile_tenants import tenants
from tests.platform import eventually

CRB = "hostile-everywhere"


def take_away(on: HostilePlatform, defence: str) -> None:
    """Remove one of our defences, for all hostile tenants."""
    if defence == RBAC:
        groups = [{"kind": "Group", "apiGroup": of.RBAC, "name": f"system:serviceaccounts:{t}"} for t in tenants()]
        role = {"apiGroup": of.RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
        metadata = {"name": CRB}
        kind = {"apiVersion": f"{of.RBAC}/v1", "kind": "ClusterRoleBinding"}
        on.api.apply({**kind, "metadata": metadata, "roleRef": role, "subjects": groups})
    elif defence == ADMISSION:
        for binding in _bindings():
            assert on.api.send("delete", binding).ok
        eventually(lambda: _admitted(on) == {True})
    elif defence == SPACE:
        for tenant in tenants():
            for kind in ("resourcequotas", "limitranges"):
                assert on.api.call("DELETE", f"/api/v1/namespaces/{tenant}/{kind}/tenant").ok
            _pod_security(on, tenant, "privileged")
        for tenant in tenants():
            eventually(lambda tenant=tenant: _unlimited(on, tenant))
    else:
        _lock_down(on, False)


def bring_back(on: HostilePlatform, defence: str) -> None:
    """Have one of our defences again, as the program made it."""
    if defence == RBAC:
        assert on.api.call("DELETE", f"/apis/{of.RBAC}/v1/clusterrolebindings/{CRB}").ok
    elif defence == ADMISSION:
        on.api.apply(*_bindings())
        eventually(lambda: _admitted(on) == {False})
    elif defence == SPACE:
        on.api.apply(*on.space)
        for tenant in tenants():
            _pod_security(on, tenant, "baseline")
    else:
        _lock_down(on, True)


def space(on: HostilePlatform) -> list[Manifest]:
    """A copy of the quotas and limits of all hostile tenants, which `take_away` deletes."""
    kinds = {"resourcequotas": "ResourceQuota", "limitranges": "LimitRange"}
    copies: list[Manifest] = []
    for tenant in tenants():
        for plural, kind in kinds.items():
            found = on.get(f"/api/v1/namespaces/{tenant}/{plural}/tenant")
            assert found is not None
            labels = found["metadata"]["labels"]
            copies.append(of.make(kind, tenant, name="tenant", metadata={"labels": labels}, spec=found["spec"]))
    return copies


def _pod_security(on: HostilePlatform, tenant: str, level: str) -> None:
    merge = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}}
    answer = on.api.call("PATCH", f"/api/v1/namespaces/{tenant}", merge, kind="application/merge-patch+json")
    assert answer.ok, answer.message


def _admitted(on: HostilePlatform) -> set[bool]:
    """What the API server answers to objects of which policies of different kinds each refuse one.

    It learns of policies one by one: all are at work, or away, once the answers are the same.
    """
    tenant = next(iter(tenants()))
    token = of.make("Secret", tenant, type="kubernetes.io/service-account-token")
    token["metadata"]["annotations"] = {"kubernetes.io/service-account.name": tenant}
    chosen = of.deployment(tenant, nodeName="simulated-a")
    outside = of.service(tenant, type="ExternalName", externalName="probe.example.net")
    return {_possible(on, probe) for probe in (token, chosen, outside)}


def _unlimited(on: HostilePlatform, tenant: str) -> bool:
    """Whether the API server no longer counts, nor limits; it learns of both some time later."""
    claim = of.claim(tenant, resources={"requests": {"storage": "100Ti"}})
    pod = of.pod(tenant, container={"resources": {"limits": {"memory": "32Gi"}}})
    return _possible(on, claim) and _possible(on, pod)


def _possible(on: HostilePlatform, probe: Manifest) -> bool:
    probe["metadata"]["name"] = "probe"
    return on.api.send("create", probe, dry_run=True).ok


def _lock_down(on: HostilePlatform, locked: bool) -> None:
    before = set(agent.programs(on.platform.home).values())
    on.stack.configure(fluxLockdown=locked)
    on.stack.up()
    eventually(lambda: not before & set(agent.programs(on.platform.home).values()))
    eventually(lambda: len(agent.programs(on.platform.home)) == 4)


def _bindings() -> list[Manifest]:
    return [one for one in guardrails() if one["kind"] == "ValidatingAdmissionPolicyBinding"]
