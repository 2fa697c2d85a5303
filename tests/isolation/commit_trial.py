"""Attacks by commits, several in parallel: Flux's and Kubernetes' messages, and side effects."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import (
    ARTIFACTS,
    BASIC,
    GIT,
    NEIGHBOUR,
    OF_PRODUCT,
    OWN,
    SCHEMA_FILE,
    THEIRS,
    WEB,
    Attack,
    Commit,
    product_of,
)
from tests.isolation.defences import ADMISSION, SPACE, Defences
from tests.isolation.flux_platform import PATHS, SOURCES, HostilePlatform
from tests.isolation.runner import Outcome
from tests.isolation.tenants import POOL, tenants
from tests.isolation.web import PATIENCE
from tests.platform import eventually

NO_FINALIZERS = {"metadata": {"finalizers": None}}


@dataclass
class Commits:
    """Where attacks by commits are carried out."""

    on: HostilePlatform
    defences: Defences = field(init=False)

    def __post_init__(self) -> None:
        (self.on.folder / "schema.json").write_text("{}")
        self.defences = Defences(self.on.api, list(tenants()), self.on.lock_down)

    def settle(self) -> None:
        """Wait until the removal of defences has taken effect in the API server."""
        removed = self.defences.removed
        eventually(lambda: self._admitted() == {removed >= ADMISSION})
        if removed & SPACE:
            for tenant in tenants():
                eventually(lambda tenant=tenant: self._unlimited(tenant))

    def carry_out(self, attacks: Sequence[Attack], *, defended: bool) -> Mapping[str, Outcome | Exception]:
        """Carry out attacks in parallel, one per idle tenant."""
        with ThreadPoolExecutor(sum(POOL.values())) as pool:
            running = {attack.key: pool.submit(carry_out, self.on, attack, defended=defended) for attack in attacks}
        errors = {name: item.exception() for name, item in running.items()}
        return {name: _raised(errors[name]) or item.result() for name, item in running.items()}

    def _admitted(self) -> set[bool]:
        """Whether probes are accepted, each of which a different kind of policy refuses.

        The API server loads policies one by one: all are in effect, or removed, once the answers are the same.
        """
        tenant = next(iter(tenants()))
        token = of.make("Secret", tenant, type="kubernetes.io/service-account-token")
        token["metadata"]["annotations"] = {"kubernetes.io/service-account.name": tenant}
        chosen = of.deployment(tenant, nodeName="simulated-a")
        outside = of.service(tenant, type="ExternalName", externalName="probe.example.net")
        return {self._possible(probe) for probe in (token, chosen, outside)}

    def _unlimited(self, tenant: str) -> bool:
        """Whether the API server has stopped enforcing quota and limits."""
        claim = of.claim(tenant, resources={"requests": {"storage": "100Ti"}})
        pod = of.pod(tenant, container={"resources": {"limits": {"memory": "32Gi"}}})
        return self._possible(claim) and self._possible(pod)

    def _possible(self, probe: Manifest) -> bool:
        probe["metadata"]["name"] = "probe"
        return self.on.api.send("create", probe, dry_run=True).ok


def carry_out(on: HostilePlatform, attack: Attack, *, defended: bool) -> Outcome:
    """Commit an attack, wait for Flux' verdict, revert the commit."""
    kind = tried_by(attack)
    tenant = on.idle[kind].get()
    try:
        assert isinstance(attack.action, Commit)
        before, uids = on.product(tenant)
        news = str(time.time_ns())
        log = on.log_size("helm-controller")
        commit = on.commit(tenant, attack.action.contents(tenant, servers_of(on), news))
        on.reconcile(tenant)
        trial = Trial(on, attack, attack.action, tenant, commit, log)
        said = trial.refusal() if defended else trial.success()
        applied, still = on.product(tenant)
        touched = on.touched()
        back = on.commit(tenant, product_of(tenant, before))
        on.reconcile(tenant)
        again = on.ready_with(tenant, back)
        trial.clean()
        damage = [] if again else ["the tenant is not ready once its commit is reverted"]
        if defended:
            damage += [f"the neighbour's {item} changed" for item in touched]
            damage += [] if still == uids and all(uids) else ["the tenant's product was replaced"]
            if (applied == news) is attack.action.refused_whole:
                damage.append(f"the rest of the commit was {'applied' if applied == news else 'not applied'}")
        said = said.replace(str(on.platform.home.path), "…")
        return Outcome(said, bool(said) is not defended, tuple(damage))
    finally:
        on.idle[kind].put(tenant)


def tried_by(attack: Attack) -> str:
    """The kind of the tenant that attacks: two of five attacks of the default tier are those of a shared product's.

    The same commit by both kinds would double the time, and both pass the same defences: test_attacks.py tries every
    request by both.
    """
    if attack.tenant != BASIC or zlib.crc32(attack.key.encode()) % 5 > 1:
        return attack.tenant
    # The account and the source in the tenant's own namespace, which a tenant of a product does not have.
    assert isinstance(attack.action, Commit)
    of_source = [
        item for item in attack.action.objects if item["metadata"]["name"] == OWN and item["kind"] != "Namespace"
    ]
    return attack.tenant if of_source or OWN in attack.reason else OF_PRODUCT


