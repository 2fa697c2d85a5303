"""StorageClasses of an EKS cluster that the stack provisions."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.aws.context import AwsContext
from components.aws.eks import EksCluster
from components.cluster import Cluster
from components.objects import KubernetesObject
from model.config.stack import Settings
from model.kubernetes.storage import storage_classes


def create_storage_classes(
    settings: Settings, context: AwsContext | None, cluster: Cluster
) -> Sequence[KubernetesObject]:
    """The classes, before the first tenant and until the last one is gone; none for another cluster."""
    if not (settings.aws and context and isinstance(cluster, EksCluster)):
        return ()
    opts = pulumi.ResourceOptions(
        parent=cluster,
        provider=cluster.provider,
        depends_on=list(cluster.ready),
        # A class cannot be changed. Its name is its identity, so that the old one goes first.
        replace_on_changes=["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"],
        delete_before_replace=True,
    )
    return [
        KubernetesObject(manifest["metadata"]["name"], manifest, opts)
        for manifest in storage_classes(settings.aws.cluster, context.tags)
    ]
