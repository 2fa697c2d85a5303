"""What differs between two versions of an object's inputs, and which differences can't be updated in place."""

from __future__ import annotations

from typing import Any

from standins.codec import UNKNOWN, Path, Secret, covers, get

ADD, DELETE, UPDATE = "ADD", "DELETE", "UPDATE"

_SELECTOR: Path = ("spec", "selector")
_ALWAYS: list[Path] = [("metadata", "name"), ("metadata", "namespace")]
_ROLE_BINDING: list[Path] = [("roleRef",)]
_VOLUME_SOURCES = (
    *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "csi", "fc", "gcePersistentDisk", "hostPath"),
    *("iscsi", "local", "nfs", "rbd", "vsphereVolume"),
)
_IMMUTABLE: dict[tuple[str, str], list[Path]] = {
    ("apps", "Deployment"): [_SELECTOR],
    ("apps", "DaemonSet"): [_SELECTOR],
    ("apps", "StatefulSet"): [
        _SELECTOR,
        ("spec", "podManagementPolicy"),
        ("spec", "serviceName"),
        ("spec", "volumeClaimTemplates"),
    ],
    ("batch", "Job"): [_SELECTOR, ("spec", "completions"), ("spec", "parallelism"), ("spec", "template")],
    ("rbac.authorization.k8s.io", "RoleBinding"): _ROLE_BINDING,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _ROLE_BINDING,
    ("storage.k8s.io", "StorageClass"): [
        ("parameters",),
        ("provisioner",),
        ("reclaimPolicy",),
        ("volumeBindingMode",),
    ],
    ("", "Secret"): [("type",)],
    ("", "Service"): [("spec", "clusterIP")],
    ("", "Pod"): [("spec",)],
    ("", "ResourceQuota"): [("spec", "scopes")],
    ("", "PersistentVolumeClaim"): [
        ("spec", "accessModes"),
        _SELECTOR,
        ("spec", "storageClassName"),
        ("spec", "volumeName"),
    ],
    ("", "PersistentVolume"): [("spec", source) for source in _VOLUME_SOURCES],
    ("networking.k8s.io", "IngressClass"): [("spec", "controller")],
    ("scheduling.k8s.io", "PriorityClass"): [("value",)],
}


def difference(old: Any, new: Any, path: Path = ()) -> dict[Path, str]:
    """Each differing path with ADD, DELETE or UPDATE. Null is the same as absent; a value not known yet differs."""
    old, new = _visible(old), _visible(new)
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[Path, str] = {}
        for key in [*new, *(key for key in old if key not in new)]:
            found |= difference(old.get(key), new.get(key), (*path, key))
        return found
    if isinstance(old, list) and isinstance(new, list):
        found = {}
        for index in range(max(len(old), len(new))):
            if index >= len(old):
                found[(*path, index)] = ADD
            elif index >= len(new):
                found[(*path, index)] = DELETE
            else:
                found |= difference(old[index], new[index], (*path, index))
        return found
    if new is not UNKNOWN and type(old) is type(new) and old == new:
        return {}
    if isinstance(old, int | float) and isinstance(new, int | float) and not isinstance(old, bool) and old == new:
        return {}
    return {path: ADD if old is None else DELETE if new is None else UPDATE}


def _visible(item: Any) -> Any:
    while isinstance(item, Secret):
        item = item.value
    return item


def immutable_paths(item: dict[str, Any], *, mutable_config_maps: bool, mutable_secrets: bool) -> list[Path]:
    """What of such an object can only change by replacing it: what the API server fixes, and what the provider's
    settings say of ConfigMaps and Secrets (whose change pods would not notice)."""
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    kind = str(item.get("kind", ""))
    paths = _ALWAYS + _IMMUTABLE.get((group, kind), [])
    frozen = get(item, "immutable") is True
    if (group, kind) == ("", "Secret") and (frozen or not mutable_secrets):
        paths = [*paths, ("data",), ("stringData",)]
    if (group, kind) == ("", "ConfigMap") and (frozen or not mutable_config_maps):
        paths = [*paths, ("data",), ("binaryData",)]
    return paths


def replaces(path: Path, immutable: list[Path]) -> bool:
    """Whether a difference at the path touches something immutable."""
    return any(covers(pattern, path) or covers(path, pattern) for pattern in immutable)


def drift(inputs: Any, before: Any, live: Any) -> Any:
    """The inputs, with what somebody else changed since `before` (the object as we last saw it) as it is in `live`.

    The API server's own changes (defaults, `1000m` becoming `1`) are in both and so are none.
    """
    if isinstance(inputs, Secret):
        return Secret(drift(inputs.value, before, live))
    if isinstance(inputs, dict) and isinstance(live, dict):
        last = before if isinstance(before, dict) else {}
        merged = {}
        for key, value in inputs.items():
            if key in live:
                merged[key] = drift(value, last.get(key), live[key])
            elif key not in last:
                # Never in the live object, such as a Secret's stringData.
                merged[key] = value
        return merged
    if before is not None and before == live:
        return inputs
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        last = before if isinstance(before, list) and len(before) == len(live) else [None] * len(live)
        return [drift(value, old, new) for value, old, new in zip(inputs, last, live, strict=True)]
    return live
