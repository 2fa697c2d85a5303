"""One tenant of the SaaS: its namespace with everything in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes

from components.aws.users import TenantUsers
from components.configuration import Configuration
from components.flux.deploy_key import DeployKey, SourceKeyArgs, source_key
from components.objects import KubernetesObject, source_position_only
from components.platform import Platform
from components.product.space import SharedProduct
from components.tenant.aws_role import TenantRole
from components.tenant.pods import end_pods
from model.config.keys import by_hand
from model.config.mirrors import Mirror
from model.config.names import product_namespace
from model.config.sources import location
from model.config.stack import Settings
from model.config.tenants import Tenant
from model.kubernetes import manifests, products
from model.kubernetes.manifests import Manifest
from model.kubernetes.tenant import RECONCILER, isolation_objects


@dataclass(frozen=True)
class TenantSpaceArgs:
    """The tenant, and its part of the platform."""

    tenant: Tenant
    settings: Settings
    mirrors: Sequence[Mirror]
    provider: kubernetes.Provider
    kubeconfig: pulumi.Input[str]
    github_providers: Mapping[str, github.Provider]
    depends_on: Sequence[pulumi.Resource]
    """Flux's controllers, which have to finalize what they reconcile, and the guard rails."""
    product: SharedProduct | None = None
    """The shared product that it runs; None for a source of its own."""
    users: TenantUsers | None = None
    """Tells the product how to verify its users' tokens; None for a stack without users."""
    role: TenantRole | None = None
    """AWS role of the product's pods."""


class TenantSpace(pulumi.ComponentResource):
    """Namespace with its limits, the reconciler with its rights, and the Kustomization with its source or product.

    All that isolates the tenant exists before anything of the product is applied. Removal runs in reverse: first the
    Kustomization, whose controller still has the rights to prune; then the GitRepository; then the namespace with
    everything left in it, its limits included.
    """

    namespace: KubernetesObject
    public_key: pulumi.Output[str] | None
    """Deploy key of a private source that its owner has to register by hand."""
    key: DeployKey | None = None
    """The deploy key of a private source of its own."""
    summary: dict[str, str]
    """Namespace, source or product, URL and state, for the stack's outputs. The next update looks into them whether a
    tenant that goes was leaving."""

    def __init__(self, name: str, args: TenantSpaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        with source_position_only():
            super().__init__("saas:tenant:TenantSpace", name, None, opts)
        tenant, settings = args.tenant, args.settings

        def child(
            manifest: Manifest,
            *,
            depends_on: Sequence[pulumi.Resource],
            logical_name: str = name,
            deleted_with: pulumi.Resource | None = None,
            retain: bool = False,
            protect: bool = False,
            formerly: str | None = None,
        ) -> KubernetesObject:
            opts = pulumi.ResourceOptions(
                parent=self,
                provider=args.provider,
                depends_on=list(depends_on),
                # An adopted namespace stays, so everything in it has to be deleted by itself.
                deleted_with=None if tenant.adopt else deleted_with,
                retain_on_delete=retain,
                protect=protect,
                aliases=[pulumi.Alias(name=formerly)] if formerly else None,
                ignore_changes=["metadata.name"] if formerly else None,
            )
            # Whatever a person has set in an adopted namespace may not be overwritten without a word.
            return KubernetesObject(logical_name, manifest, opts, force=not tenant.adopt)

        namespace = child(
            manifests.namespace(tenant, settings.cluster),
            depends_on=args.depends_on,
            retain=tenant.adopt,
            # Its volumes would go with it. `pulumi destroy --target` asks no program whether the tenant was leaving.
            protect=settings.protected and not tenant.leaving and not tenant.adopt,
        )

        self.namespace = namespace

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
        ready = [*isolation, *(args.role.ready if args.role else [])]
        if args.product:
            self.public_key = None
            self.summary = {"namespace": tenant.name, "product": args.product.name}
            kustomization = self._apply_product(tenant, args.product, child, ready)
        else:
            source = tenant.own_source
            kustomization, self.key = self._own_source(args, child, namespace, ready)
            self.public_key = self.key.public_key if self.key and by_hand(source) else None
            self.summary = {"namespace": tenant.name, "source": source.url, **source.reference}
        if tenant.url:
            self.summary["url"] = tenant.url
        if tenant.stopped:
            self.summary |= {"state": tenant.state, **({"until": tenant.leaving.until} if tenant.leaving else {})}
            end_pods(args.kubeconfig, tenant.name, after=[*isolation, kustomization])
        self.register_outputs({"namespace": tenant.name})

    def _own_source(
        self,
        args: TenantSpaceArgs,
        child: Callable[..., KubernetesObject],
        namespace: KubernetesObject,
        ready: Sequence[pulumi.Resource],
    ) -> tuple[KubernetesObject, DeployKey | None]:
        """Kustomization, GitRepository and deploy key of a tenant with its own source, in its namespace."""
        tenant, settings = args.tenant, args.settings
        source_location = location(tenant.own_source, args.mirrors, settings.github_known_hosts)
        key = source_key(
            tenant.name,
            SourceKeyArgs(
                source=tenant.own_source,
                holder=tenant,
                location=source_location,
                settings=settings,
                namespace=tenant.name,
                secret=tenant.name,
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
        return child(manifests.kustomization(tenant), depends_on=[source, *ready]), key

    @staticmethod
    def _apply_product(
        tenant: Tenant,
        product: SharedProduct,
        child: Callable[..., KubernetesObject],
        ready: Sequence[pulumi.Resource],
    ) -> KubernetesObject:
        """The reconciler's account and the Kustomization, in the namespace of a shared product."""
        # Another product is another resource: the old one has to go by itself, after the new one exists.
        logical_name = f"{tenant.name}/{product_namespace(product.name)}"
        source = products.revision(product.name, product.product, tenant).source
        account = child(
            products.service_account(tenant, product.name),
            depends_on=[product.namespace] if product.namespace else [],
            logical_name=logical_name,
        )
        return child(
            products.kustomization(tenant, product.name, product.product),
            depends_on=[*([product.sources[source]] if product.sources else []), account, *ready],
            logical_name=logical_name,
        )


def create_tenant_spaces(
    configuration: Configuration,
    platform: Platform,
    github_providers: Mapping[str, github.Provider],
    *,
    users: Mapping[str, TenantUsers],
    roles: Mapping[str, TenantRole],
    logs: Mapping[str, pulumi.Resource],
) -> Mapping[str, TenantSpace]:
    """The tenants' namespaces with everything in them, by the tenants' names."""
    return {
        tenant.name: TenantSpace(
            tenant.name,
            TenantSpaceArgs(
                tenant=tenant,
                settings=configuration.settings,
                mirrors=configuration.mirrors,
                provider=platform.cluster.provider,
                kubeconfig=platform.cluster.kubeconfig,
                github_providers=github_providers,
                product=platform.products[tenant.product] if tenant.product else None,
                users=users.get(tenant.name),
                role=roles.get(tenant.name),
                depends_on=[*platform.needs(tenant.shard), *([logs[tenant.name]] if tenant.name in logs else [])],
            ),
        )
        for tenant in configuration.tenants
    }
