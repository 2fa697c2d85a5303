"""The embedded platform as a whole: start it, bootstrap Flux and the tenants on it, stop it."""

from __future__ import annotations

import time

from rich.console import Console

from local import agent, controlplane, files, git, processes, pulumi, registry, status, toolchain
from local.home import Home
from local.toolchain import manifest

STACK = "local"
READY_SECONDS = 300.0
WORKLOAD_SECONDS = 20.0
"""How long `up` waits for pods after Flux applied everything; pods that need longer are unlikely to start."""


def start(home: Home, console: Console) -> None:
    """Start every process that does not run yet. Flux is not installed: the program does that."""
    home.create()
    tools = toolchain.ensure(toolchain.PLATFORM, console=console)
    flux = manifest.install_manifest().read_text()
    if not home.manifest.exists() or home.manifest.read_text() != flux:
        files.write_atomically(home.manifest, flux)
    with console.status("Starting the control plane, the Git server and the registry"):
        controlplane.up(home, tools)
        git.start(home)
        git.seed(home)
        registry.start(home, tools)
        agent.start(home, tools)
        pulumi.install(home, tools)


def stop(home: Home) -> None:
    """Stop everything that `start` started, and nothing else. Data stays."""
    pulumi.stop_preloading(home)
    agent.stop(home)
    registry.stop(home)
    processes.stop(home, "gitserver")
    controlplane.down(home)


def up(home: Home, console: Console, *, platform_only: bool) -> bool:
    """Start everything, run `pulumi up`, and wait for the tenants. Returns whether all tenants are ready."""
    started = time.monotonic()
    start(home, console)
    took = time.monotonic() - started
    console.print(f"The platform runs ({took:.1f} s): Kubernetes at {controlplane.server_url(home)}.")
    if platform_only:
        console.print(f"Next: source {home.env}, then `pulumi up --stack {STACK}`.", highlight=False)
        return True
    pulumi.ensure_stack(home, STACK)
    for line in pulumi.recover(home, STACK):
        console.print(line, highlight=False)
    api = controlplane.administrator(home)
    ready_before = {row.name for row in status.reconciliations(api) if row.ready}
    began = time.monotonic()
    watch = status.Watch(api)
    pulumi.run(home, ["up", "--stack", STACK, "--yes", "--skip-preview"])
    with console.status("Waiting until the tenants are ready"):
        ready_at = watch.finish(READY_SECONDS)
        status.wait_for_workloads(api, WORKLOAD_SECONDS)
    status.remember(home, {name: moment - began for name, moment in ready_at.items() if name not in ready_before})
    all_ready = status.show(home, console)
    if all_ready:
        console.print(_next_steps(home), highlight=False)
    return all_ready


def _next_steps(home: Home) -> str:
    product = f"ssh://git@127.0.0.1:{home.port('git-ssh')}/acme/product"
    return f"""Try next:
  source {home.env}
  pulumi preview --stack {STACK} --expect-no-changes
  kubectl get pods --all-namespaces
  git clone {product}    change kustomize/, commit, push: Flux applies it within a minute
  edit tenants.yaml, then make up again; make status at any time"""
