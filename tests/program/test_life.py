"""Lives of tenants against the program's own refusals, with an engine that only makes and deletes namespaces."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

import components
from components.configuration import Configuration
from model.kubernetes import manifests, ownership
from model.kubernetes.ownership import STATE_LABEL
from tests.life import Life, Namespace, Outcome
from tests.program import recorder
from tests.program.conftest import CONFIG

BEGINNING = """\
# Our customers.
tenants:
  - name: alpha   # the first
    source: {url: "https://github.com/acme/shop", branch: main}
"""


class Simulated(Life):
    """Updates that read the configuration as the program does, then change the cluster in the engine's order."""

    purges = 0

    def __init__(self, folder: Path) -> None:
        (folder / "tenants.yaml").write_text(BEGINNING)
        super().__init__(folder / "tenants.yaml")
        self.cluster: dict[str, Mapping[str, Any]] = {}
        """Metadata of namespaces."""
        self.outputs: dict[str, Any] = {}
        self.uids = map(str, itertools.count())
        self.begin()

    def teardown(self) -> None:
        type(self).purges += self.purged

    def namespaces(self) -> dict[str, Namespace]:
        return {
            name: Namespace(metadata["uid"], metadata["labels"].get(STATE_LABEL, "active"))
            for name, metadata in self.cluster.items()
            if name != "alpha"
        }

    def load(self) -> Configuration | None:
        """The configuration; None if it is refused."""
        found: list[Configuration] = []
        given = {**CONFIG, "kubeconfig": str(self.file.parent / "kubeconfig")}
        earlier = {"tenants": self.outputs}
        try:
            recorder.record(lambda: found.append(components.load(self.file.parent)), config=given, earlier=earlier)
        except recorder.ProgramError:
            return None
        (configuration,) = found
        everyone, cluster = configuration.everyone, configuration.settings.cluster
        return None if [*ownership.departure_problems(self.cluster, cluster, everyone)] else configuration

    def update(self, after: int | None) -> Outcome:
        configuration = self.load()
        if configuration is None:
            return "refused"
        tenants = {tenant.name: tenant for tenant in configuration.tenants}
        steps = itertools.count()
        for name, tenant in tenants.items():
            if next(steps) == after:
                return "killed"
            uid = self.cluster[name]["uid"] if name in self.cluster else next(self.uids)
            wanted = manifests.namespace(tenant, configuration.settings.cluster)
            self.cluster[name] = {**wanted["metadata"], "uid": uid}
        if next(steps) == after:
            return "killed"
        # The program has ended: the engine records its outputs, and then deletes.
        self.outputs = {
            name: {"state": tenant.state, **({"until": tenant.leaving.until} if tenant.leaving else {})}
            for name, tenant in tenants.items()
        }
        for name in sorted(self.cluster.keys() - tenants.keys()):
            if next(steps) == after:
                return "killed"
            del self.cluster[name]
        return "done"


def test_no_order_of_commands_edits_and_killed_updates_loses_a_tenant(
    tmp_path: Path, manifest: str, modern_cluster: str
) -> None:
    recorder.project(tmp_path, BEGINNING, manifest, modern_cluster)

    class Here(Simulated):
        def __init__(self) -> None:
            super().__init__(tmp_path)

    bounds = settings(max_examples=40, stateful_step_count=15, deadline=None, derandomize=True, database=None)
    run_state_machine_as_test(Here, settings=bounds)
    assert Here.purges, "no example has purged a tenant"
