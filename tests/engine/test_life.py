"""Lives of tenants in random order on a platform: no data goes without a purge, and no neighbour is restarted."""

from __future__ import annotations

import os
import signal
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from model.config.names import STATE_LABEL
from tests.life import OWN, Life, Namespace, Outcome
from tests.platform import PRIVATE, PUBLIC, REFUSED, CommandError, Stack, deploy_keys, eventually

NEIGHBOURS = {"alpha": PRIVATE, "beta": PUBLIC}
# A life takes a minute. RANDOM_LIVES=20 tries as many, by hand.
BOUNDS = settings(
    max_examples=int(os.environ.get("RANDOM_LIVES", "2")),
    stateful_step_count=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a smaller example would cost minutes for each try
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
    ],
)


def pods(stack: Stack) -> dict[str, set[str]]:
    """The neighbours' pods that are to stay: a change in a pod replaces it."""
    lists = {name: stack.platform.get(f"/api/v1/namespaces/{name}/pods") or {"items": []} for name in NEIGHBOURS}
    metadata = {name: [pod["metadata"] for pod in found["items"]] for name, found in lists.items()}
    return {
        name: {each["uid"] for each in found if "deletionTimestamp" not in each} for name, found in metadata.items()
    }


class OnPlatform(Life):
    """Updates are `pulumi up`, killed by SIGKILL; the two neighbours run all the time."""

    updates: list[Outcome] = []

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        stack.deployed &= {*NEIGHBOURS}  # tenants of other tests have departed: their names may be given again
        stack.tenants(NEIGHBOURS)
        stack.deployed |= {*OWN}  # so that they have departed for the next test, also if this one fails
        super().__init__(stack.platform.project / stack.tenants_file)
        self.pods = eventually(lambda: found if all((found := pods(stack)).values()) else None)
        self.begin()

    def begin(self) -> None:
        super().begin()
        # So that each of them happens, whatever order is drawn: a refusal, and a killed update.
        self.delete_by_hand("gamma", reverted=True)
        self.back_up("delta")
        self.add("epsilon", "basic", then=4)

    def teardown(self) -> None:
        self.stack.tenants(NEIGHBOURS)
        self.stack.up()

    def namespaces(self) -> dict[str, Namespace]:
        found = {name: self.stack.platform.get(f"/api/v1/namespaces/{name}") for name in OWN}
        return {
            name: Namespace(each["metadata"]["uid"], each["metadata"]["labels"].get(STATE_LABEL, "active"))
            for name, each in found.items()
            if each
        }

    def update(self, after: int | None) -> Outcome:
        outcome = self.to_the_end() if after is None else self.killed(after)
        self.updates.append(outcome)
        found = pods(self.stack)
        assert all(before <= found[name] for name, before in self.pods.items()), "a neighbour was restarted"
        if outcome == "done":
            registered = [f"flux-engine-{name}" for name in ("alpha", *self.written.tenants)]
            assert sorted(deploy_keys(self.stack.platform, "product")) == sorted(registered)
        return outcome

    def to_the_end(self) -> Outcome:
        """Run `pulumi up`."""
        done = self.stack.run("up", "--yes", "--skip-preview", check=False)
        said = done.stdout + done.stderr
        if done.returncode and REFUSED not in said:
            raise CommandError(said)
        return "refused" if done.returncode else "done"

    def killed(self, after: int) -> Outcome:
        """Run `pulumi up`, and kill it unless it ends before."""
        code = self.stack.killed(after)
        # What is being deleted goes, whether anybody waits or not.
        eventually(lambda: not any(self.going(name) for name in OWN))
        return "killed" if code == -signal.SIGKILL else "refused" if code else "done"

    def going(self, name: str) -> bool:
        """Whether a namespace is being deleted."""
        found = self.stack.platform.get(f"/api/v1/namespaces/{name}")
        return found is not None and "deletionTimestamp" in found["metadata"]


def test_no_order_of_commands_edits_and_killed_updates_loses_data(stack: Stack) -> None:
    machine: Any = lambda: OnPlatform(stack)  # noqa: E731 - the function takes more than its type says
    run_state_machine_as_test(machine, settings=BOUNDS)
    assert {"refused", "killed", "done"} == {*OnPlatform.updates}
