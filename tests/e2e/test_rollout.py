"""A version on its way through three rings, end to end, and a bad one that is stopped at the second."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli import tenants_file
from local.home import PROJECT
from model import rollout
from standins.github import git
from tests.platform import PRIVATE, PUBLIC, SHOP, Platform, Stack, Step, eventually

TENANTS: dict[str, dict[str, Any] | str] = {"alpha": PRIVATE, "beta": PRIVATE, "gamma": PUBLIC}
TENANTS |= dict.fromkeys(("canary-001", "early-001", "globex", "initech", "wayne"), "shop")
ENTRIES = {
    "canary-001": {"synthetic": True, "values": {"colour": "blue"}},
    "early-001": {"synthetic": True, "ring": "early"},
    "globex": {"ring": "broad"},
    "initech": {"ring": "broad", "pin": {"tag": "v7.0.0", "until": "2099-12-31", "reason": "contract"}},
    "wayne": {"ring": "broad"},
}
"""Of broad, wayne is in the first batch, and globex in the second."""
RINGS = {
    "canary": {},
    "early": {"after": "canary", "ref": {"tag": "v7.0.0"}, "soak": "3s"},
    "broad": {"after": "early", "ref": {"tag": "v7.0.0"}, "soak": "3s", "batches": "50%"},
}
KUSTOMIZATION = "kustomize/kustomization.yaml"
COLOUR = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: colour}\ndata: {colour: '${colour}'}\n"
"""Only the canary has a value for it, and a variable without one is an error."""


@dataclass
class Rollout:
    """The product `shop` with three rings."""

    platform: Platform
    stack: Stack
    folder: Path

    @property
    def repository(self) -> Path:
        return self.platform.hosted("acme/shop").path

    def release(self, version: str, files: dict[str, str | None]) -> str:
        """Push a commit and tag it; returns the commit."""
        commit = self.platform.push("acme/shop", files, self.folder)
        git.run(self.repository, "tag", version, commit)
        return commit

    def saas(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        file = self.platform.project / self.stack.tenants_file
        where = ["--file", file, "--kubeconfig", self.platform.home.kubeconfig]
        places = where if arguments[0] in ("promote", "status") else where[:2]
        command = [PROJECT / "saas", "rollout", *arguments, *places]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def promote(self, ring: str, version: str, commit: str = "") -> subprocess.CompletedProcess[str]:
        given = ["--commit", commit] if commit else []
        return self.saas("promote", "shop", "--ring", ring, "--to", version, *given)

    def promoted(self, ring: str, version: str, commit: str = "") -> list[Step]:
        """Promote as soon as the gate lets it, and deploy."""
        eventually(lambda: self.promote(ring, version, commit).returncode == 0, every=1)
        return self.stack.up()

    def kustomization(self, tenant: str) -> dict[str, Any]:
        path = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/product-shop/kustomizations/{tenant}"
        found = self.platform.get(path)
        assert found, tenant
        return found

    def runs(self, tenant: str, commit: str) -> bool:
        return self.kustomization(tenant).get("status", {}).get("lastAppliedRevision", "").endswith(commit)

    def gate(self, ring: str, version: str, commit: str, now: datetime) -> list[str]:
        """What the gate says of the cluster as it is, at another time."""
        listed = tenants_file.load(self.platform.project / self.stack.tenants_file)
        observed = rollout.observe(self.platform, "shop")
        product = listed.products["shop"]
        return [
            *rollout.gate("shop", product, listed.tenants, observed, ring=ring, tag=version, commit=commit, now=now)
        ]

    def reconciled(self, tenant: str) -> str:
        return self.kustomization(tenant)["status"]["history"][0]["lastReconciled"]

    @contextmanager
    def stopped(self, controller: str) -> Iterator[None]:
        """While one of Flux's controllers does not run."""
        name, path = f"deployment/{controller}", f"/apis/apps/v1/namespaces/flux-system/deployments/{controller}"

        def scale(replicas: int) -> None:
            self.platform.kubectl("scale", name, "--namespace", "flux-system", f"--replicas={replicas}")
            eventually(lambda: (self.platform.get(path) or {})["status"].get("readyReplicas", 0) == replicas)

        scale(0)
        try:
            yield
        finally:
            scale(1)

    def pods(self, tenant: str) -> list[str]:
        """The identities of a tenant's pods, once its autoscaler has made two of one. A change in a pod replaces it."""

        def both() -> list[str] | None:
            pods = (self.platform.get(f"/api/v1/namespaces/{tenant}/pods") or {})["items"]
            return sorted(pod["metadata"]["uid"] for pod in pods) if len(pods) > 1 else None

        return eventually(both, timeout=120)

    def others(self) -> dict[str, Any]:
        """ResourceVersions of the sources of other rings than early, and of what their tenants run.

        Flux writes the time of each reconciliation into a Kustomization's status: of these only the generation.
        """
        sources = "/apis/source.toolkit.fluxcd.io/v1/namespaces/product-shop/gitrepositories"
        lists = {sources: {"shop-canary", "shop-broad", "shop-broad.50-100", "shop-pin-v7.0.0"}}
        found: dict[str, Any] = {}
        for tenant in ("canary-001", "globex", "initech", "wayne"):
            found[tenant] = self.kustomization(tenant)["metadata"]["generation"], self.pods(tenant)
            lists |= {f"/apis/apps/v1/namespaces/{tenant}/deployments": {"product"}}
            lists |= {f"/api/v1/namespaces/{tenant}/services": {"product"}}
        for path, names in lists.items():
            items = [each["metadata"] for each in (self.platform.get(path) or {})["items"]]
            own = {each["name"]: each["resourceVersion"] for each in items if each["name"] in names}
            assert own.keys() == names, items
            found[path] = own
        return found


