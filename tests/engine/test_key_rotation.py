"""Rotations of keys against a real Git server: at each moment the Secret's key opens the repository."""

from __future__ import annotations

import asyncio
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

import asyncssh
import pytest

from cli import keys
from cli.status import Kubectl
from local import pulumi
from standins.github.store import Store
from tests.engine.conftest import CONFIGURATION, BroughtUp
from tests.platform import PRIVATE, PUBLIC, Platform, Stack, Step, deploy_keys

DURATION, LONGEST = 2, 10
"""Seconds from a fetch's look at the Secret to its sign-in, and how many at most are never refused."""
SEVERAL = ("gamma", "delta", "epsilon")
GENERATIONS: dict[str, int] = dict.fromkeys((*SEVERAL, "zeta", "theta"), 1)


@pytest.fixture(scope="module")
def stack(brought_up: BroughtUp) -> Stack:
    """The stack with a tenant for each test that rotates its keys: no generation goes back."""
    brought_up.stack.configure(**CONFIGURATION)
    rotate(brought_up.stack)
    brought_up.stack.up()
    return brought_up.stack


def rotate(stack: Stack, *tenants: str) -> None:
    """Write the second generation of these tenants' keys."""
    GENERATIONS.update(dict.fromkeys(tenants, 2))
    own: dict[str, dict[str, Any] | str] = dict.fromkeys(GENERATIONS, PRIVATE)
    entries = {tenant: {"keyGeneration": generation} for tenant, generation in GENERATIONS.items()}
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


async def signs_in(platform: Platform, key: Path) -> bool:
    """Whether the Git server knows a key: what a fetch needs, without the seconds that a program takes to start."""
    port, keys = platform.home.port("git-ssh"), [str(key)]
    try:
        async with asyncssh.connect(
            "127.0.0.1", port, username="git", client_keys=keys, known_hosts=None, config=None, agent_path=None
        ):
            return True
    except asyncssh.PermissionDenied:
        return False


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
    """Fetch with the Secrets' keys all the time, each tenant's for itself; yields the refusals."""
    refused: list[str] = []
    fetched: list[str] = []
    over = threading.Event()

    def loop(tenant: str) -> None:
        while not over.is_set():
            begun, key = time.monotonic(), secret_key(platform, tenant, folder)
            over.wait(DURATION)
            opened, seconds = asyncio.run(signs_in(platform, key)), time.monotonic() - begun
            if seconds < LONGEST:  # else this machine is too slow
                fetched.append(tenant)
                refused.extend([] if opened else [f"{tenant} after {seconds:.1f} s"])

    threads = [threading.Thread(target=loop, args=(tenant,)) for tenant in tenants]
    for thread in threads:
        thread.start()
    try:
        yield refused
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert {*fetched} == {*tenants}


def place(steps: list[Step], op: str, kind: str, tenant: str) -> int:
    found = [
        index for index, step in enumerate(steps) if (step.op, step.of) == (op, tenant) and step.type.endswith(kind)
    ]
    assert len(found) == 1, (op, kind, tenant, steps)
    return found[0]


def test_a_rotation_of_several_tenants_refuses_no_fetch_and_then_the_old_keys(stack: Stack, tmp_path: Path) -> None:
    platform = stack.platform
    old = {tenant: secret_key(platform, tenant, tmp_path) for tenant in SEVERAL}
    rotate(stack, *SEVERAL)
    with fetching(platform, tmp_path, *SEVERAL) as refused:
        steps = stack.up()
    assert refused == []
    for tenant in SEVERAL:
        registered = place(steps, "create-replacement", "RepositoryDeployKey", tenant)
        switched = place(steps, "update", ":Secret", tenant)
        assert registered < switched < place(steps, "delete-replaced", "RepositoryDeployKey", tenant)
        assert not opens(platform, old[tenant])
        assert opens(platform, secret_key(platform, tenant, tmp_path))
    assert titles(platform, *SEVERAL) == {f"flux-engine-{tenant}#2" for tenant in SEVERAL}
    # Nothing else of any tenant is touched, and nothing is left to do.
    assert {step.type.rpartition(":")[2] for step in steps} == {"PrivateKey", "RepositoryDeployKey", "Secret"}
    assert {step.of for step in steps} == {*SEVERAL}
    assert stack.up() == []
    found = keys.unproven(Kubectl(platform.home.kubeconfig), stack.outputs()["deployKeys"], 60)
    assert found == dict.fromkeys(("flux-system", "alpha", *GENERATIONS), "")


def test_a_key_that_github_refuses_leaves_the_old_one_in_use(stack: Stack, tmp_path: Path) -> None:
    """GitHub would delete the old one: that it stays is the engine's doing."""
    platform, tenant = stack.platform, "zeta"
    store = Store(platform.home.git)
    before = secret_key(platform, tenant, tmp_path)
    rotate(stack, tenant)
    store.set_organization("acme", deploy_keys_enabled_for_repositories=False)
    try:
        done = stack.run("up", "--yes", "--skip-preview", "--continue-on-error", check=False)
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
    old = secret_key(platform, tenant, tmp_path)
    rotate(stack, tenant)
    with fetching(platform, tmp_path, tenant) as refused:
        # One more step each time: the state may not have the last one of a killed update.
        for after in range(1, 10):
            if not killed(stack, after):
                break
            assert opens(platform, secret_key(platform, tenant, tmp_path)), f"not after a kill after {after} steps"
        else:
            raise AssertionError("no update ends")
    assert refused == []
    assert after > 1, "no update was killed"
    assert stack.up() == []
    assert titles(platform, tenant) == {f"flux-engine-{tenant}#2"}
    assert not opens(platform, old)
