"""One tenant of the SaaS: its namespace with everything in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes

from components.aws.users import TenantUsers
from components.flux.deploy_key import SourceKeyArgs, source_key
from components.objects import KubernetesObject
from components.tenant.aws_role import TenantRole
from model.config.mirrors import Mirror
from model.config.sources import location
from model.config.stack import Settings
from model.config.tenants import Tenant
from model.kubernetes import manifests
from model.kubernetes.manifests import Manifest
from model.kubernetes.tenant import RECONCILER, isolation_objects


@dataclass(frozen=True)
class TenantSpaceArgs:
    """The tenant, and its part of the platform."""

    tenant: Tenant
    settings: Settings
    mirrors: Sequence[Mirror]
    provider: kubernetes.Provider
    github_providers: Mapping[str, github.Provider]
    depends_on: Sequence[pulumi.Resource]
    """Flux's controllers, which have to finalize what they reconcile, and the guard rails."""
    users: TenantUsers | None = None
    """Tells the product how to verify its users' tokens; None for a stack without users."""
    role: TenantRole | None = None
    """AWS role of the product's pods."""


class TenantSpace(pulumi.ComponentResource):
    """Namespace with its limits, the reconciler with its rights, and the product's source and Kustomization.

    All that isolates the tenant exists before anything of the product is applied. Removal runs in reverse: first the
    Kustomization, whose controller still has the rights to prune; then the GitRepository; then the namespace with
    everything left in it, its limits included.
    """

    public_key: pulumi.Output[str] | None
    """Deploy key of a private source that its owner has to register by hand."""
    summary: Mapping[str, str]
    """Namespace and source, for the stack's outputs."""

    def __init__(self, name: str, args: TenantSpaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:tenant:TenantSpace", name, None, opts)
        tenant, settings = args.tenant, args.settings
        source_location = location(tenant.own_source, args.mirrors, settings.github_known_hosts)

        def child(
            manifest: Manifest,
            *,
            depends_on: Sequence[pulumi.Resource],
            logical_name: str = name,
            deleted_with: pulumi.Resource | None = None,
            retain: bool = False,
            formerly: str | None = None,
        ) -> KubernetesObject:
            opts = pulumi.ResourceOptions(
                parent=self,
                provider=args.provider,
                depends_on=list(depends_on),
                # An adopted namespace stays, so everything in it has to be deleted by itself.
                deleted_with=None if tenant.adopt else deleted_with,
                retain_on_delete=retain,
                aliases=[pulumi.Alias(name=formerly)] if formerly else None,
                ignore_changes=["metadata.name"] if formerly else None,
            )
            # Whatever a person has set in an adopted namespace may not be overwritten without a word.
            return KubernetesObject(logical_name, manifest, opts, force=not tenant.adopt)

        namespace = child(
            manifests.namespace(tenant, settings.cluster), depends_on=args.depends_on, retain=tenant.adopt
        )

        # A slash is in no tenant's name: with a hyphen, shop's egress-cache could be shop-egress's cache.
        isolation = [
            child(
                manifest,
                logical_name=f"{name}/{part}" if part else name,
                depends_on=[namespace],
                deleted_with=namespace,
                # Earlier releases had one binding for all roles, called `<tenant>-reconciler`: it keeps its name.
                formerly=name if part.startswith(RECONCILER) else None,
            )
            for part, manifest in isolation_objects(tenant, settings.cluster_addresses)
        ]
        if args.users:
            users = manifests.owned(manifests.identity_config_map(tenant, args.users.config_map_data), tenant)
            isolation.append(child(users, depends_on=[namespace], deleted_with=namespace))
        key = source_key(
            name,
            SourceKeyArgs(
                source=tenant.own_source,
                location=source_location,
                settings=settings,
                namespace=name,
                secret=name,
                labels=manifests.tenant_labels(tenant),
                kubernetes_provider=args.provider,
                github_providers=args.github_providers,
                depends_on=[namespace],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        source = child(
            manifests.git_repository(tenant, source_location), depends_on=[namespace, *([key.ready] if key else [])]
        )
        role = [args.role.ready] if args.role else []
        child(manifests.kustomization(tenant), depends_on=[source, *isolation, *role])
        by_hand = key is not None and tenant.own_source.github_repository is None
        self.public_key = key.public_key if key and by_hand else None
        self.summary = {"namespace": tenant.name, "source": tenant.own_source.url, **tenant.own_source.reference}
        self.register_outputs({"namespace": tenant.name})
