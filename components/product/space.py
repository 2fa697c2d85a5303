"""A product that several tenants run: one clone and one deploy key, in a namespace of the platform's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes

from components.cluster import Cluster
from components.configuration import Configuration
from components.flux.deploy_key import DeployKey, SourceKeyArgs, source_key
from components.flux.installation import FluxInstallation
from components.objects import KubernetesObject
from model.config.keys import by_hand
from model.config.mirrors import Location, Mirror
from model.config.names import product_namespace
from model.config.products import Product
from model.config.sources import location
from model.config.stack import GITHUB_APP_KEY, Settings
from model.config.tenants import Tenant
from model.kubernetes import products
from model.kubernetes.manifests import GITHUB_APP, Manifest, github_app_secret


@dataclass(frozen=True)
class ProductSpaceArgs:
    """The product, and its part of the platform."""

    name: str
    """Its name in tenants.yaml."""
    product: Product
    tenants: Sequence[Tenant]
    """All tenants; some may be pinned to a version of the product."""
    settings: Settings
    mirrors: Sequence[Mirror]
    provider: kubernetes.Provider
    github_providers: Mapping[str, github.Provider]
    depends_on: Sequence[pulumi.Resource]
    """Flux's controllers, which have to finalize what they reconcile, and the guard rails."""


@dataclass(frozen=True)
class SharedProduct:
    """A product as its tenants need it, whichever stack has it."""

    name: str
    """Its name in tenants.yaml."""
    product: Product
    namespace: pulumi.Resource | None = None
    """For `depends_on`; None in the stack of a shard, which is updated after the platform's and destroyed before it."""
    sources: Mapping[str, pulumi.Resource] = field(default_factory=dict[str, pulumi.Resource])
    """Its GitRepositories by name, for `depends_on`; likewise none."""


class ProductSpace(pulumi.ComponentResource):
    """Namespace `product-NAME` with a source for each ring, and their deploy key. No tenant has rights in it."""

    name: str
    """The product's name in tenants.yaml."""
    product: Product
    namespace: KubernetesObject
    sources: Mapping[str, KubernetesObject]
    """Its GitRepositories by name, for `depends_on`: tenants are created after theirs and removed before it."""
    public_key: pulumi.Output[str] | None
    """Deploy key of a private source that its owner has to register by hand."""
    key: DeployKey | None
    """The deploy key of a private source; None if Flux reads it as a GitHub App."""
    summary: Mapping[str, Any]
    """Namespace, source and what its rings run, for the stack's outputs."""

    @property
    def shared(self) -> SharedProduct:
        """The product for its tenants in this stack."""
        return SharedProduct(self.name, self.product, self.namespace, self.sources)

    def __init__(self, name: str, args: ProductSpaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:product:ProductSpace", name, None, opts)
        self.name, self.product = args.name, args.product
        product = args.product
        source_location = location(product.source, args.mirrors, args.settings.github_known_hosts)

        def child(
            manifest: Manifest,
            *,
            depends_on: Sequence[pulumi.Resource],
            deleted_with: pulumi.Resource | None = None,
            logical_name: str = name,
        ) -> KubernetesObject:
            opts = pulumi.ResourceOptions(
                parent=self, provider=args.provider, depends_on=list(depends_on), deleted_with=deleted_with
            )
            return KubernetesObject(logical_name, manifest, opts)

        self.namespace = child(products.namespace(args.name, args.settings.cluster), depends_on=args.depends_on)
        isolation = [
            child(manifest, depends_on=[self.namespace], deleted_with=self.namespace)
            for manifest in products.isolation_objects(args.name)
        ]
        app = args.settings.github_app if product.source.app_url else None
        key = self.key = None if app else self._deploy_key(name, args, source_location)
        secret = key.ready if key else None
        if app:
            source_location = Location(product.source.app_url or "", known_hosts="")
            manifest = github_app_secret(
                app.id,
                app.installation,
                pulumi.Config().require_secret(GITHUB_APP_KEY),
                namespace=product_namespace(args.name),
                labels=products.product_labels(args.name),
            )
            secret = child(manifest, depends_on=[self.namespace], logical_name=f"{name}/{GITHUB_APP}")
        interval = product.polled_every(args.settings.webhooks)
        self.sources = {
            revision.source: child(
                products.git_repository(args.name, product, revision, source_location, interval, app=app is not None),
                # Directly, not by the namespace only: a ring may go while the namespace stays.
                depends_on=[self.namespace, *isolation, *([secret] if secret else []), *args.depends_on],
                logical_name=name + revision.source.removeprefix(args.name).replace("-", "/", 1),
            )
            for revision in products.revisions(args.name, product, args.tenants)
        }
        self.public_key = key.public_key if key and by_hand(product.source) else None
        self.summary = {
            "namespace": product_namespace(args.name),
            "source": product.source.url,
            **({} if product.rings else product.source.reference),
        }
        if product.rings:
            rings = {each.title: each.reference for each in products.revisions(args.name, product, ())}
            self.summary = {**self.summary, "rings": rings}
        self.register_outputs({"namespace": product_namespace(args.name)})

    def _deploy_key(self, name: str, args: ProductSpaceArgs, source_location: Location) -> DeployKey | None:
        return source_key(
            name,
            SourceKeyArgs(
                source=args.product.source,
                holder=args.product,
                location=source_location,
                settings=args.settings,
                namespace=product_namespace(args.name),
                secret=args.name,
                labels=products.product_labels(args.name),
                kubernetes_provider=args.provider,
                github_providers=args.github_providers,
                depends_on=[self.namespace],
            ),
            pulumi.ResourceOptions(parent=self),
        )


def create_products(
    configuration: Configuration,
    cluster: Cluster,
    flux: FluxInstallation,
    guardrails: pulumi.Resource,
    github_providers: Mapping[str, github.Provider],
) -> Mapping[str, ProductSpace]:
    """The products that several tenants run, by their names in tenants.yaml."""
    return {
        name: ProductSpace(
            f"product-{name}",
            ProductSpaceArgs(
                name=name,
                product=product,
                tenants=configuration.everyone.tenants,
                settings=configuration.settings,
                mirrors=configuration.mirrors,
                provider=cluster.provider,
                github_providers=github_providers,
                depends_on=[flux.shards[product.shard], guardrails],
            ),
        )
        for name, product in configuration.products.items()
    }
