"""The stack's outputs: for other stacks, for CI jobs, and for people."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.aws.backup import Backup
from components.aws.context import AwsContext
from components.aws.monitoring import Alarms
from components.aws.network import VpcNetwork
from components.aws.registry import Registry
from components.aws.users import UserPool
from components.cluster import Cluster
from components.configuration import Configuration
from components.flux.deploy_key import deployed_keys
from components.flux.installation import FluxSync
from components.flux.repository import InfraRepository
from components.product.image_automation import ImageAutomation
from components.product.space import ProductSpace
from components.product.webhook import ProductWebhook
from components.tenant.space import TenantSpace
from components.webhooks import Webhooks


def export_platform(
    configuration: Configuration,
    cluster: Cluster,
    repository: InfraRepository,
    *,
    aws: AwsContext | None,
    network: VpcNetwork | None,
    registry: Registry | None,
    users: UserPool | None,
    alarms: Alarms | None,
    backup: Backup | None,
) -> None:
    """Outputs of the platform; parts that the settings leave out have none."""
    pulumi.export("cluster", {"name": cluster.cluster_name, "kubeconfig": cluster.kubeconfig, "uid": cluster.uid})
    pulumi.export("kubernetesVersion", cluster.kubernetes_version)
    pulumi.export("fluxVersion", configuration.flux.version)
    pulumi.export("infraRepository", repository.html_url)
    if aws:
        pulumi.export("aws", {"account": aws.account, "region": aws.region})
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


def export_products_and_tenants(
    products: Mapping[str, ProductSpace],
    automations: Mapping[str, ImageAutomation],
    spaces: Mapping[str, TenantSpace],
    webhooks: Webhooks | None,
    product_webhooks: Mapping[str, ProductWebhook],
) -> None:
    """Where products and tenants are, and how to reach them."""
    pulumi.export("products", {name: space.summary for name, space in products.items()})
    pulumi.export("tenants", {name: space.summary for name, space in spaces.items()})
    if webhooks:
        jobs = {name: webhook.oidc_url for name, webhook in product_webhooks.items() if webhook.oidc_url}
        pulumi.export("webhooks", {"url": webhooks.url, "jobs": jobs})
    if automations:
        pulumi.export("imageSigningKeys", {name: each.signing_key for name, each in automations.items()})


def export_keys(
    configuration: Configuration,
    sync: FluxSync,
    products: Mapping[str, ProductSpace],
    automations: Mapping[str, ImageAutomation],
    spaces: Mapping[str, TenantSpace],
) -> None:
    """The deploy keys, and those that owners of repositories have to register by hand."""
    keys = {"flux-system": sync.key, **{name: space.key for name, space in spaces.items()}}
    keys |= {f"product-{name}": space.key for name, space in products.items()}
    keys |= {f"product-{name}, with write access": each.key for name, each in automations.items()}
    pulumi.export("deployKeys", deployed_keys(keys, configuration.earlier.get("deployKeys", {})))
    by_hand = {f"product-{name}": space.public_key for name, space in products.items()}
    by_hand |= {f"product-{name}, with write access": each.public_key for name, each in automations.items()}
    by_hand |= {name: space.public_key for name, space in spaces.items()}
    pulumi.export("deployKeysToRegister", {namespace: key for namespace, key in by_hand.items() if key})