@pytest.fixture(scope="module")
def shop(article: Stack, platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollout]:
    # The gate trusts a status for some intervals only.
    usual, article.interval = article.interval, "10s"
    rollout = Rollout(platform, article, tmp_path_factory.mktemp("rollout"))
    first = rollout.release("v7.0.0", {"CHANGES": "7.0.0\n"})
    article.tenants(TENANTS, entries=ENTRIES, products={"shop": {"source": SHOP, "rings": RINGS}})
    article.up()
    for tenant in ENTRIES:
        eventually(lambda tenant=tenant: rollout.runs(tenant, first))
    yield rollout
    article.interval = usual


@pytest.fixture(scope="module")
def good(shop: Rollout) -> str:
    """A version that went through all rings."""
    commit = shop.release("v7.1.0", {"CHANGES": "7.1.0\n"})
    refused = shop.promote("broad", "v7.1.0", commit)
    assert "early is to run v7.0.0@sha1:" in refused.stderr
    source = "kubernetes:source.toolkit.fluxcd.io/v1:GitRepository"
    assert shop.promoted("early", "v7.1.0", commit) == [Step("update", source, "product-shop/early")]
    # Its commit is known now: early runs it. It reaches the first half of broad, and the second once that runs it.
    second = shop.pods("globex")
    assert shop.promoted("broad", "v7.1.0") == [Step("update", source, "product-shop/broad")]
    eventually(lambda: shop.runs("wayne", commit))
    early = shop.gate("broad", "v7.1.0", commit, datetime.now(UTC) - timedelta(hours=1))
    assert "broad 0-50% has to run it for 3s" in early[0]
    assert not shop.runs("globex", commit)
    assert shop.pods("globex") == second
    assert shop.promoted("broad", "v7.1.0") == [Step("update", source, "product-shop/broad.50-100")]
    for tenant in ("canary-001", "early-001", "globex", "wayne"):
        eventually(lambda tenant=tenant: shop.runs(tenant, commit))
    return commit


def test_a_version_goes_through_three_rings_and_past_a_pinned_tenant(shop: Rollout, good: str) -> None:
    assert shop.stack.preview() == []
    assert not shop.runs("initech", good)
    lines = [line.split() for line in shop.saas("status").stdout.splitlines()]
    rings = [["canary", "main"], ["early", "v7.1.0"], ["broad", "0-50%", "v7.1.0"], ["broad", "50-100%", "v7.1.0"]]
    assert [line[1 : 1 + len(ring)] for line, ring in zip(lines[1:5], rings, strict=True)] == rings
    assert [line[5:8] for line in lines[3:5]] == [["1", "0", "0"], ["1", "1", "0"]]


