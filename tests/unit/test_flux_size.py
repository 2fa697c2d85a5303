"""Sizes of Flux's controllers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from model.config.names import FLUX_SIZES
from model.kubernetes import flux, flux_size, shards
from model.kubernetes.flux import FluxManifest

CONTROLLERS = ("source-controller", "kustomize-controller", "helm-controller", "notification-controller")
SHARDED = CONTROLLERS[:3]
MANIFEST = (Path(__file__).parents[1] / "program" / "install.yaml").read_text()
GARBAGE = {"GOGC": "300", "GOMEMLIMIT": "1792MiB"}
RELEASED: dict[str, Any] = {
    "resources": {"limits": {"cpu": "1000m", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
    "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "temp", "mountPath": "/tmp"}],
}


def released(*arguments: str) -> str:
    """Flux's manifest with resources and volumes as in a release, and more arguments."""
    documents = list(yaml.safe_load_all(MANIFEST))
    for document in documents:
        if document["kind"] == "Deployment":
            pod = document["spec"]["template"]["spec"]
            pod["volumes"] = [{"name": name, "emptyDir": {}} for name in ("data", "temp")]
            (container,) = pod["containers"]
            container.update(RELEASED, args=[*container.get("args", []), *arguments])
    return yaml.safe_dump_all(documents)


def sized(size: str, *arguments: str, lockdown: bool = True) -> FluxManifest:
    manifest = flux.parse(released(*arguments), "x", CONTROLLERS, lockdown=lockdown)
    return shards.with_shards(flux_size.with_size(manifest, size), [shards.Shard("customers", SHARDED)])


def containers(manifest: FluxManifest) -> dict[str, dict[str, Any]]:
    pods = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in manifest.deployments}
    return {name: {**pod["containers"][0], "volumes": pod["volumes"]} for name, pod in pods.items()}


def values(container: dict[str, Any], flag: str) -> list[str]:
    return [one.partition("=")[2] for one in container["args"] if one.startswith(f"{flag}=")]


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_small_is_the_release_unchanged() -> None:
    manifest = flux.parse(released(), "x", CONTROLLERS, lockdown=True)
    assert flux_size.with_size(manifest, "small") == manifest


@pytest.mark.parametrize("size", FLUX_SIZES[1:])
def test_every_shard_has_the_size_and_keeps_its_lockdown(size: str) -> None:
    small, found = containers(sized("small")), containers(sized(size))
    for name in SHARDED:
        own, copy = found[name], found[f"{name}-customers"]
        for part in ("resources", "volumes"):
            assert own[part] == copy[part]
        for container, before in ((own, small[name]), (copy, small[f"{name}-customers"])):
            given = flux_size.SIZES[size][name]
            assert values(container, "--concurrent") == [str(given.workers)]
            assert container["resources"] == {
                "limits": {"cpu": given.cpu, "memory": given.memory},
                "requests": {"cpu": "100m", "memory": given.requested_memory},
            }
            assert set(before["args"]) <= set(container["args"])
            garbage = GARBAGE if (size, name) == ("large", "kustomize-controller") else {}
            assert variables(container) == variables(before) | garbage
            assert len(variables(container)) == len(container["env"])
    assert found["notification-controller"] == small["notification-controller"]


@pytest.mark.parametrize(("size", "bound"), [("medium", "512Mi"), ("large", "1Gi")])
def test_only_builds_are_in_memory_and_bounded(size: str, bound: str) -> None:
    found = containers(sized(size))
    disk = {"sizeLimit": flux.DISK_LIMIT}
    for name, container in found.items():
        data, temporary = (volume["emptyDir"] for volume in container["volumes"])
        assert data == disk
        builds = name.startswith("kustomize-controller")
        assert temporary == ({"medium": "Memory", "sizeLimit": bound} if builds else disk)


def test_a_manifests_own_arguments_are_replaced() -> None:
    container = containers(sized("large", "--concurrent=7", "--kube-api-qps=8"))["helm-controller"]
    assert (values(container, "--concurrent"), values(container, "--kube-api-qps")) == (["20"], ["500"])
    assert values(container, "--kube-api-burst") == ["1000"]


def test_more_workers_never_have_fewer_resources() -> None:
    def amounts(size: str, name: str) -> tuple[int, int, int]:
        given = flux_size.SIZES[size][name]
        return given.workers, int(given.cpu.removesuffix("m")), int(given.memory.removesuffix("Gi"))

    for name in SHARDED:
        medium, large = amounts("medium", name), amounts("large", name)
        assert all(less <= more for less, more in zip(medium, large, strict=True)), name
