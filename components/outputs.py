"""The stack's outputs: for other stacks, for CI jobs, and for people."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.aws.backup import Backup
from components.aws.monitoring import Alarms
from components.aws.network import VpcNetwork
from components.aws.registry import Registry
from components.aws.users import TenantUsers, UserPool
from components.configuration import Configuration
from components.flux.deploy_key import DeployKey, deployed_keys
from components.flux.installation import FluxSync
from components.flux.repository import InfraRepository
from components.platform import Platform, values_for_shards
from components.product.image_automation import ImageAutomation
from components.product.space import ProductSpace
from components.product.webhook import ProductWebhook
from components.tenant.space import TenantSpace
from components.webhooks import Webhooks
from model.kubernetes.shards import in_use


def export_platform(
    configuration: Configuration,
    platform: Platform,
    repository: InfraRepository,
    *,
    network: VpcNetwork | None,
    registry: Registry | None,
    users: UserPool | None,
    alarms: Alarms | None,
    backup: Backup | None,
) -> None:
    """Outputs of the platform; parts that the settings leave out have none."""
    pulumi.export("fluxVersion", configuration.flux.version)
    pulumi.export("infraRepository", repository.html_url)
    if network:
        pulumi.export("egressAddresses", network.egress_addresses)
    if registry:
        pulumi.export("imageRepositories", registry.repository_urls)
    if users:
        pulumi.export("identity", {"issuer": users.issuer, "jwksUrl": users.jwks_url})
    if alarms:
        pulumi.export("alarmTopic", alarms.topic_arn)
    if backup:
        pulumi.export("backupVault", backup.vault_name)
        pulumi.export("backups", backup.summary)
    if configuration.settings.shard:
        pulumi.export("shards", configuration.settings.shard.count)
        pulumi.export("forShards", values_for_shards(platform))


def export_products(
    products: Mapping[str, ProductSpace],
    automations: Mapping[str, ImageAutomation],
    webhooks: Webhooks | None,
    product_webhooks: Mapping[str, ProductWebhook],
) -> None:
    """Where products are, what calls Flux, and who signs commits."""
    pulumi.export("products", {name: space.summary for name, space in products.items()})
    if webhooks:
        jobs = {name: webhook.oidc_url for name, webhook in product_webhooks.items() if webhook.oidc_url}
        pulumi.export("webhooks", {"url": webhooks.url, "jobs": jobs})
    if automations:
        pulumi.export("imageSigningKeys", {name: each.signing_key for name, each in automations.items()})


def export_tenants(
    configuration: Configuration,
    platform: Platform,
    spaces: Mapping[str, TenantSpace],
    users: Mapping[str, TenantUsers],
) -> None:
    """Where tenants are, what owners have to register by hand, and what every stack needs of its last update."""
    cluster, aws, shard = platform.cluster, platform.aws, configuration.settings.shard
    pulumi.export("cluster", {"name": cluster.cluster_name, "kubeconfig": cluster.kubeconfig, "uid": cluster.uid})
    pulumi.export("kubernetesVersion", cluster.kubernetes_version)
    if aws:
        pulumi.export("aws", {"account": aws.account, "region": aws.region})
    if shard and shard.index:
        pulumi.export("shard", shard.index)
        pulumi.export("fluxShards", in_use(configuration.tenants))
    pulumi.export("tenants", {name: space.summary for name, space in spaces.items()})
    if pools := {name: each.own_issuer for name, each in users.items() if each.own_issuer}:
        pulumi.export("identityPools", pools)
    keys = {**platform.keys, **{name: space.key for name, space in spaces.items()}}
    pulumi.export("deployKeys", deployed_keys(keys, configuration.earlier.get("deployKeys", {})))
    by_hand = {**platform.keys_by_hand, **{name: space.public_key for name, space in spaces.items()}}
    pulumi.export("deployKeysToRegister", {namespace: key for namespace, key in by_hand.items() if key})


def platform_keys(
    sync: FluxSync, products: Mapping[str, ProductSpace], automations: Mapping[str, ImageAutomation]
) -> Mapping[str, DeployKey | None]:
    """The deploy keys of the infra repository and of products, by what reads or writes with them."""
    keys = {"flux-system": sync.key, **{f"product-{name}": space.key for name, space in products.items()}}
    return keys | {f"product-{name}, with write access": each.key for name, each in automations.items()}


def keys_by_hand(
    products: Mapping[str, ProductSpace], automations: Mapping[str, ImageAutomation]
) -> Mapping[str, pulumi.Output[str] | None]:
    """Public keys of products whose owners have to register them by hand."""
    keys = {f"product-{name}": space.public_key for name, space in products.items()}
    return keys | {f"product-{name}, with write access": each.public_key for name, each in automations.items()}
