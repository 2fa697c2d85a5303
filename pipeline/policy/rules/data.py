"""Rules about stored data: encryption, retention, immutability and protection against deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from .cluster import CLUSTER, COMPONENT, LAUNCH_TEMPLATE, encrypted_disks
from .resource import Hidden, Resource

LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
REPOSITORY = "aws:ecr/repository:Repository"

HOLDS_DATA: Mapping[str, str] = {
    "aws:cognito/userPool:UserPool": "all users and their passwords",
    REPOSITORY: "all images",
    "aws:kms/key:Key": "everything that the key encrypted",
    CLUSTER: "everything in the cluster",
    COMPONENT: "everything in the cluster",
    "aws:ec2/eip:Eip": "an address that others may have allow-listed",
    LOG_GROUP: "the record of what happened",
    "aws:backup/vault:Vault": "all backups",
    "aws:s3/bucket:Bucket": "all files in it",
}
"""Type of a resource that has to be protected -> the data that is lost with it."""

CONTAINER_LOGS = "/aws/containerinsights/"
"""Log groups of what containers print, which expires within weeks. A tenant's group goes with the tenant."""

TENANTS_POOL = "saas:identity:TenantIdentity$saas:identity:Identity$aws:cognito/userPool:UserPool"

KEPT: Mapping[str, str] = {
    "github:index/repository:Repository": "the repository's history",
    # A protected pool could never be removed with its tenant.
    TENANTS_POOL: "the tenant's users and their passwords",
}
"""Resources that may be retained instead (retainOnDelete), by their type or all types down to it."""


def _cluster(resource: Resource) -> Iterator[str]:
    # On aws:eks Cluster, an encryptionConfig without secrets among its resources encrypts nothing.
    path = ("encryptionConfig", "provider", "keyArn") if resource.type == CLUSTER else ("encryptionConfigKeyArn",)
    if not resource.get(*path):
        yield f"its secrets are not encrypted with a key of the stack's own: set {'.'.join(path)}."


def _registry(resource: Resource) -> Iterator[str]:
    configurations = resource.get("encryptionConfigurations")
    if isinstance(configurations, Hidden):
        return
    kinds = [each.get("encryptionType") for each in resource.items("encryptionConfigurations")]
    if "KMS" not in kinds and not any(isinstance(kind, Hidden) for kind in kinds):
        yield "its images are not encrypted with KMS: set encryptionConfigurations to encryptionType KMS and a key."


def _log_group(resource: Resource) -> Iterator[str]:
    if not resource.get("kmsKeyId"):
        yield "its logs are not encrypted with KMS: set kmsKeyId."


_STORES: Mapping[str, Callable[[Resource], Iterator[str]]] = {
    CLUSTER: _cluster,
    COMPONENT: _cluster,
    REPOSITORY: _registry,
    LOG_GROUP: _log_group,
    LAUNCH_TEMPLATE: encrypted_disks,
}


def encrypted_stores(resource: Resource) -> Iterator[str]:
    """Secrets in etcd, nodes' disks, images and logs are encrypted."""
    yield from _STORES.get(resource.type, lambda _: iter(()))(resource)


def log_retention(resource: Resource) -> Iterator[str]:
    """Log groups have a retention period."""
    if resource.type == LOG_GROUP and not resource.get("retentionInDays"):
        yield "its logs are kept, and paid for, without end: set retentionInDays."


def immutable_tags(resource: Resource) -> Iterator[str]:
    """An image tag cannot be moved to another image."""
    if resource.type != REPOSITORY:
        return
    mutability = resource.get("imageTagMutability")
    if not isinstance(mutability, Hidden) and mutability not in ("IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION"):
        yield "a tag can be moved to another image: set imageTagMutability to IMMUTABLE, or with exclusions."


def protected_data(resource: Resource) -> Iterator[str]:
    """Resources that hold data which cannot be restored are protected against deletion."""
    name = resource.get("name")
    if resource.protect or resource.retain_on_delete:
        return
    if resource.type == LOG_GROUP and isinstance(name, str) and name.startswith(CONTAINER_LOGS):
        return
    if lost := KEPT.get(resource.types) or KEPT.get(resource.type):
        if resource.retain_on_delete is False:
            yield f"with it {lost} would be lost: set retainOnDelete, or protect it."
    elif lost := HOLDS_DATA.get(resource.type):
        yield f"with it {lost} would be lost: protect it."
