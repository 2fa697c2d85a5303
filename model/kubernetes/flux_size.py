"""Sizes of Flux's controllers: workers, requests to the API server, CPU, memory and tmpfs, as Flux documents them.

Every shard's controllers have the size: it is set before they are copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from model.config.names import FLUX_SIZES
from model.kubernetes.flux import FluxManifest, with_arguments
from model.kubernetes.manifests import Manifest

BUILDER = "kustomize-controller"
TEMPORARY = "/tmp"  # noqa: S108 - the container's


@dataclass(frozen=True)
class Size:
    """What a controller may use. Other arguments and requests stay the manifest's."""

    workers: int
    cpu: str
    """Limit; the CPU requests are those of the manifest, 50m or 100m."""
    memory: str
    """Limit. Go collects garbage more often as it comes near."""
    requested_memory: str
    queries: tuple[int, int] | None = None
    """Requests to the API server per second, on average and at most. Flux limits itself to 50 and 300, but only where
    the API server has no Priority and Fairness, which divides them by itself."""
    tmpfs: str | None = None
    """Size of kustomize-controller's temporary files, which are in memory: many workers would wait for the disk."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that replace the manifest's."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The controller's arguments."""
        arguments = [f"--concurrent={self.workers}", "--requeue-dependency=5s", "--interval-jitter-percentage=10"]
        if self.queries:
            arguments += [f"--kube-api-qps={self.queries[0]}", f"--kube-api-burst={self.queries[1]}"]
        return tuple(arguments)


GARBAGE = {"GOGC": "300", "GOMEMLIMIT": "1792MiB"}
"""Memory may grow by 300 percent until Go collects garbage: each build reads all schemas of Kubernetes anew, and this
takes a fifth less CPU. The limit leaves room for temporary files in memory, of which Go knows nothing."""
SMALL, MEDIUM, LARGE = FLUX_SIZES
SIZES: Mapping[str, Mapping[str, Size]] = {
    # The release's own: 2 workers of source-controller, 4 of the others, an interval's jitter of 5 %, 1 CPU, 1 GiB.
    SMALL: {},
    # https://fluxcd.io/flux/installation/configuration/vertical-scaling/
    MEDIUM: {
        "source-controller": Size(workers=10, cpu="2000m", memory="2Gi", requested_memory="128Mi"),
        BUILDER: Size(workers=10, cpu="2000m", memory="2Gi", requested_memory="128Mi", tmpfs="512Mi"),
        "helm-controller": Size(workers=10, cpu="2000m", memory="2Gi", requested_memory="128Mi"),
    },
    # As many workers as in Flux's own benchmark of 1,000 objects, and the limits of its operator's `large`.
    LARGE: {
        "source-controller": Size(10, "2000m", "2Gi", "256Mi", queries=(500, 1000)),
        BUILDER: Size(20, "3000m", "3Gi", "512Mi", queries=(500, 1000), tmpfs="1Gi", environment=GARBAGE),
        "helm-controller": Size(20, "3000m", "3Gi", "256Mi", queries=(500, 1000)),
    },
}
"""By size and controller. The others do little for each tenant: they stay as released."""


def with_size(manifest: FluxManifest, size: str) -> FluxManifest:
    """The manifest with controllers of this size; `small` changes nothing."""
    sizes = SIZES[size]
    arguments = {name: controller.arguments for name, controller in sizes.items()}
    controllers = [with_arguments(controller, arguments) for controller in manifest.controllers]
    return replace(manifest, controllers=tuple(_with_resources(controller, sizes) for controller in controllers))


def _with_resources(manifest: Manifest, sizes: Mapping[str, Size]) -> Manifest:
    size = sizes.get(manifest["metadata"]["name"])
    if manifest["kind"] != "Deployment" or size is None:
        return manifest
    sized = deepcopy(manifest)
    pod: dict[str, Any] = sized["spec"]["template"]["spec"]
    container: dict[str, Any] = pod["containers"][0]
    resources = container.setdefault("resources", {})
    resources["limits"] = {**resources.get("limits", {}), "cpu": size.cpu, "memory": size.memory}
    resources["requests"] = {**resources.get("requests", {}), "memory": size.requested_memory}
    if size.environment:
        kept = [entry for entry in container.get("env", []) if entry["name"] not in size.environment]
        container["env"] = kept + [{"name": name, "value": value} for name, value in size.environment.items()]
    if size.tmpfs:
        mounted = {mount["name"] for mount in container.get("volumeMounts", []) if mount["mountPath"] == TEMPORARY}
        for volume in pod.get("volumes", []):
            if volume["name"] in mounted:
                # Used memory counts towards the container's limit, so it is bounded well below.
                volume["emptyDir"] = {"medium": "Memory", "sizeLimit": size.tmpfs}
    return sized
