"""The real engine on an embedded platform, beside a flat program that registers as many plain ConfigMaps."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench import workload
from local import processes, pulumi, status
from local.agent import programs
from local.home import PROJECT
from model import mirrors
from tests.platform import Platform, eventually

READY_SECONDS = 1800.0

FLAT = '''\
"""As many ConfigMaps as the program has resources for its tenants, in one namespace, with nothing between them."""
import pulumi
import pulumi_kubernetes as kubernetes
from components.objects import KubernetesObject
count = int(pulumi.Config().require("count"))
provider = kubernetes.Provider("flat", kubeconfig=".local/kubeconfig", cluster_identifier="flat")
opts = pulumi.ResourceOptions(provider=provider)
for n in range(count):
    metadata = {"name": f"flat-{n}", "namespace": "default", "labels": {"bench": "flat"}}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": str(n)}}
    KubernetesObject(f"flat-{n}", manifest, opts)
'''


@dataclass
class Measured:
    """Seconds, by what was measured; and megabytes, by process."""

    tenants: int
    program: dict[str, float] = field(default_factory=dict[str, float])
    floor: dict[str, float] = field(default_factory=dict[str, float])
    memory: dict[str, float] = field(default_factory=dict[str, float])


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def ready(on: Platform, count: int) -> bool:
    """Whether that many tenants are ready."""
    rows = [row for row in status.reconciled(on.api) if row.name.startswith("tenant-")]
    return len(rows) == count and all(row.ready for row in rows)


def measure(on: Platform, count: int, folder: Path, say: Callable[[str], None]) -> Measured:
    """Everything that needs an engine, for that many tenants. The platform is left as it was found."""
    found = Measured(count)
    stack = on.stack(f"bench-{count}")
    stack.tenants({})
    say("bootstrapping Flux")
    stack.up()
    say("first update")
    bench = workload.sources(count)
    stack.tenants(bench, interval=workload.INTERVAL)
    began = time.monotonic()
    stack.up()
    found.program["tenants' first up"] = time.monotonic() - began
    eventually(lambda: ready(on, count), timeout=READY_SECONDS)
    found.program["up to all ready"] = time.monotonic() - began
    found.program["no-op preview"] = seconds(lambda: stack.run("preview", "--expect-no-changes"))
    say("push")
    found.program |= _push(on, bench, folder)
    found.memory = _memory(on)
    say("adding one tenant")
    stack.tenants({**bench, "added": workload.PUBLIC}, interval=workload.INTERVAL)
    found.program["add one tenant"] = seconds(stack.up)
    say("removing them")
    stack.tenants({})
    found.program["remove all tenants"] = seconds(stack.up)
    say("kubectl")
    found.floor["up to all ready"] = _kubectl(on, count)
    stack.destroy()
    say("the flat program")
    found.floor |= _flat(on, count, sum(8 if source.get("private") else 5 for source in bench.values()))
    return found


def _push(on: Platform, bench: dict[str, dict[str, object]], folder: Path) -> dict[str, float]:
    """From the push of a product commit to applied, with Flux asked to look as `flux reconcile` does."""
    names = [name for name, source in bench.items() if source is workload.PUBLIC]
    commit = on.push("stefanprodan/podinfo", {"CHANGELOG.md": f"{time.time_ns()}\n"}, folder)
    began = time.monotonic()
    stamp = f"reconcile.fluxcd.io/requestedAt={time.time_ns()}"
    for name in names[:1] if len(names) > 1 else names:
        on.kubectl("-n", name, "annotate", "--overwrite", f"gitrepositories/{name}", stamp)
    eventually(
        lambda: any(r.name == names[0] and commit[:8] in r.revision for r in status.reconciled(on.api)), every=0.05
    )
    one = time.monotonic() - began
    on.kubectl("annotate", "--overwrite", "-A", "--all", "gitrepositories", stamp)
    eventually(
        lambda: {r.name for r in status.reconciled(on.api) if commit[:8] in r.revision} >= set(names),
        timeout=READY_SECONDS,
    )
    return {"git push to one tenant": one, "git push to all tenants": time.monotonic() - began}


def _kubectl(on: Platform, count: int) -> float:
    """`kubectl apply --server-side` of the same objects, until all are ready. They are removed again."""
    rules = mirrors.load(on.home.mirrors, "mirrors.yaml")
    text = workload.tenant_objects(count, rules)
    began = time.monotonic()
    on.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    eventually(lambda: ready(on, count), timeout=READY_SECONDS)
    took = time.monotonic() - began
    on.kubectl("delete", "kustomizations", "-A", "--field-selector", "metadata.namespace!=flux-system")
    on.kubectl("delete", "namespaces", "-l", "toolkit.fluxcd.io/tenant")
    return took


def _flat(on: Platform, count: int, resources: int) -> dict[str, float]:
    """The same engine, backend and plugin, with as many ConfigMaps."""
    project = on.project.with_name("flat")
    project.mkdir(exist_ok=True)
    for name in ("components", "model", ".venv", ".local"):
        if not (project / name).exists():
            (project / name).symlink_to((on.project / name).readlink())
    shutil.copy(PROJECT / "pyproject.toml", project)
    (project / "__main__.py").write_text(FLAT)
    options = {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv", "typechecker": "pyright"}}
    (project / "Pulumi.yaml").write_text(json.dumps({"name": "flat", "runtime": options}))
    name = f"flat-{count}"

    def run(*arguments: str) -> float:
        return seconds(lambda: pulumi.run(on.home, [*arguments, "--stack", name], cwd=project, stream=False))

    pulumi.ensure_stack(on.home, name, cwd=project)
    run("config", "set", "count", "0")
    run(
        "up", "--yes", "--skip-preview"
    )  # as the program's first update was: Flux, and the type check, were there before
    run("config", "set", "count", str(resources))
    took = {"tenants' first up": run("up", "--yes", "--skip-preview"), "no-op preview": run("preview")}
    run("config", "set", "count", str(resources + 5))
    took["add one tenant"] = run("up", "--yes", "--skip-preview")
    run("config", "set", "count", "0")
    took["remove all tenants"] = run("up", "--yes", "--skip-preview")
    run("destroy", "--yes", "--skip-preview")
    return took


def _memory(on: Platform) -> dict[str, float]:
    """Resident megabytes of each process of the platform."""
    running = {**processes.running(on.home), **programs(on.home)}
    return {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in running.items()}
