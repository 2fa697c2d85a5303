"""Rotations of keys against a real Git server: at each moment the Secret's key opens the repository."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cli import keys
from cli.status import Kubectl
from local import pulumi
from standins.github.store import Store
from tests.platform import PRIVATE, PUBLIC, Platform, Stack, Step, deploy_keys

EVERY_SECONDS = 0.2


def deploy(stack: Stack, generation: int, *tenants: str) -> None:
    """Write tenants with keys of a generation. Each test has its own, because no generation goes back."""
    own: dict[str, dict[str, Any] | str] = dict.fromkeys(tenants, PRIVATE)
    entries = {tenant: {"keyGeneration": generation} for tenant in tenants}
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC, **own}, entries=entries)


def secret_key(platform: Platform, tenant: str, folder: Path) -> Path:
    """The private key that Flux reads with at this moment, as a file."""
    secret = platform.get(f"/api/v1/namespaces/{tenant}/secrets/{tenant}")
    assert secret is not None
    key = base64.b64decode(secret["data"]["identity"])
    path = folder / f"{tenant}-{hash(key)}"
    path.write_bytes(key)
    path.chmod(0o600)
    return path


def opens(platform: Platform, key: Path) -> bool:
    """Whether the Git server lets a key read the product's repository."""
    return platform.git("ls-remote", platform.repository("acme/product"), folder=key.parent, key=key).returncode == 0


def titles(platform: Platform, *tenants: str) -> set[str]:
    """The titles of these tenants' keys on GitHub."""
    return {
        title
        for title in deploy_keys(platform, "product")
        for name in tenants
        if title.startswith(f"flux-engine-{name}")
    }


@contextmanager
def fetching(platform: Platform, folder: Path, *tenants: str) -> Iterator[list[str]]:
    """Fetch with the Secrets' keys all the time; yields the refusals, and fails if there were too few fetches."""
    refused: list[str] = []
    fetched, over = 0, threading.Event()

    def loop() -> None:
        nonlocal fetched
        while not over.wait(EVERY_SECONDS):
            for tenant in tenants:
                fetched += 1
                if not opens(platform, secret_key(platform, tenant, folder)):
                    refused.append(tenant)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield refused
    finally:
        over.set()
        thread.join()
    assert fetched > len(tenants)


def place(steps: list[Step], op: str, kind: str, tenant: str) -> int:
    found = [
        index for index, step in enumerate(steps) if (step.op, step.of) == (op, tenant) and step.type.endswith(kind)
    ]
    assert len(found) == 1, (op, kind, tenant, steps)
    return found[0]


def test_a_rotation_of_several_tenants_refuses_no_fetch_and_then_the_old_keys(stack: Stack, tmp_path: Path) -> None:
    platform, several = stack.platform, ("gamma", "delta", "epsilon")
    deploy(stack, 1, *several)
    stack.up()
    old = {tenant: secret_key(platform, tenant, tmp_path) for tenant in several}
    deploy(stack, 2, *several)
    preview = stack.preview()
    with fetching(platform, tmp_path, *several) as refused:
        steps = stack.up()
    assert refused == []
    # A preview lists no deletions of replaced resources.
    assert {repr(step) for step in preview} <= {repr(step) for step in steps}
    for tenant in several:
        registered = place(steps, "create-replacement", "RepositoryDeployKey", tenant)
        switched = place(steps, "update", ":Secret", tenant)
        assert registered < switched < place(steps, "delete-replaced", "RepositoryDeployKey", tenant)
        assert not opens(platform, old[tenant])
        assert opens(platform, secret_key(platform, tenant, tmp_path))
    assert titles(platform, *several) == {f"flux-engine-{tenant}#2" for tenant in several}
    # Nothing else of any tenant is touched, and nothing is left to do.
    assert {step.type.rpartition(":")[2] for step in steps} == {"PrivateKey", "RepositoryDeployKey", "Secret"}
    assert {step.of for step in steps} == {*several}
    assert stack.up() == []
    found = keys.unproven(Kubectl(platform.home.kubeconfig), stack.outputs()["deployKeys"], 60)
    assert found == dict.fromkeys(("flux-system", "alpha", *several), "")


@pytest.mark.parametrize(("tenant", "options"), [("zeta", []), ("eta", ["--continue-on-error"])])
def test_a_key_that_github_refuses_leaves_the_old_one_in_use(
    stack: Stack, tmp_path: Path, tenant: str, options: list[str]
) -> None:
    """GitHub would delete the old one: that it stays is the engine's doing."""
    platform = stack.platform
    store = Store(platform.home.git)
    deploy(stack, 1, tenant)
    stack.up()
    before = secret_key(platform, tenant, tmp_path)
    deploy(stack, 2, tenant)
    store.set_organization("acme", deploy_keys_enabled_for_repositories=False)
    try:
        done = stack.run("up", "--yes", "--skip-preview", *options, check=False)
    finally:
        store.set_organization("acme", deploy_keys_enabled_for_repositories=True)
    assert "Deploy keys are disabled for this repository" in done.stdout + done.stderr
    assert done.returncode
    assert secret_key(platform, tenant, tmp_path) == before
    assert opens(platform, before)
    assert titles(platform, tenant) == {f"flux-engine-{tenant}"}
    stack.up()
    assert opens(platform, secret_key(platform, tenant, tmp_path))
    assert titles(platform, tenant) == {f"flux-engine-{tenant}#2"}


def killed(stack: Stack, after: int) -> bool:
    """Run an update and kill it after so many steps; whether it was killed before it ended."""
    log = stack.platform.project / f"events-{time.monotonic_ns()}.json"
    command = [str(stack.platform.home.bin / "pulumi"), "up", "--yes", "--skip-preview", "--non-interactive"]
    with subprocess.Popen(
        [*command, "--stack", stack.name, "--event-log", str(log)],
        cwd=stack.platform.project,
        env=pulumi.environment(stack.platform.home) | {"PULUMI_DEBUG_COMMANDS": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as update:
        while update.poll() is None and not (log.exists() and changes(log.read_text()) >= after):
            time.sleep(0.01)
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(update.pid, signal.SIGKILL)
    pulumi.recover(stack.platform.home, stack.name, cwd=stack.platform.project)
    return update.returncode == -signal.SIGKILL


def changes(log: str) -> int:
    """How many steps that change something have ended."""
    lines = [line for line in log.splitlines(keepends=True) if line.endswith("\n")]
    events = [json.loads(line) for line in lines if '"resOutputsEvent"' in line]
    return sum(event["resOutputsEvent"]["metadata"]["op"] not in ("same", "read", "refresh") for event in events)


def test_an_update_that_is_killed_after_each_step_leaves_a_key_that_opens(stack: Stack, tmp_path: Path) -> None:
    platform, tenant = stack.platform, "theta"
    deploy(stack, 1, tenant)
    stack.up()
    old = secret_key(platform, tenant, tmp_path)
    deploy(stack, 2, tenant)
    # One more step each time: the state may not have the last one of a killed update.
    for after in range(1, 10):
        if not killed(stack, after):
            break
        assert opens(platform, secret_key(platform, tenant, tmp_path)), f"not after a kill after {after} steps"
    else:
        raise AssertionError("no update ends")
    assert after > 1, "no update was killed"
    assert stack.up() == []
    assert titles(platform, tenant) == {f"flux-engine-{tenant}#2"}
    assert not opens(platform, old)
