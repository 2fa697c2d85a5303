"""A stack is split into shards, a tenant moves between them, all are destroyed: no object of a tenant is touched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from local import pulumi
from local.home import PROJECT
from tests.platform import PRIVATE, SHOP, Platform, Stack, Step, deploy_keys, eventually, running_platform

TENANTS: dict[str, Any] = {"alpha": PRIVATE, "beta": "shop"}
OBJECTS = "namespaces,gitrepositories,kustomizations.kustomize.toolkit.fluxcd.io,rolebindings,secrets,pods"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    yield from running_platform(tmp_path_factory.mktemp("shards"))


def shard(stack: Stack, index: int) -> Stack:
    """The stack of a shard: its file names the platform, which has all other settings."""
    made = stack.platform.stack(f"{stack.name}-{index}")
    made.config = {"platform": stack.name, "shard": {"count": 2, "index": index}}
    made.configure()
    return made


def write(stack: Stack, **shards: int) -> None:
    """Tenants and their shards; those without a shard have none yet."""
    entries = {name: {"stackShard": shards[name]} for name in TENANTS if name in shards}
    stack.tenants(TENANTS, products={"shop": {"source": SHOP}}, entries=entries)


def saas(stack: Stack, *arguments: str) -> str:
    command = [sys.executable, "-m", "cli", "shard", *arguments, "--project", str(stack.platform.project)]
    environment = pulumi.environment(stack.platform.home)
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def side_by_side(stack: Stack, order: str, *command: str) -> subprocess.CompletedProcess[str]:
    """A `pulumi` command for the platform's stack and its shards, by pipeline/stacks.py."""
    script = [sys.executable, "-I", str(PROJECT / "pipeline" / "stacks.py"), order, stack.name, "pulumi"]
    environment = pulumi.environment(stack.platform.home) | pulumi.EPHEMERAL_STATE
    return subprocess.run(
        [*script, *command, "--non-interactive", "--stack", "{stack}"],
        cwd=stack.platform.project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def uids(platform: Platform) -> dict[str, str]:
    """Of what tenants have, by namespace, kind and name."""
    template = '{range .items[*]}{.metadata.namespace}/{.kind}/{.metadata.name}={.metadata.uid}{"\\n"}{end}'
    lines = platform.kubectl("get", OBJECTS, "--all-namespaces", "-o", f"jsonpath={template}").splitlines()
    ours = ("alpha/", "beta/", "product-shop/", "/Namespace/alpha", "/Namespace/beta")
    return dict(line.split("=") for line in lines if line.startswith(ours))


def settled(platform: Platform) -> dict[str, str]:
    """The same, once the products of both tenants run."""

    def look() -> dict[str, str] | None:
        found = uids(platform)
        pods = [name.partition("/")[0] for name in found if "/Pod/" in name]
        return found if len(pods) >= 4 and {*pods} == {*TENANTS} else None

    return eventually(look, timeout=120)


def touched(steps: Sequence[Step]) -> list[Step]:
    """Steps other than those of components, providers and stacks, which exist in a state only."""
    return [step for step in steps if not step.type.startswith(("saas:", "pulumi:"))]


def refusal(stack: Stack, *arguments: str) -> str:
    done = stack.run(*arguments, check=False)
    assert done.returncode
    return " ".join((done.stdout + done.stderr).split())


def test_a_stack_is_split_and_a_tenant_moves_without_a_change_of_any_object(platform: Platform) -> None:
    whole = platform.stack("eu")
    write(whole)
    whole.up()
    before = settled(platform)

    # Split: neither stack deletes or takes over what the other has.
    whole.configure(shard={"count": 2})
    write(whole, alpha=1, beta=2)
    one, two = shard(whole, 1), shard(whole, 2)
    assert "`./saas shard move alpha --platform eu`" in refusal(whole, "up", "--yes", "--skip-preview")
    assert "Run `pulumi up --stack eu` first" in refusal(one, "up", "--yes", "--skip-preview")
    assert saas(whole, "move", "--dry-run") == "eu -> eu-1: alpha\neu -> eu-2: beta\n"
    saas(whole, "move")
    assert touched(whole.up()) == []
    for stack in (one, two):
        assert touched(stack.up()) == []
    assert [line.split() for line in saas(whole, "list").splitlines()[1:]] == [
        ["alpha", "eu-1", "its", "entry"],
        ["beta", "eu-2", "its", "entry"],
    ]
    done = side_by_side(whole, "platform-first", "up", "--yes", "--skip-preview", "--expect-no-changes")
    assert done.returncode == 0, done.stdout
    assert (list(one.outputs()["tenants"]), list(two.outputs()["tenants"])) == (["alpha"], ["beta"])

    # A move between shards, in both directions of a deployment.
    write(whole, alpha=2, beta=2)
    for stack in (one, two):
        assert "alpha belongs to the stack eu-2, and its state is in eu-1" in refusal(stack, "preview")
    assert saas(whole, "move", "alpha").startswith("eu-1 -> eu-2: alpha\n")
    assert saas(whole, "move") == "Every state is where it belongs.\n"
    assert touched(two.up()) == []
    assert touched(one.up()) == []
    assert uids(platform) == before
    assert deploy_keys(platform, "product") == ["flux-eu-alpha"]

    # The platform goes last: the preview ends with what is protected.
    assert "flux-system" in refusal(whole, "destroy", "--yes")
    assert uids(platform) == before
    done = side_by_side(whole, "platform-last", "destroy", "--yes")
    assert done.returncode
    assert "flux-system" in done.stdout.partition("== eu-2")[2]
    assert not [name for name in uids(platform) if name.startswith(("alpha/", "beta/", "/Namespace"))]
    assert deploy_keys(platform, "product") == []
    whole.run("state", "unprotect", "--all", "--yes")
    whole.destroy()
    assert platform.get("/api/v1/namespaces/flux-system") is None
