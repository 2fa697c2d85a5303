"""Builders of a tenant's and of Flux's sync objects, as Flux's own command line writes them.

Pulumi applies and Git holds the output of the same builder. Outputs, such as keys, are passed through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from model.config.mirrors import Location
from model.config.names import (
    DEFAULT_SHARD,
    FLUX_NAMESPACE,
    PLATFORM_SHARD,
    PREFIX,
    TENANT_LABEL,
    cluster_path,
    product_namespace,
)
from model.config.sources import Source
from model.config.tenants import Tenant
from model.config.tiers import HELM_ROLE, RECONCILER_ROLE, seconds
from model.kubernetes.suspension import STOPPING, state_labels

Manifest = dict[str, Any]

SHARD_LABEL = "sharding.fluxcd.io/key"
"""Flux's label for the shard of controllers that reconcile an object. Objects without it belong to the default one."""

TIER_LABEL = f"{PREFIX}tier"
SHARD_ANNOTATION = f"{PREFIX}shard"
OWNER_LABEL = f"{PREFIX}owner"
PLATFORM = "platform"
"""Owner of the program's objects in a tenant's namespace; admission protects them from the tenant's reconciler."""

CLUSTER_LABEL = f"{PREFIX}cluster"
"""The setting `cluster` of the stack that a tenant's namespace belongs to."""
ADOPTED = f"{PREFIX}adopted"
"""Annotation of a namespace that existed before its tenant, and stays after it."""
GITHUB_APP = "github-app"
"""Secret of the GitHub App that Flux reads as; not the deploy key's, which would be deleted after its successor."""
READ_AS_APP: Manifest = {"provider": "github", "secretRef": {"name": GITHUB_APP}}
"""In the spec of a GitRepository that Flux reads as a GitHub App."""

SERVICES = f"{PREFIX}services"
REGISTRIES = f"{PREFIX}registries"
PRIORITY_CLASSES = f"{PREFIX}priority-classes"
RUNTIME_CLASSES = f"{PREFIX}runtime-classes"
STORAGE_CLASSES = f"{PREFIX}storage-classes"
ANNOTATIONS = f"{PREFIX}annotations"
HOSTS = f"{PREFIX}hosts"
MAX_REPLICAS = f"{PREFIX}max-replicas"
MAX_COMPLETIONS = f"{PREFIX}max-completions"
HELM = f"{PREFIX}helm"
PODS_AS_RECONCILER = f"{PREFIX}pods-as-reconciler"
"""Annotations of a tenant's namespace: comma-separated lists, numbers, or "true". A missing one allows nothing, except
that Services may be ClusterIP, images may come from any registry, and claims may have any StorageClass."""

POD_SECURITY = "pod-security.kubernetes.io"

NOT_FLUX_BUSINESS = {
    # Pulumi owns Flux's installation; the infra repository has a copy for people to read. With these annotations Flux
    # neither applies that copy over Pulumi's objects nor deletes them with it.
    "kustomize.toolkit.fluxcd.io/ssa": "Ignore",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}

WAIT_UNTIL_READY = {"pulumi.com/waitFor": "condition=Ready"}
"""For Flux's own sync. Never for a tenant: an update must not depend on the product team's repository."""


def namespace(tenant: Tenant, cluster: str) -> Manifest:
    """The tenant's namespace, with the annotations that admission policies read; the tenant cannot change it."""
    labels = {
        TENANT_LABEL: tenant.name,
        TIER_LABEL: tenant.tier,
        CLUSTER_LABEL: cluster,
        f"{POD_SECURITY}/enforce": tenant.pod_security,
        f"{POD_SECURITY}/warn": "restricted",
        f"{POD_SECURITY}/audit": "restricted",
        **state_labels(tenant),
    }
    allowed = {
        SERVICES: ",".join(tenant.services),
        REGISTRIES: ",".join(tenant.registries),
        PRIORITY_CLASSES: ",".join(tenant.priority_classes),
        RUNTIME_CLASSES: ",".join(tenant.runtime_classes),
        STORAGE_CLASSES: ",".join(tenant.storage_classes),
        ANNOTATIONS: ",".join(tenant.annotations),
        HOSTS: ",".join(tenant.hosts),
        MAX_REPLICAS: str(tenant.max_replicas),
        MAX_COMPLETIONS: str(tenant.max_completions),
        HELM: _flag(tenant.helm),
        # If the account of the tenant's name has the AWS role, the product's pods get it as that account only.
        PODS_AS_RECONCILER: _flag(has_aws_account(tenant)),
    }
    if tenant.adopt:
        allowed[ADOPTED] = "true"
    if shard := shard_labels(tenant):
        allowed[SHARD_ANNOTATION] = shard[SHARD_LABEL]
    metadata: Manifest = {"name": tenant.name, "labels": labels, "annotations": allowed}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def has_aws_account(tenant: Tenant) -> bool:
    """Whether pods get the tenant's AWS role as the account of the tenant's name."""
    return tenant.aws is not None and tenant.aws.service_account in (None, tenant.name)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def service_account(tenant: Tenant) -> Manifest:
    """The account that Flux impersonates when it applies the tenant's own product.

    A tenant of a shared product has it for its AWS role only, without rights in the cluster.
    """
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(tenant, tenant.name)}


