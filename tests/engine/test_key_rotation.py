"""Rotations of keys against a real Git server: at each moment the Secret's key opens the repository."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from cli import keys
from cli.status import Kubectl
from standins.github.store import Store
from tests.engine.conftest import CONFIGURATION, BroughtUp
from tests.platform import PRIVATE, PUBLIC, Platform, Stack, Step, deploy_keys

DURATION, LONGEST = 2, 10
"""Seconds from a fetch's look at the Secret to its sign-in, and how many at most are never refused."""
EVERY, AT_ONCE = 0.2, 20
"""Seconds from one fetch to the next, and how many at most are under way."""
SEVERAL = [f"rotated-{number}" for number in range(int(os.environ.get("ROTATED_TENANTS", "6")))]
"""Tenants whose keys are rotated in one update. With ROTATED_TENANTS=100 this takes minutes, so it runs by hand."""
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


def secret_key(platform: Platform, tenant: str) -> bytes:
    """The private key that Flux reads with at this moment."""
    secret = platform.get(f"/api/v1/namespaces/{tenant}/secrets/{tenant}")
    assert secret is not None
    return base64.b64decode(secret["data"]["identity"])


def opens(platform: Platform, key: bytes, folder: Path) -> bool:
    """Whether the Git server lets a key read the product's repository."""
    path = folder / f"key-{time.monotonic_ns()}"
    path.write_bytes(key)
    path.chmod(0o600)
    return platform.git("ls-remote", platform.repository("acme/product"), folder=folder, key=path).returncode == 0


async def signs_in(platform: Platform, key: bytes) -> bool:
    """Whether the Git server knows a key: what a fetch needs, without the seconds that a program takes to start."""
    port, keys = platform.home.port("git-ssh"), [asyncssh.import_private_key(key)]
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
def fetching(platform: Platform, *tenants: str) -> Iterator[list[str]]:
    """Begin a fetch with a Secret's key every 200 ms, for one tenant after the other; yields the refusals."""
    refused: list[str] = []
    fetched: list[str] = []
    over, at_once = threading.Event(), asyncio.Semaphore(AT_ONCE)

    async def fetch(tenant: str) -> None:
        begun, key = time.monotonic(), await asyncio.to_thread(secret_key, platform, tenant)
        await asyncio.sleep(DURATION)
        opened, seconds = await signs_in(platform, key), time.monotonic() - begun
        at_once.release()
        if seconds < LONGEST:  # else this machine is too slow
            fetched.append(tenant)
            refused.extend([] if opened else [f"{tenant} after {seconds:.1f} s"])

    async def loop() -> None:
        async with asyncio.TaskGroup() as fetches:
            for tenant in itertools.cycle(tenants):
                if over.is_set():
                    return
                await at_once.acquire()
                fetches.create_task(fetch(tenant))
                await asyncio.sleep(EVERY)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(asyncio.run, loop())
        try:
            yield refused
        finally:
            over.set()
            done.result()
    assert {*fetched} == {*tenants}


def place(steps: list[Step], op: str, kind: str, tenant: str) -> int:
    found = [
        index for index, step in enumerate(steps) if (step.op, step.of) == (op, tenant) and step.type.endswith(kind)
    ]
    assert len(found) == 1, (op, kind, tenant, steps)
    return found[0]


def test_a_rotation_of_several_tenants_refuses_no_fetch_and_then_the_old_keys(stack: Stack, tmp_path: Path) -> None:
    platform = stack.platform
    old = {tenant: secret_key(platform, tenant) for tenant in SEVERAL}
    rotate(stack, *SEVERAL)
    with fetching(platform, *SEVERAL) as refused:
        steps = stack.up()
    assert refused == []
    for tenant in SEVERAL:
        registered = place(steps, "create-replacement", "RepositoryDeployKey", tenant)
        switched = place(steps, "update", ":Secret", tenant)
        assert registered < switched < place(steps, "delete-replaced", "RepositoryDeployKey", tenant)
        assert not asyncio.run(signs_in(platform, old[tenant]))
        assert asyncio.run(signs_in(platform, secret_key(platform, tenant)))
    assert not opens(platform, old[SEVERAL[0]], tmp_path)
    assert opens(platform, secret_key(platform, SEVERAL[0]), tmp_path)
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
    before = secret_key(platform, tenant)
    rotate(stack, tenant)
    store.set_organization("acme", deploy_keys_enabled_for_repositories=False)
    try:
        done = stack.run("up", "--yes", "--skip-preview", "--continue-on-error", check=False)
    finally:
        store.set_organization("acme", deploy_keys_enabled_for_repositories=True)
    assert "Deploy keys are disabled for this repository" in done.stdout + done.stderr
    assert done.returncode
    assert secret_key(platform, tenant) == before
    assert opens(platform, before, tmp_path)
    assert titles(platform, tenant) == {f"flux-engine-{tenant}"}
    stack.up()
    assert opens(platform, secret_key(platform, tenant), tmp_path)
    assert titles(platform, tenant) == {f"flux-engine-{tenant}#2"}


def test_an_update_that_is_killed_after_each_step_leaves_a_key_that_opens(stack: Stack, tmp_path: Path) -> None:
    platform, tenant = stack.platform, "theta"
    old = secret_key(platform, tenant)
    rotate(stack, tenant)
    with fetching(platform, tenant) as refused:
        # One more step each time: the state may not have the last one of a killed update.
        for after in range(1, 10):
            if stack.killed(after) != -signal.SIGKILL:
                break
            assert opens(platform, secret_key(platform, tenant), tmp_path), f"not after a kill after {after} steps"
        else:
            raise AssertionError("no update ends")
    assert refused == []
    assert after > 1, "no update was killed"
    assert stack.up() == []
    assert titles(platform, tenant) == {f"flux-engine-{tenant}#2"}
    assert not opens(platform, old, tmp_path)
