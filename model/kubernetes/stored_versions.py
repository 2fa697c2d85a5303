"""Upgrade of CustomResourceDefinitions: versions in which objects may still be stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from model.kubernetes.manifests import Manifest


def stored_version_problems(
    installed: Iterable[Mapping[str, Any]], wanted: Iterable[Manifest]
) -> Iterator[tuple[str, str]]:
    """Message and remedy for each installed definition with a stored version that the wanted one lacks.

    The API server refuses to drop such a version, and names no way out.
    """
    versions = {
        manifest["metadata"]["name"]: {version["name"] for version in manifest["spec"]["versions"]}
        for manifest in wanted
        if manifest["kind"] == "CustomResourceDefinition"
    }
    for definition in installed:
        name = definition["metadata"]["name"]
        kept = versions.get(name)
        lost = [version for version in definition["status"]["storedVersions"] if kept and version not in kept]
        if kept is None or not lost:
            continue
        storage = next(version["name"] for version in definition["spec"]["versions"] if version["storage"])
        message = f"objects of {name} may be stored as {', '.join(lost)}, which the new manifest lacks"
        if storage not in kept:
            yield message, f"Upgrade by way of a release of Flux that has both {storage} and {', '.join(sorted(kept))}."
            continue
        status = f'{{"status":{{"storedVersions":["{storage}"]}}}}'
        yield (
            message,
            f"Store them as {storage}, with `flux migrate`; or with `kubectl get {name} -A -o json | kubectl replace "
            f"-f -` (no objects: nothing to do) and `kubectl patch crd {name} --subresource=status --type=merge "
            f"-p '{status}'`.",
        )
