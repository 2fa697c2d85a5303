"""StorageClasses on EBS: encrypted gp3 volumes that carry their tenant's name as a tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model.config.aws import EBS_CSI, ClusterSettings
from model.kubernetes.manifests import Manifest

DEFAULT_CLASS = "gp3"
"""The class of claims that name none. Its volumes are deleted with their claims, so with their tenant."""
RETAINING_CLASS = "gp3-retain"
"""The class whose volumes stay when their claims, or their tenant, go."""
POLICIES: Mapping[str, str] = {DEFAULT_CLASS: "Delete", RETAINING_CLASS: "Retain"}


def class_names(cluster: ClusterSettings) -> Sequence[str] | None:
    """The names of the stack's classes; None for an adopted cluster, which has its own."""
    if cluster.adopt:
        return None
    return list(POLICIES) if cluster.compute == "auto" or EBS_CSI in cluster.addons else []


def storage_classes(cluster: ClusterSettings, tags: Mapping[str, str]) -> Sequence[Manifest]:
    """One class for each reclaim policy; none if nothing in the cluster can create volumes."""
    auto = cluster.compute == "auto"
    # The driver replaces the template in each volume's tag; AWS Backup and the bill go by it.
    every = [*(f"{key}={value}" for key, value in sorted(tags.items())), "tenant={{ .PVCNamespace }}"]
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": name,
                "annotations": {"storageclass.kubernetes.io/is-default-class": str(name == DEFAULT_CLASS).lower()},
            },
            "provisioner": "ebs.csi.eks.amazonaws.com" if auto else "ebs.csi.aws.com",
            "parameters": {
                "type": "gp3",
                "encrypted": "true",
                **{f"tagSpecification_{number}": tag for number, tag in enumerate(every, 1)},
            },
            "reclaimPolicy": POLICIES[name],
            "allowVolumeExpansion": True,
            # Not before a pod is scheduled: a volume is in one zone.
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        for name in class_names(cluster) or ()
    ]