def servers_of(on: HostilePlatform) -> dict[str, str]:
    """Addresses for the placeholders of servers in attacks."""
    home = on.platform.home
    # 0.0.0.0 reaches the storage, and Go does not treat it as loopback, for which it bypasses proxies.
    artifacts = f"http://0.0.0.0:{home.port('service-source-controller')}"
    source = PATHS["GitRepository"].format(NEIGHBOUR, NEIGHBOUR)
    # A source has no artifact for a moment after its controller's restart.
    neighbours = eventually(lambda: (on.get(source) or {}).get("status", {}).get("artifact", {}).get("path"), PATIENCE)
    git = f"http://127.0.0.1:{home.port('git-http')}"
    return {
        WEB: on.web,
        GIT: git,
        ARTIFACTS: artifacts,
        THEIRS: f"{artifacts}/{neighbours}",
        SCHEMA_FILE: f"file://{on.folder}/schema.json",
    }


@dataclass(frozen=True)
class Trial:
    """A committed attack that Flux was asked to reconcile."""

    on: HostilePlatform
    attack: Attack
    action: Commit
    tenant: str
    commit: str
    log: int
    """The size of helm-controller's log before the attack."""

    @property
    def _reason(self) -> str:
        return self.attack.reason.replace(OWN, self.tenant)

    def refusal(self) -> str:
        """The message with which an attack was refused; empty if it got through."""
        if self.action.then:
            return self._then(worked=False)
        last = ""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.action.seen_at == "Kustomization":
                if verdict := self.on.attempted(self.tenant, self.commit):
                    return "" if verdict[0] else verdict[1]
            elif self.action.seen_at == "event":
                last = self._events()
            else:
                kind, _, name = self.action.seen_at.partition(" ")
                last = self._complaints(kind, name) or self._logged(kind) or last
            if last and self._reason in last:
                return last
            if self.action.seen_at != "Kustomization":
                whole = self.on.attempted(self.tenant, self.commit)
                if whole and not whole[0]:
                    return f"refused before it came to that: {whole[1]}"
            time.sleep(0.2)
        return last

    def success(self) -> str:
        """Evidence that an attack got through; empty if it did not."""
        if self.action.then:
            return self._then(worked=True)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            verdict = self.on.attempted(self.tenant, self.commit)
            if verdict and not verdict[0]:
                return ""
            if verdict and (said := self._proof(verdict[1])):
                return said
            time.sleep(0.2)
        return ""

    def clean(self) -> None:
        """Remove objects that an attack protects from removal, and the events of its objects."""
        release = PATHS["HelmRelease"].format(self.tenant, "attack")
        deadline = time.monotonic() + 3
        while self.on.get(release) and time.monotonic() < deadline:
            time.sleep(0.2)
        if self.on.get(release):
            # Its account may not delete the chart's objects, and Helm retries for ever.
            self.on.api.call("PATCH", release, NO_FINALIZERS, kind="application/merge-patch+json")
        # The chart of an earlier attack would be used by the next release.
        self.on.api.call("DELETE", f"{SOURCES}/namespaces/{self.tenant}/helmcharts")
        eventually(lambda: not (self.on.get(f"{SOURCES}/namespaces/{self.tenant}/helmcharts") or {}).get("items"))
        self.on.api.call("DELETE", f"/api/v1/namespaces/{self.tenant}/secrets", labelSelector="owner=helm")
        self.on.api.call("DELETE", f"/api/v1/namespaces/{self.tenant}/events")
        stuck = f"/api/v1/namespaces/{self.tenant}/configmaps/attack"
        if (self.on.get(stuck) or {}).get("metadata", {}).get("finalizers"):
            self.on.api.call("PATCH", stuck, NO_FINALIZERS, kind="application/merge-patch+json")

    def _then(self, *, worked: bool) -> str:
        assert self.action.then is not None
        ready, message = self.on.settled(self.tenant, self.commit)
        if not ready:
            return "" if worked else f"refused before it came to that: {message}"
        through, said = self.action.then(self.on, self.tenant)
        return said if through is worked else ""

    def _complaints(self, kind: str, name: str) -> str:
        """The messages of all failing conditions of an object of Flux."""
        found = self.on.get(PATHS[kind].format(self.tenant, name)) or {}
        conditions = found.get("status", {}).get("conditions", [])
        return "; ".join(dict.fromkeys(item["message"] for item in conditions if _complains(item)))

    def _logged(self, kind: str) -> str:
        """helm-controller's log: it reports refused chart templates nowhere else."""
        if kind != "HelmRelease":
            return ""
        return self.on.logged_error("helm-controller", self.log, f'"namespace":"{self.tenant}"', self._reason)

    def _events(self) -> str:
        events = (self.on.get(f"/api/v1/namespaces/{self.tenant}/events") or {"items": []})["items"]
        ours = [item["message"] for item in events if item["involvedObject"]["name"].startswith("attack")]
        return next((message for message in ours if self._reason in message), "")

    def _proof(self, said: str) -> str:
        if self.action.proof:
            path, _, least = self.action.proof.replace(OWN, self.tenant).partition("&at-least=")
            found = self.on.get(path)
            if found is None or len(found.get("items", [found])) < int(least or 1):
                return ""
            return f"{path} is there"
        if self.action.seen_at in ("Kustomization", "event"):
            return said
        kind, _, name = self.action.seen_at.partition(" ")
        verdict = self.on.verdict(kind, self.tenant, name)
        return verdict[1] if verdict and verdict[0] else ""


def _complains(condition: Mapping[str, str]) -> bool:
    return condition["status"] == ("True" if condition["type"] == "Stalled" else "False")


def _raised(error: BaseException | None) -> Exception | None:
    if error is not None and not isinstance(error, Exception):
        raise error
    return error