def role_binding(tenant: Tenant) -> Manifest:
    """The reconciler's rights, inside the tenant's namespace only.

    A binding cannot change its role, and no other object can have its name while it exists. So the name tells the role,
    except for the default one, which has the name that Flux's CLI gives.
    """
    suffix = "reconciler" if tenant.role == RECONCILER_ROLE else f"reconciler-{tenant.role}"
    return _role_binding(tenant, f"{tenant.name}-{suffix}", tenant.role, _own_reconciler(tenant))


def helm_role_binding(tenant: Tenant) -> Manifest:
    """The reconciler's right to HelmReleases and chart sources."""
    return _role_binding(tenant, f"{tenant.name}-helm", HELM_ROLE, _own_reconciler(tenant))


def product_role_bindings(tenant: Tenant, product: str) -> dict[str, Manifest]:
    """The rights of the reconciler of a tenant of a shared product, an account in the product's namespace, by role.

    The names differ from those of a tenant with a source of its own: while a tenant moves, both reconcilers have their
    rights, each until its Kustomization is gone.
    """
    account = {"kind": "ServiceAccount", "name": tenant.name, "namespace": product_namespace(product)}
    prefix = product_namespace(product)
    suffix = "reconciler" if tenant.role == RECONCILER_ROLE else f"reconciler-{tenant.role}"
    bindings = {tenant.role: _role_binding(tenant, f"{prefix}-{suffix}", tenant.role, [account])}
    if tenant.helm:
        bindings[HELM_ROLE] = _role_binding(tenant, f"{prefix}-helm", HELM_ROLE, [account])
    return bindings


RBAC = "rbac.authorization.k8s.io"


def _own_reconciler(tenant: Tenant) -> list[Manifest]:
    return [
        {"apiGroup": RBAC, "kind": "User", "name": f"gotk:{tenant.name}:reconciler"},
        {"kind": "ServiceAccount", "name": tenant.name, "namespace": tenant.name},
    ]


def _role_binding(tenant: Tenant, name: str, role: str, subjects: list[Manifest]) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(tenant, name),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    }


def resource_quota(tenant: Tenant) -> Manifest:
    """The tenant's quota. A suspended tenant's has `pods: 0`, which holds for all users and controllers."""
    hard = {**tenant.quota, **({"pods": "0"} if tenant.stopped else {})}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": _metadata(tenant, "tenant"),
        "spec": {"hard": hard},
    }


def limit_range(tenant: Tenant) -> Manifest:
    """Container limits and defaults: without defaults, a quota refuses containers that name no requests."""
    limits = tenant.limits
    parts = {"default": limits.default, "defaultRequest": limits.default_request, "max": limits.max}
    limit: Manifest = {"type": "Container", **{key: dict(amounts) for key, amounts in parts.items() if amounts}}
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": _metadata(tenant, "tenant"),
        "spec": {"limits": [limit]},
    }


def identity_config_map(tenant: Tenant, data: Mapping[str, Any]) -> Manifest:
    """OpenID Connect settings for the product: how to sign users in and verify their tokens. Holds no secret."""
    metadata = {"name": "identity", "namespace": tenant.name, "labels": tenant_labels(tenant)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def owned(manifest: Manifest, tenant: Tenant) -> Manifest:
    """The object with the labels of the platform's objects in a tenant's namespace."""
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **tenant_labels(tenant)}}}


def source_spec(source: Source, location: Location, *, interval: str, secret: str) -> Manifest:
    """The spec of a GitRepository that is read from `location`; `secret` has the key of a private one."""
    spec: Manifest = {"interval": interval, "ref": dict(source.reference), "url": location.url}
    if source.private:
        spec["secretRef"] = {"name": secret}
    return spec


def git_repository(tenant: Tenant, location: Location) -> Manifest:
    """GitRepository of a tenant's own source, read from `location`."""
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": _flux_metadata(tenant),
        "spec": source_spec(tenant.own_source, location, interval=tenant.interval, secret=tenant.name),
    }


def kustomization(tenant: Tenant) -> Manifest:
    """Kustomization of a tenant's own source, in the tenant's namespace."""
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": _flux_metadata(tenant),
        "spec": kustomization_spec(tenant, tenant.name, tenant.own_source),
    }


