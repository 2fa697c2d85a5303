"""A multi-tenant SaaS on Kubernetes with GitOps: the article, as a program."""

from pathlib import Path

import pulumi

import components

configuration = components.load(Path(__file__).parent)
settings, tenants = configuration.settings, configuration.tenants
components.log_warnings(tenants, settings.aws)

# GitHub is asked before anything is changed: for the private products' repositories, and whether they may have keys
github = components.github_providers(settings, configuration.tenant_list)
components.check_github(configuration, github)

# Network and cluster: EKS in a VPC, or an existing cluster
aws = components.create_aws_context(configuration)
components.check_addon_versions(configuration, aws)
network = components.create_network(configuration, aws)
logs = components.create_container_logs(settings, aws)
check = components.Preflight(configuration)
cluster = components.create_eks_cluster(settings, aws, network, check, logs) or components.ExistingCluster(
    settings.cluster,
    components.ExistingClusterArgs(cluster_name=settings.cluster, kubeconfig=settings.kubeconfig, check=check),
)
storage_classes = components.create_storage_classes(settings, aws, cluster)

# Alarms and backups
alarms = components.create_alarms(configuration, aws, logs)
backup = components.create_backup(settings, aws)

# Registry of the products' images, and their users
registry = components.create_registry(configuration, aws, cluster)
users = components.create_user_pool(settings, aws)

# Flux: installed in the cluster, it watches the cluster's folder of the infra repository
repository = components.InfraRepository(
    settings.repository, components.InfraRepositoryArgs(configuration=configuration, provider=github[settings.owner])
)
flux = components.FluxInstallation(
    "flux-system",
    components.FluxInstallationArgs(
        manifest=configuration.flux,
        provider=cluster.provider,
        depends_on=[*cluster.ready, *storage_classes, *(registry.ready if registry else ())],
    ),
)
components.FluxSync(
    "flux-system",
    components.FluxSyncArgs(
        configuration=configuration, installation=flux, repository=repository, provider=cluster.provider
    ),
)

# The way of webhooks to Flux
webhooks = components.create_webhooks(settings, aws, network, cluster, flux)

# Guard rails: roles and admission policies that isolate tenants, before the first of them
guardrails = components.Guardrails(
    "guardrails",
    components.GuardrailsArgs(provider=cluster.provider, flux_definitions=configuration.flux.definitions),
)

# Products that several tenants run: each is cloned once, in a namespace of the platform's own
products = {
    name: components.ProductSpace(
        f"product-{name}",
        components.ProductSpaceArgs(
            name=name,
            product=product,
            settings=settings,
            mirrors=configuration.mirrors,
            provider=cluster.provider,
            github_providers=github,
            depends_on=[flux.shards[product.shard], guardrails.ready],
        ),
    )
    for name, product in configuration.products.items()
}

# A push to a product calls Flux, which otherwise asks the repository at its interval
product_webhooks = components.create_product_webhooks(
    webhooks, products, settings.cluster, flux, cluster.provider, github
)

# Image automation: Flux commits new versions of a product's images to its repository, from one stack only
automations = {
    name: components.ImageAutomation(
        f"product-{name}",
        product.automation,
        components.ImageAutomationArgs(
            space=products[name],
            settings=settings,
            mirrors=configuration.mirrors,
            repository_urls=registry.repository_urls if registry else {},
            provider=cluster.provider,
            github_providers=github,
            controllers=flux.controllers,
        ),
    )
    for name, product in configuration.products.items()
    if product.automation and product.written_by(settings.cluster)
}

# Tenants: each a namespace to which Flux applies a shared product, or one from the tenant's own repository
tenant_users = components.create_tenant_users(users, tenants)
tenant_roles = components.create_tenant_roles(settings, aws, cluster, tenants)
tenant_logs = components.create_tenant_log_groups(logs, tenants)
spaces = {
    tenant.name: components.TenantSpace(
        tenant.name,
        components.TenantSpaceArgs(
            tenant=tenant,
            settings=settings,
            mirrors=configuration.mirrors,
            provider=cluster.provider,
            github_providers=github,
            product=products[tenant.product] if tenant.product else None,
            users=tenant_users.get(tenant.name),
            role=tenant_roles.get(tenant.name),
            depends_on=[flux.shards[tenant.shard], guardrails.ready, *([tenant_logs[tenant.name]] if logs else [])],
        ),
    )
    for tenant in tenants
}

# Notifications: who is notified when Flux cannot apply something
components.create_notifications(configuration, cluster, flux, products, spaces)

pulumi.export("cluster", {"name": cluster.cluster_name, "kubeconfig": cluster.kubeconfig, "uid": cluster.uid})
pulumi.export("kubernetesVersion", cluster.kubernetes_version)
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
if webhooks:
    jobs = {name: webhook.oidc_url for name, webhook in product_webhooks.items() if webhook.oidc_url}
    pulumi.export("webhooks", {"url": webhooks.url, "jobs": jobs})
if automations:
    pulumi.export("imageSigningKeys", {name: automation.signing_key for name, automation in automations.items()})
pulumi.export("fluxVersion", configuration.flux.version)
pulumi.export("infraRepository", repository.html_url)
pulumi.export("products", {name: space.summary for name, space in products.items()})
pulumi.export("tenants", {name: space.summary for name, space in spaces.items()})
by_hand = {f"product-{name}": space.public_key for name, space in products.items()}
by_hand |= {f"product-{name}, with write access": each.public_key for name, each in automations.items()}
by_hand |= {name: space.public_key for name, space in spaces.items()}
pulumi.export("deployKeysToRegister", {namespace: key for namespace, key in by_hand.items() if key})
