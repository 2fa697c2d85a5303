"""`make release VERSION=1.1.0`: push an image of the sample product, and follow it to the tenants that run it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from local import controlplane, processes, registry
from local.home import Home
from local.kubeapi import Api
from model.status import KUSTOMIZATIONS

Object = dict[str, Any]
REPOSITORY = "product"
IMAGES = "/apis/image.toolkit.fluxcd.io/v1"
VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
STEP_SECONDS = 150.0
"""Timeout of each step: without a webhook, Flux polls once a minute."""


class ReleaseError(RuntimeError):
    """The release does not reach its tenants. The message says where it stopped, and what to look at."""


@dataclass(frozen=True)
class Step:
    """What has to happen next: `look` says so when it has happened; `hint` is where to look if it does not."""

    waiting: str
    look: Callable[[], str | None]
    hint: str


def release(home: Home, version: str, console: Console) -> None:
    """Push a version, and print each step with the seconds since the push. Raises ReleaseError."""
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"{version!r} is not a version. Write three numbers: make release VERSION=1.1.0.")
    if "kube-apiserver" not in processes.running(home):
        raise ReleaseError("the platform does not run. Start it with `make up`.")
    api = controlplane.administrator(home)
    image = f"127.0.0.1:{home.port(registry.NAME)}/{REPOSITORY}"
    scanned = [item for item in _items(api.get(f"{IMAGES}/imagerepositories")) if item["spec"]["image"] == image]
    if not scanned:
        name = f"{registry.HOST}/{REPOSITORY}"
        raise ReleaseError(f"no product has the image {name}. Add it below `images:` in tenants.yaml, then `make up`.")
    if version in (released := registry.releases(home).get(REPOSITORY, [])):
        raise ReleaseError(f"{version} is released already. Releases so far: {', '.join(released)}.")
    digest = registry.push(home, REPOSITORY, version)
    began = time.monotonic()
    console.print(f"   0.0 s  pushed {registry.HOST}/{REPOSITORY}:{version}, {digest[:19]}", highlight=False)
    for item in scanned:
        _scan_now(api, item)
    for item in scanned:
        for step in steps(api, item["metadata"]["namespace"], item["metadata"]["name"], version, digest):
            with console.status(step.waiting):
                said = _within(step)
            console.print(f"{time.monotonic() - began:6.1f} s  {said}", highlight=False)


def steps(api: Api, namespace: str, policy: str, version: str, digest: str) -> Iterator[Step]:
    """From the registry to the tenants of the product in a namespace."""
    product = namespace.removeprefix("product-")
    own = f"{IMAGES}/namespaces/{namespace}"
    before = (_get(api, f"{own}/imageupdateautomations/{product}").get("status") or {}).get("lastPushCommit")

    def seen() -> str | None:
        latest = _get(api, f"{own}/imagepolicies/{policy}").get("status", {}).get("latestRef", {})
        return (
            f"seen by the scanner: policy {namespace}/{policy} chose {version}"
            if latest.get("tag") == version
            else None
        )

    yield Step(
        "waiting for the scanner",
        seen,
        f"Is {version} the newest version that its policy allows? kubectl get imagepolicies -n {namespace}",
    )

    automation: Object = {}

    def committed() -> str | None:
        automation.update(_get(api, f"{own}/imageupdateautomations/{product}"))
        status = automation.get("status", {})
        observed = status.get("observedPolicies", {}).get(policy, {}).get("tag")
        if observed != version or status.get("lastPushCommit") == before:
            return None
        return f"committed: {status['lastPushCommit'][:8]} on {automation['spec']['git']['push']['branch']}, signed"

    yield Step("waiting for the commit", committed, f"kubectl get imageupdateautomations -n {namespace}")

    git = automation["spec"]["git"]
    if git["push"]["branch"] != git["checkout"]["ref"]["branch"]:
        return  # a person merges the pull request
    commit = automation["status"]["lastPushCommit"]

    def applied() -> str | None:
        found = [item for item in _items(api.get(KUSTOMIZATIONS)) if item["metadata"]["namespace"] == namespace]
        done = [item for item in found if commit in item.get("status", {}).get("lastAppliedRevision", "")]
        names = ", ".join(item["metadata"]["name"] for item in done)
        return f"applied to {names}" if found and len(done) == len(found) else None

    yield Step("waiting for Flux to apply it", applied, "make status")

    def running() -> str | None:
        found = [item for item in _items(api.get(KUSTOMIZATIONS)) if item["metadata"]["namespace"] == namespace]
        deployments = [
            deployment
            for item in found
            for deployment in _items(api.get(f"/apis/apps/v1/namespaces/{item['spec']['targetNamespace']}/deployments"))
            if any(f"@{digest}" in c["image"] for c in deployment["spec"]["template"]["spec"]["containers"])
        ]
        ready = deployments and all(map(_rolled_out, deployments))
        return f"runs in {len(deployments)} Deployments, as {version}@{digest[:19]}" if ready else None

    yield Step("waiting for the pods", running, "kubectl get pods --all-namespaces")


def _rolled_out(deployment: Object) -> bool:
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    current = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return (
        current and status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas") == wanted
    )


def _scan_now(api: Api, item: Object) -> None:
    """Ask Flux to look at the registry at once, as a pipeline does after its push."""
    metadata = item["metadata"]
    place = {"name": metadata["name"], "namespace": metadata["namespace"]}
    asked = {**place, "annotations": {"reconcile.fluxcd.io/requestedAt": str(time.time())}}
    path = f"{IMAGES}/namespaces/{metadata['namespace']}/imagerepositories/{metadata['name']}"
    api.apply(path, {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": asked})


def _within(step: Step) -> str:
    deadline = time.monotonic() + STEP_SECONDS
    while (said := step.look()) is None:
        if time.monotonic() > deadline:
            raise ReleaseError(f"{step.waiting} took more than {STEP_SECONDS:.0f} s. {step.hint}")
        time.sleep(0.1)
    return said


def _get(api: Api, path: str) -> Object:
    found = api.get(path)
    if found is None:
        raise ReleaseError(f"{path} does not exist. Run `make up` again.")
    return found


def _items(answer: Object | None) -> list[Object]:
    """The items of a list, with their kind; none if the kind is not defined."""
    if not answer:
        return []
    kind = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
    return [{**kind, **item} for item in answer["items"]]