def kustomization_spec(tenant: Tenant, git_repository: str, source: Source) -> Manifest:
    """Apply the source's folder to the tenant's namespace, as the tenant's account in the Kustomization's namespace."""
    spec: Manifest = {
        "interval": tenant.interval,
        "path": source.path,
        "prune": tenant.prune,
        # By default, Flux would wait for the next interval, and let a revision hold a worker as long.
        "retryInterval": min(tenant.retry_interval, tenant.interval, key=seconds),
        "serviceAccountName": tenant.name,
        "sourceRef": {"kind": "GitRepository", "name": git_repository},
        "targetNamespace": tenant.name,
        "timeout": tenant.timeout,
    }
    if shard := shard_labels(tenant):
        # Whatever of the product Flux reconciles in turn, such as a HelmRelease, is in the same shard.
        spec["commonMetadata"] = {"labels": shard}
    overrides = [patch.model_dump(by_alias=True, exclude_none=True) for patch in tenant.patches]
    if patches := [*overrides, *(STOPPING if tenant.stopped else ())]:
        spec["patches"] = patches
    return spec


def source_secret(
    name: str, namespace: str, *, private_key: Any, public_key: Any, known_hosts: str, labels: Mapping[str, str]
) -> Manifest:
    """Secret with an SSH key, as Flux reads it."""
    metadata: Manifest = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"identity": private_key, "identity.pub": public_key, "known_hosts": known_hosts},
    }


def github_app_secret(
    app: str,
    installation: str,
    private_key: Any,
    *,
    namespace: str = FLUX_NAMESPACE,
    labels: Mapping[str, str] | None = None,
) -> Manifest:
    """Secret by which Flux reads as a GitHub App. The key opens several repositories: no tenant's namespace has it."""
    metadata: Manifest = {"name": GITHUB_APP, "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {
            "githubAppID": app,
            "githubAppInstallationID": installation,
            "githubAppPrivateKey": private_key,
        },
    }


def sync_git_repository(url: str, branch: str, *, app: bool = False) -> Manifest:
    """GitRepository of the infra repository, read with its deploy key or as a GitHub App."""
    spec: Manifest = {"interval": "1m0s", "ref": {"branch": branch}, "secretRef": {"name": FLUX_NAMESPACE}, "url": url}
    if app:
        spec |= READ_AS_APP
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": _sync_metadata(),
        "spec": spec,
    }


def sync_kustomization(cluster: str) -> Manifest:
    """Kustomization of the cluster's folder in the infra repository, with the rights of its controller.

    Under lockdown Flux needs the account's name. It is there without lockdown too: a controller that is locked down
    later would otherwise fail for a minute on a Kustomization without one. Its deletion waits until what it applied is
    gone, load balancers on AWS included: their interfaces would keep the VPC's subnets from being deleted.
    """
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": _sync_metadata(),
        "spec": {
            "interval": "10m0s",
            "path": cluster_path(cluster),
            "prune": True,
            "deletionPolicy": "WaitForTermination",
            "retryInterval": "1m0s",
            "serviceAccountName": "kustomize-controller",
            "sourceRef": {"kind": "GitRepository", "name": FLUX_NAMESPACE},
            "timeout": "5m0s",
        },
    }


def annotated(manifest: Manifest, annotations: Mapping[str, str]) -> Manifest:
    """The same object with more annotations."""
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **annotations}}}


def folder_kustomization(resources: Sequence[str]) -> str:
    """kustomization.yaml of a folder in the infra repository."""
    content = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(resources)}
    return yaml.safe_dump(content, sort_keys=False)


def to_yaml(manifests: Sequence[Manifest], comment: str) -> str:
    """One YAML file of several objects, with reproducible text."""
    # libyaml's dumper writes the 270 kB of Flux's manifest in a tenth of the time.
    documents = (
        yaml.dump(manifest, Dumper=yaml.CSafeDumper, sort_keys=True, width=1_000_000) for manifest in manifests
    )
    return f"# {comment}\n---\n" + "---\n".join(documents)


def tenant_labels(tenant: Tenant) -> dict[str, str]:
    """Labels of the platform's objects in a tenant's namespace."""
    return {TENANT_LABEL: tenant.name, OWNER_LABEL: PLATFORM}


def _metadata(tenant: Tenant, name: str) -> Manifest:
    return {"name": name, "namespace": tenant.name, "labels": tenant_labels(tenant)}


def _flux_metadata(tenant: Tenant) -> Manifest:
    metadata = _metadata(tenant, tenant.name)
    return {**metadata, "labels": {**metadata["labels"], **shard_labels(tenant)}}


def shard_labels(tenant: Tenant) -> dict[str, str]:
    """The label that puts an object into the tenant's shard; none for the default shard."""
    return in_shard(tenant.shard)


def in_shard(shard: str) -> dict[str, str]:
    """The label that puts an object into a shard; none for the default shard."""
    return {} if shard == DEFAULT_SHARD else {SHARD_LABEL: shard}


def _sync_metadata() -> Manifest:
    return {
        "name": FLUX_NAMESPACE,
        "namespace": FLUX_NAMESPACE,
        "labels": {SHARD_LABEL: PLATFORM_SHARD},
        "annotations": dict(NOT_FLUX_BUSINESS),
    }
