"""One tenant of the SaaS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes

from components.flux.deploy_key import DeployKey, DeployKeyArgs
from components.objects import KubernetesObject
from model.config.identity import config_map
from model.config.mirrors import Location
from model.config.names import tenant_key_title
from model.config.network_rules import ClusterNetwork
from model.config.tenants import Tenant
from model.kubernetes import manifests
from model.kubernetes.confinement import confinement


@dataclass(frozen=True)
class TenantSpaceArgs:
    """What the tenant is, and what it lives on."""

    tenant: Tenant
    location: Location
    """Where Flux reads the product from."""
    cluster: str
    provider: kubernetes.Provider
    github_providers: Mapping[str, github.Provider]
    reconciled_by: Sequence[pulumi.Resource]
    """Flux's controllers: they have to outlive what they finalize."""
    guarded_by: Sequence[pulumi.Resource] = ()
    """The reconcilers' roles and the admission policies: there before the tenant, and until it has gone."""
    network: ClusterNetwork = field(default_factory=ClusterNetwork)
    """The cluster's own addresses, which tenants' network rules are about."""
    identity: Mapping[str, pulumi.Input[str]] | None = None
    """What the product has to know about its users' tokens; None where the stack has no users."""
    needs: Sequence[pulumi.Resource] = ()
    """What the product's pods need before they start: those that are older than their role go without it."""


class TenantSpace(pulumi.ComponentResource):
    """A namespace with its limits, who reconciles it with which rights, the product's repository, and what applies it.

    Nothing of the product is applied before all that confines it is there. Removal runs backwards, one step after the
    other: the Kustomization, whose controller still has the rights to prune; the GitRepository; then the namespace with
    everything left in it, its limits included.
    """

    public_key: pulumi.Output[str] | None
    """A private source's deploy key, where its owner has to register it by hand."""

    def __init__(self, name: str, args: TenantSpaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:tenant:TenantSpace", name, None, opts)
        tenant = args.tenant

        def place(
            manifest: manifests.Manifest,
            *needed: pulumi.Resource,
            within: pulumi.Resource | None = None,
            logical_name: str = name,
        ) -> KubernetesObject:
            opts = pulumi.ResourceOptions(parent=self, provider=args.provider, depends_on=needed, deleted_with=within)
            return KubernetesObject(logical_name, manifest, opts)

        namespace = place(manifests.namespace(tenant), *args.guarded_by)

        # A slash is in no tenant's name: with a hyphen, shop's egress-cache could be shop-egress's cache.
        confined = [
            place(manifest, namespace, within=namespace, logical_name=f"{name}/{part}" if part else name)
            for part, manifest in confinement(tenant, args.network)
        ]
        if args.identity is not None:
            told = manifests.owned(config_map(tenant, args.identity), tenant)
            confined.append(place(told, namespace, within=namespace))
        key = self._deploy_key(name, args, namespace)
        source = place(
            manifests.git_repository(tenant, args.location),
            namespace,
            *args.reconciled_by,
            *(key.ready if key else ()),
        )
        place(manifests.kustomization(tenant), source, *confined, *args.needs)
        by_hand = key is not None and tenant.source.github_repository is None
        self.public_key = key.public_key if key and by_hand else None
        self.register_outputs({"namespace": tenant.name})

    def _deploy_key(self, name: str, args: TenantSpaceArgs, namespace: KubernetesObject) -> DeployKey | None:
        source = args.tenant.source
        if not source.private:
            return None
        owner, repository = source.github_repository or (None, None)
        return DeployKey(
            name,
            DeployKeyArgs(
                title=tenant_key_title(args.cluster, args.tenant.name),
                secret=args.tenant.name,
                namespace=args.tenant.name,
                known_hosts=args.location.known_hosts,
                kubernetes_provider=args.provider,
                repository=repository,
                github_provider=args.github_providers[owner] if owner else None,
                labels=manifests.tenant_labels(args.tenant),
                depends_on=[namespace],
            ),
            pulumi.ResourceOptions(parent=self),
        )