def test_a_status_without_a_controller_lets_nothing_go_on(shop: Rollout, good: str) -> None:
    before = shop.reconciled("early-001")
    eventually(lambda: shop.reconciled("early-001") > before)
    with shop.stopped("kustomize-controller"):
        commit = shop.release("v7.1.1", {"CHANGES": "7.1.1\n"})
        eventually(lambda: "canary is to run" not in shop.promote("early", "v7.1.1", commit).stderr, every=1)
        # The source offers it, and the Kustomization is still ready: with the version before.
        stale = f"the synthetic tenant canary-001 fails: it runs main@sha1:{good}"
        assert stale in shop.promote("early", "v7.1.1", commit).stderr
        ready = [each["status"] for each in shop.kustomization("canary-001")["status"]["conditions"]]
        assert "False" not in ready
        # For the version that it runs, the status is worth as much as it is young.
        now = datetime.now(UTC)
        assert shop.gate("broad", "v7.1.0", good, now) == []
        assert "is kustomize-controller running?" in shop.gate("broad", "v7.1.0", good, now + timedelta(minutes=5))[0]
    eventually(lambda: shop.runs("canary-001", commit))


def test_a_bad_version_is_stopped_at_the_second_ring_and_rolled_back(shop: Rollout, good: str) -> None:
    fine = shop.platform.read("acme/shop", KUSTOMIZATION)
    listed = fine.replace("resources:\n", "resources:\n  - colour.yaml\n", 1)
    bad = shop.release("v7.2.0", {KUSTOMIZATION: listed, "kustomize/colour.yaml": COLOUR})
    shop.promoted("early", "v7.2.0", bad)
    eventually(lambda: "colour" in shop.promote("broad", "v7.2.0").stderr, every=1)
    refused = shop.promote("broad", "v7.2.0")
    assert refused.returncode == 1
    assert "the synthetic tenant early-001 fails" in refused.stderr
    assert shop.runs("globex", good)

    before = shop.others()
    for _ in range(2):
        assert shop.saas("rollback", "shop", "--ring", "early").returncode == 0
    source = "kubernetes:source.toolkit.fluxcd.io/v1:GitRepository"
    assert shop.stack.up() == [Step("update", source, "product-shop/early")]
    eventually(lambda: not shop.saas("status").stdout.count("early-001"), every=1)
    assert shop.runs("early-001", good)
    assert shop.others() == before
    assert "v7.2.0 was rolled back in early" in shop.promote("early", "v7.2.0", bad).stderr
    shop.release("v7.3.0", {KUSTOMIZATION: fine, "kustomize/colour.yaml": None})


def test_a_tenant_in_another_ring_is_not_restarted(shop: Rollout, good: str) -> None:
    before = shop.pods("globex")
    moved = ENTRIES | {"globex": {"ring": "early"}}
    early = {**RINGS["early"], "ref": {"tag": "v7.1.0"}}
    rings = RINGS | {"early": early, "broad": {**RINGS["broad"], "ref": {"tag": "v7.1.0"}}}
    shop.stack.tenants(TENANTS, entries=moved, products={"shop": {"source": SHOP, "rings": rings}})
    kind = "kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization"
    assert shop.stack.up() == [Step("update", kind, "globex/product-shop")]
    observed = shop.kustomization("globex")["metadata"]["generation"]
    eventually(lambda: shop.kustomization("globex")["status"]["observedGeneration"] == observed)
    assert shop.runs("globex", good)
    assert shop.pods("globex") == before


def test_a_held_ring_gets_no_version_and_a_tenant_is_pinned_and_unpinned_by_commands(shop: Rollout, good: str) -> None:
    def deployed(*command: str) -> set[tuple[str, str]]:
        for _ in range(2):  # once more is as once
            done = shop.saas(*command)
            assert done.returncode == 0, done.stderr
        return {(step.op, step.of) for step in shop.stack.up()}

    commit = shop.release("v7.4.0", {"CHANGES": "7.4.0\n"})
    shop.promoted("early", "v7.4.0", commit)
    assert deployed("hold", "shop", "--ring", "broad", "--reason", "the fair is until Friday") == set()
    eventually(lambda: shop.runs("early-001", commit))
    assert "the fair is until Friday" in shop.promote("broad", "v7.4.0").stderr

    assert deployed("release", "shop", "--ring", "broad") == set()
    pinned = ("--tag", "v7.1.0", "--until", "2099-12-31", "--reason", "contract 4711")
    assert ("update", "wayne") in deployed("pin", "wayne", *pinned)
    # No tenant of the first half is left to try it, so it reaches all of broad at once.
    shop.promoted("broad", "v7.4.0")
    assert shop.kustomization("wayne")["spec"]["sourceRef"]["name"] == "shop-pin-v7.1.0"
    assert shop.runs("wayne", good)
    assert ("update", "wayne") in deployed("unpin", "wayne")
    eventually(lambda: shop.runs("wayne", commit))
