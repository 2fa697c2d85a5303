"""Volumes of tenants that leave stay, whatever deletes their claims, until the tenant is purged.

PersistentVolumes are objects of the cluster: no tenant can write them, and so none steers what is kept or deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi

from components.configuration import Configuration
from components.kubectl import KubectlError, kubectl
from model.config.departures import LEAVING
from model.config.names import PREFIX

KEPT_FOR = f"{PREFIX}kept-for"
"""Label of a volume: the tenant that is leaving."""
RECLAIM_POLICY = f"{PREFIX}reclaim-policy"
"""Annotation of a volume: the policy that its StorageClass gave it."""
RETAIN = "Retain"


def keep_volumes_of_leaving_tenants(kubeconfig: str, configuration: Configuration) -> None:
    """Retain the volumes of tenants that leave, and give those of others back the policy of their StorageClass.

    Raises pulumi.RunError if that fails.
    """
    # Those of all stacks, which share the cluster.
    leaving = {tenant.name for tenant in configuration.everyone.tenants if tenant.leaving}
    earlier = configuration.earlier.get("tenants", {})
    if not leaving and not any(each.get("state") == LEAVING for each in earlier.values()):
        return
    try:
        volumes = json.loads(kubectl(kubeconfig, "get", "--raw", "/api/v1/persistentvolumes"))["items"]
        for name, patch in changes(volumes, leaving):
            kubectl(kubeconfig, "patch", "persistentvolume", name, "--type=merge", f"--patch={json.dumps(patch)}")
    except KubectlError as error:
        raise pulumi.RunError(
            f"The volumes of tenants that leave cannot be retained: {error}. Nothing was changed. Repeat the update "
            "with rights to patch PersistentVolumes."
        ) from error


def changes(volumes: Sequence[Mapping[str, Any]], leaving: set[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The volumes to change, each with its patch."""
    for volume in volumes:
        metadata, spec = volume["metadata"], volume["spec"]
        kept_for = metadata.get("labels", {}).get(KEPT_FOR)
        # The claim's namespace, not its name: those of shop and shop-orders differ.
        owner, policy = spec.get("claimRef", {}).get("namespace"), spec["persistentVolumeReclaimPolicy"]
        if owner in leaving and kept_for is None:
            labels = {"labels": {KEPT_FOR: owner}, "annotations": {RECLAIM_POLICY: policy}}
            yield metadata["name"], {"metadata": labels, "spec": {"persistentVolumeReclaimPolicy": RETAIN}}
        elif kept_for is not None and kept_for not in leaving:
            before = metadata.get("annotations", {}).get(RECLAIM_POLICY, RETAIN)
            labels = {"labels": {KEPT_FOR: None}, "annotations": {RECLAIM_POLICY: None}}
            yield metadata["name"], {"metadata": labels, "spec": {"persistentVolumeReclaimPolicy": before}}
