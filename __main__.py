"""A multi-tenant SaaS on Kubernetes with GitOps: the article, as a program."""

from pathlib import Path

import pulumi

import components
from model.config.mirrors import Location, locate
from model.config.network_rules import cluster_network
from model.config.tenants import location

configuration = components.load(Path(__file__).parent)
settings, tenants, mirrors = configuration.settings, configuration.tenants, configuration.mirrors

# The cluster: on AWS with all that it stands on, or one that somebody else runs
cloud = components.on_aws(settings, settings.aws, tenants) if settings.aws else None
cluster = (
    cloud.cluster
    if cloud
    else components.ExistingCluster(
        settings.cluster,
        components.ExistingClusterArgs(cluster_name=settings.cluster, kubeconfig=settings.kubeconfig),
    )
)

# The teams' repositories on GitHub
github = components.github_providers(settings.owner, tenants)
repository = components.InfraRepository(
    settings.repository,
    components.InfraRepositoryArgs(
        owner=settings.owner,
        name=settings.repository,
        branch=settings.branch,
        provider=github[settings.owner],
    ),
)

# Bootstrapping: Flux is installed and watches the cluster's folder of the infra repository
flux = components.FluxInstallation(
    "flux-system",
    components.FluxInstallationArgs(
        install=configuration.flux,
        provider=cluster.provider,
        needs=[*cluster.capacity, *(cloud.ready if cloud else ())],
    ),
)
infra = locate(f"ssh://git@github.com/{settings.owner}/{settings.repository}", mirrors)
components.FluxSync(
    "flux-system",
    components.FluxSyncArgs(
        cluster=settings.cluster,
        branch=settings.branch,
        location=Location(infra.url, infra.known_hosts or settings.github_known_hosts),
        install=configuration.flux,
        installation=flux,
        repository=repository,
        github_provider=github[settings.owner],
        provider=cluster.provider,
    ),
)

# What keeps tenants apart, before the first of them
components.advise(tenants, settings.aws)
guardrails = components.Guardrails("guardrails", components.GuardrailsArgs(provider=cluster.provider))

# Tenants: each a namespace to which Flux applies the product from its own repository
spaces = {
    tenant.name: components.TenantSpace(
        tenant.name,
        components.TenantSpaceArgs(
            tenant=tenant,
            location=location(tenant, mirrors, settings.github_known_hosts),
            cluster=settings.cluster,
            provider=cluster.provider,
            github_providers=github,
            reconciled_by=flux.controllers,
            guarded_by=guardrails.objects,
            network=cluster_network(settings.aws, settings.network),
            identity=cloud.tenants[tenant.name].config_map_data if cloud and cloud.identity else None,
            needs=cloud.roles[tenant.name].ready if cloud and tenant.name in cloud.roles else (),
        ),
    )
    for tenant in tenants
}

kubeconfig = cloud.cluster.kubeconfig if cloud else settings.kubeconfig
pulumi.export("cluster", {"name": cluster.cluster_name, "kubeconfig": kubeconfig})
if cloud and cloud.network:
    pulumi.export("egressAddresses", cloud.network.egress_addresses)
if cloud and cloud.registry:
    pulumi.export("imageRepositories", cloud.registry.repository_urls)
if cloud and cloud.identity:
    pulumi.export("identity", {"issuer": cloud.identity.issuer, "jwksUrl": cloud.identity.jwks_url})
pulumi.export("kubernetesVersion", cluster.kubernetes_version)
pulumi.export("fluxVersion", configuration.flux.version)
pulumi.export("infraRepository", repository.html_url)
pulumi.export(
    "tenants",
    {
        tenant.name: {"namespace": tenant.name, "source": tenant.source.url, **tenant.source.reference}
        for tenant in tenants
    },
)
pulumi.export(
    "deployKeysToRegister",
    {name: space.public_key for name, space in spaces.items() if space.public_key is not None},
)
