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


def measure(on: Platform, count: int, base: int, tenants: int, one: int, changed: int) -> dict[str, float]:
    """Seconds of each command.

    `base` resources exist before, as Flux does; then one update adds `tenants`, another changes `changed` of them,
    another adds `one` more; that goes again, then all go.
    """
    folder = on.project.with_name("flat")
    folder.mkdir(exist_ok=True)
    for name in (".venv", ".local"):
        if not (folder / name).exists():
            (folder / name).symlink_to((on.project / name).readlink())
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "Pulumi.yaml").write_text(PROJECT)
    stack = f"flat-{count}"

    def run(*arguments: str) -> float:
        began = time.monotonic()
        pulumi.run(on.home, [*arguments, "--stack", stack], cwd=folder, stream=False)
        return time.monotonic() - began

    def up(resources: int, altered: int = 0) -> float:
        run("config", "set", "count", str(resources))
        run("config", "set", "changed", str(altered))
        return run("up", "--yes", "--skip-preview")

    pulumi.ensure_stack(on.home, stack, cwd=folder)
    up(base)  # the type check too is done before, as it is for the program
    return {
        "first up": up(base + tenants),
        "no-op preview": run("preview", "--expect-no-changes"),
        "changing the quota of all": up(base + tenants, changed),
        "adding one tenant": up(base + tenants + one, changed),
        "removing one tenant": up(base + tenants, changed),
        "destroy": run("destroy", "--yes", "--skip-preview"),
    }
