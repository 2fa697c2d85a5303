"""Notifications: who is notified when Flux cannot apply something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster import Cluster
from components.configuration import Configuration
from components.flux.installation import FluxInstallation
from components.objects import KubernetesObject
from components.product.space import ProductSpace, SharedProduct
from components.tenant.space import TenantSpace
from model.config.mirrors import Mirror
from model.config.notifications import Notification, secret_data
from model.kubernetes.notifications import Subject, objects, platform_subject, product_subject, tenant_subject


@dataclass(frozen=True)
class NotificationsArgs:
    """Recipients, and what they are notified about."""

    entries: Sequence[Notification]
    subject: Subject
    mirrors: Sequence[Mirror]
    provider: kubernetes.Provider
    depends_on: Sequence[pulumi.Resource]
    """Flux's controllers, or the namespace."""
    namespace: pulumi.Resource | None = None
    """Deleted with everything in it; None for one that stays."""
    adopted: bool = False
    """Whether the namespace existed before."""


class Notifications(pulumi.ComponentResource):
    """Flux's Provider, Alert and Secret of each notification about one subject."""

    def __init__(self, name: str, args: NotificationsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:notifications:Notifications", name, None, opts)
        for entry in args.entries:
            value = pulumi.Config().require_secret(entry.secret)
            data = value.apply(lambda text, entry=entry: secret_data(entry, text, args.mirrors))
            before: list[pulumi.Resource] = [*args.depends_on]
            for manifest in objects(entry, args.subject, data=data, value=value, mirrors=args.mirrors):
                opts = pulumi.ResourceOptions(
                    parent=self, provider=args.provider, depends_on=list(before), deleted_with=args.namespace
                )
                before.append(KubernetesObject(f"{name}/{entry.name}", manifest, opts, force=not args.adopted))
        self.register_outputs({})


def create_notifications(
    configuration: Configuration,
    cluster: Cluster,
    installation: FluxInstallation,
    products: Mapping[str, ProductSpace],
) -> None:
    """Notifications of the platform team and of products' teams, as far as the settings name any."""
    settings = configuration.settings
    subject = platform_subject(settings.cluster, (settings.owner, settings.repository))
    _create(configuration, cluster, subject.namespace, settings.notifications, subject, [installation.ready])
    for name, product in configuration.products.items():
        subject, namespace = product_subject(name, product, settings.cluster), products[name].namespace
        _create(configuration, cluster, subject.namespace, product.notify, subject, [namespace], namespace)


def create_tenant_notifications(
    configuration: Configuration,
    cluster: Cluster,
    products: Mapping[str, SharedProduct],
    spaces: Mapping[str, TenantSpace],
) -> None:
    """Notifications of tenants, as far as their entries name any."""
    for tenant in configuration.tenants:
        subject = tenant_subject(tenant, configuration.settings.cluster)
        namespace = (products[tenant.product] if tenant.product else spaces[tenant.name]).namespace
        depends_on = [namespace] if namespace else []
        if tenant.adopt and not tenant.product:
            _create(configuration, cluster, tenant.name, tenant.notify, subject, depends_on, adopted=True)
        else:
            _create(configuration, cluster, tenant.name, tenant.notify, subject, depends_on, namespace)


def _create(
    configuration: Configuration,
    cluster: Cluster,
    name: str,
    entries: Sequence[Notification],
    subject: Subject,
    depends_on: Sequence[pulumi.Resource],
    namespace: pulumi.Resource | None = None,
    *,
    adopted: bool = False,
) -> None:
    if entries:
        args = NotificationsArgs(
            entries, subject, configuration.mirrors, cluster.provider, depends_on, namespace, adopted
        )
        Notifications(name, args)
