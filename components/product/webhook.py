"""Webhooks of a product: what makes Flux fetch it at once, instead of at its next interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

from components.flux.installation import FluxInstallation
from components.objects import KubernetesObject
from components.product.space import ProductSpace
from components.webhooks import Webhooks
from model.config.keys import generation, numbered
from model.config.names import secret_name
from model.config.stack import Settings
from model.config.webhooks import OidcWebhook
from model.kubernetes import receivers
from model.kubernetes.flux import NOTIFIER
from model.kubernetes.products import fetched_revisions


@dataclass(frozen=True)
class ProductWebhookArgs:
    """The product, and the way of webhooks to Flux."""

    space: ProductSpace
    scanned: Sequence[str]
    """Its images that Flux scans in this stack."""
    webhooks: Webhooks
    notifier: pulumi.Resource
    """notification-controller, which has to finalize the Receivers, also if it goes in the same update."""
    settings: Settings
    provider: kubernetes.Provider
    github_providers: Mapping[str, github.Provider]


class ProductWebhook(pulumi.ComponentResource):
    """Receivers of a product: for GitHub's pushes, with the webhook on GitHub, and for a CI job."""

    oidc_url: pulumi.Output[str] | None = None
    """What a CI job calls."""

    def __init__(self, name: str, args: ProductWebhookArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:product:ProductWebhook", name, None, opts)
        self._name, self._args = name, args
        product, oidc = args.space.product, args.space.product.oidc
        if product.wants_github_hook and product.source.github_repository:
            self._github(*product.source.github_repository)
        if oidc:
            self._oidc(oidc)
        self.register_outputs({})

    def _github(self, owner: str, repository: str) -> None:
        args, product = self._args, self._args.space.name
        number = generation(args.settings.key_generation, args.space.product)
        name = numbered(f"{self._name}-webhook", number)
        key = tls.PrivateKey(name, algorithm="ED25519", opts=pulumi.ResourceOptions(parent=self))
        token = pulumi.Output.secret(key.private_key_pem).apply(lambda pem: secret_name("webhook", pem))
        # Another token gives both objects another name: they are replaced, the new ones first. The hook then changes
        # its address and signature in one step, and the old Receiver answers until that has succeeded.
        secret = self._child("webhook", receivers.token_secret(product, token, number), args.space.namespace)
        fetched = self._fetched()
        manifest = receivers.receiver(product, fetched, number)
        receiver = self._child("webhook", manifest, secret, *fetched.values(), args.notifier)
        path = token.apply(lambda token: receivers.hook_path(product, token, number))
        github.RepositoryWebhook(
            # The owner is in the provider only: another one is another hook.
            f"{self._name}/{owner}",
            repository=repository,
            active=True,
            events=["push"],
            configuration={
                "url": pulumi.Output.concat(args.webhooks.url, path),
                "content_type": "json",
                "insecure_ssl": False,
                "secret": token,
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=args.github_providers[owner],
                # So that GitHub never calls a Receiver that does not exist, neither at first nor at last.
                depends_on=[receiver, *args.webhooks.ready],
            ),
        )

    def _oidc(self, webhook: OidcWebhook) -> None:
        args, product, fetched = self._args, self._args.space.name, self._fetched()
        receiver = receivers.oidc_receiver(product, webhook, fetched, args.scanned)
        self._child("oidc", receiver, *fetched.values(), args.notifier)
        self.oidc_url = pulumi.Output.concat(args.webhooks.url, receivers.oidc_hook_path(product))

    def _fetched(self) -> Mapping[str, KubernetesObject]:
        """The sources that a push can change."""
        space = self._args.space
        return {each.source: space.sources[each.source] for each in fetched_revisions(space.name, space.product)}

    def _child(self, purpose: str, manifest: receivers.Manifest, *needs: pulumi.Resource) -> KubernetesObject:
        opts = pulumi.ResourceOptions(parent=self, provider=self._args.provider, depends_on=list(needs))
        return KubernetesObject(f"{self._name}-{purpose}", manifest, opts)


def create_product_webhooks(
    webhooks: Webhooks | None,
    products: Mapping[str, ProductSpace],
    settings: Settings,
    flux: FluxInstallation,
    provider: kubernetes.Provider,
    github_providers: Mapping[str, github.Provider],
) -> Mapping[str, ProductWebhook]:
    """The webhooks of the products that have any; none in a stack without a way in."""
    return {
        name: ProductWebhook(
            f"product-{name}",
            ProductWebhookArgs(
                space=space,
                scanned=list(space.product.images) if space.product.written_by(settings.cluster) else [],
                webhooks=webhooks,
                notifier=flux.controllers[NOTIFIER],
                settings=settings,
                provider=provider,
                github_providers=github_providers,
            ),
        )
        for name, space in products.items()
        if webhooks and (space.product.wants_github_hook or space.product.oidc)
    }
