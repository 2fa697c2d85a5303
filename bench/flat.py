"""The engine's lower bound: a program of ConfigMaps only, with the same CLI, backend, virtualenv and plugin."""

from __future__ import annotations

import time

from local import pulumi
from tests.platform import Platform

PROGRAM = '''\
"""As many ConfigMaps as the real stack has resources, in one namespace, with nothing between them."""

import pulumi
import pulumi_kubernetes as kubernetes

provider = kubernetes.Provider(
    "flat", kubeconfig=".local/kubeconfig", cluster_identifier="flat", enable_server_side_apply=True
)
config = pulumi.Config()
for n in range(int(config.require("count"))):
    kubernetes.core.v1.ConfigMap(
        f"flat-{n}",
        metadata={"name": f"flat-{n}", "namespace": "default", "labels": {"bench": "flat"}},
        data={"text": ("y" if n < int(config.require("changed")) else "x") * 200},
        opts=pulumi.ResourceOptions(provider=provider),
    )
'''

PROJECT = """\
name: flat
runtime:
  name: python
  options: {toolchain: pip, virtualenv: .venv, typechecker: pyright}
"""


def measure(on: Platform, before: int, after: int, changed: int, one: int, stacks: int) -> dict[str, float]:
    """Seconds of each command, multiplied by the number of `stacks` if it is for all of them.

    One stack has `before` resources at first, as Flux is there before tenants are; an update makes `after` of them,
    the next changes `changed` of them; then the stack gets `one` more, which goes again, and all go.
    """
    folder = on.project.with_name("flat")
    folder.mkdir(exist_ok=True)
    for name in (".venv", ".local"):
        if not (folder / name).exists():
            (folder / name).symlink_to((on.project / name).readlink())
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "Pulumi.yaml").write_text(PROJECT)
    stack = f"flat-{after}"

    def run(*arguments: str) -> float:
        began = time.monotonic()
        pulumi.run(on.home, [*arguments, "--stack", stack], cwd=folder, stream=False)
        return time.monotonic() - began

    def up(resources: int, altered: int = 0) -> float:
        run("config", "set", "count", str(resources))
        run("config", "set", "changed", str(altered))
        return run("up", "--yes", "--skip-preview")

    pulumi.ensure_stack(on.home, stack, cwd=folder)
    up(before)  # the type check too is done before, as it is for the program
    return {
        "first up": stacks * up(after),
        "no-op preview": stacks * run("preview", "--expect-no-changes"),
        "changing the quota of all": stacks * up(after, changed),
        "adding one tenant": up(after + one, changed),
        "removing one tenant": up(after, changed),
        "destroy": stacks * run("destroy", "--yes", "--skip-preview"),
    }
