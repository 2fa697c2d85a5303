"""A multi-tenant SaaS on Kubernetes with GitOps: the article, as a program."""

from pathlib import Path

import components

configuration = components.load(Path(__file__).parent)
settings = configuration.settings
components.log_warnings(configuration)

# GitHub is asked before anything is changed: for the private products' repositories, and whether they may have keys
github = components.github_providers(settings, configuration.tenant_list)
components.check_github(configuration, github)


def create_platform() -> components.Platform:
    """All that tenants share."""
    # Network and cluster: EKS in a VPC, or an existing cluster
    aws = components.create_aws_context(configuration)
    components.check_region(configuration, aws)
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
        settings.repository,
        components.InfraRepositoryArgs(configuration=configuration, provider=github[settings.owner]),
    )
    flux = components.FluxInstallation(
        "flux-system",
        components.FluxInstallationArgs(
            manifest=configuration.flux,
            provider=cluster.provider,
            key_generation=settings.key_generation,
            depends_on=[*cluster.ready, *storage_classes, *(registry.ready if registry else ())],
            protected=settings.shard is not None,
        ),
    )
    sync = components.FluxSync(
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
    products = components.create_products(configuration, cluster, flux, guardrails.ready, github)

    # A push to a product calls Flux, which otherwise asks the repository at its interval
    product_webhooks = components.create_product_webhooks(webhooks, products, settings, flux, cluster.provider, github)

    # Image automation: Flux commits new versions of a product's images to its repository, from one stack only
    automations = components.create_image_automations(configuration, cluster, flux, products, registry, github)

    # Notifications: who is notified when Flux cannot apply something
    components.create_notifications(configuration, cluster, flux, products)

    platform = components.Platform(
        cluster=cluster,
        aws=aws,
        products={name: space.shared for name, space in products.items()},
        users=users.shared if users else None,
        logs=logs,
        tenant_boundary=components.create_tenant_boundary(configuration, aws),
        guardrails=guardrails.ready,
        flux_shards=flux.shards,
        keys=components.platform_keys(sync, products, automations),
        keys_by_hand=components.keys_by_hand(products, automations),
    )
    components.export_platform(
        configuration,
        platform,
        repository,
        network=network,
        registry=registry,
        users=users,
        alarms=alarms,
        backup=backup,
    )
    components.export_products(products, automations, webhooks, product_webhooks)
    return platform


# The stack of a shard has some of the tenants, and the platform is another stack's
platform = components.reference_platform(configuration) or create_platform()

# Tenants: each a namespace to which Flux applies a shared product, or one from the tenant's own repository
users = components.create_tenant_users(platform.users, configuration.tenants)
roles = components.create_tenant_roles(configuration, platform.aws, platform.cluster, platform.tenant_boundary)
logs = components.create_tenant_log_groups(platform.logs, configuration.tenants)
spaces = components.create_tenant_spaces(configuration, platform, github, users=users, roles=roles, logs=logs)

# Notifications: who is notified when Flux cannot apply something of a tenant
components.create_tenant_notifications(configuration, platform.cluster, platform.products, spaces)

components.export_tenants(configuration, platform, spaces, users)
