"""The way of webhooks to Flux, as the stack's configuration chooses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.aws.context import AwsContext
from components.aws.eks import EksCluster
from components.aws.network import VpcNetwork
from components.aws.webhooks import WebhookGateway, WebhookGatewayArgs
from components.cluster import Cluster
from components.flux.installation import FluxInstallation
from components.objects import KubernetesObject
from model.config.stack import Settings
from model.kubernetes.receivers import receiver_ingress


@dataclass(frozen=True)
class Webhooks:
    """Where GitHub sends webhooks to."""

    url: pulumi.Input[str]
    """https://HOST, without a path."""
    ready: Sequence[pulumi.Resource] = ()
    """The way to Flux's receiver, for `depends_on`."""


def create_webhooks(
    settings: Settings, context: AwsContext | None, network: VpcNetwork | None, cluster: Cluster, flux: FluxInstallation
) -> Webhooks | None:
    """The way in for webhooks; None for a stack whose products Flux polls."""
    webhooks = settings.webhooks
    if webhooks is None:
        return None
    if webhooks.by == "apiGateway":
        assert settings.aws
        assert context
        assert network
        assert isinstance(cluster, EksCluster)
        gateway = WebhookGateway(
            "webhooks",
            WebhookGatewayArgs(
                context=context,
                settings=settings.aws.network,
                cluster_name=settings.cluster,
                vpc_id=network.vpc_id,
                pods_security_group_id=cluster.pods_security_group_id,
                provider=cluster.provider,
                depends_on=[flux.ready],
            ),
        )
        return Webhooks(gateway.url, gateway.ready)
    assert webhooks.host
    url = f"https://{webhooks.host}"
    if webhooks.by == "none":
        return Webhooks(url, [flux.ready])
    ingress = KubernetesObject(
        "webhook-receiver",
        receiver_ingress(webhooks.host, webhooks.ingress_class),
        pulumi.ResourceOptions(provider=cluster.provider, depends_on=[flux.ready]),
    )
    return Webhooks(url, [ingress])
