"""Pulumi components: inputs -> resources -> outputs.

configuration   the stack's settings and tenants, validated before anything is registered
cluster         the Kubernetes provider; a cluster reached by its kubeconfig
preflight       asks the cluster, by kubectl, whether the update would take over or break what exists
aws/            context (provider, region, account, prefix, tags), network (VPC), eks with nodes, addons and storage,
                region and addon_versions (checks), registry (ECR), users (Cognito), monitoring (CloudWatch), backup,
                webhooks, roles, kms
flux/           repository (GitHub), github_checks, deploy_key, installation (Flux, its sync with the infra repository)
product/        space (a product that several tenants run: its namespace, source and deploy key), image_automation,
                webhook (Flux's receivers, and the hook on GitHub)
webhooks        the way of webhooks to Flux
notifications   Flux's alerts: chats, pagers, webhooks and statuses of commits
tenant/         guardrails (roles and admission policies), space (a namespace with everything in it), aws_role,
                pods and volumes (of tenants that are suspended or leave), warnings
platform        what tenants need of the platform: parts of the stack, or in that of a shard outputs of the platform's
outputs         the stack's outputs
stack_file      the stack's configuration, for a shard with that of its platform
objects         Kubernetes objects from plain manifests

`create_...` functions return None, or an empty mapping, for parts that the settings leave out.
"""

from components.aws.addon_versions import check_addon_versions
from components.aws.backup import create_backup
from components.aws.context import AwsContext, create_aws_context
from components.aws.eks import create_eks_cluster
from components.aws.monitoring import create_alarms, create_container_logs, create_tenant_log_groups
from components.aws.network import create_network
from components.aws.region import check_region
from components.aws.registry import create_registry
from components.aws.storage import create_storage_classes
from components.aws.users import create_tenant_users, create_user_pool
from components.cluster import Cluster, ExistingCluster, ExistingClusterArgs
from components.configuration import Configuration, load
from components.flux.github_checks import check_github
from components.flux.installation import FluxInstallation, FluxInstallationArgs, FluxSync, FluxSyncArgs
from components.flux.repository import InfraRepository, InfraRepositoryArgs, github_providers
from components.notifications import create_notifications, create_tenant_notifications
from components.outputs import export_platform, export_products, export_tenants, keys_by_hand, platform_keys
from components.platform import Platform, reference_platform
from components.preflight import Preflight
from components.product.image_automation import create_image_automations
from components.product.space import create_products
from components.product.webhook import create_product_webhooks
from components.tenant.aws_role import create_tenant_boundary, create_tenant_roles
from components.tenant.guardrails import Guardrails, GuardrailsArgs
from components.tenant.space import create_tenant_spaces
from components.tenant.warnings import log_warnings
from components.webhooks import create_webhooks

__all__ = [
    "AwsContext",
    "Cluster",
    "Configuration",
    "ExistingCluster",
    "ExistingClusterArgs",
    "FluxInstallation",
    "FluxInstallationArgs",
    "FluxSync",
    "FluxSyncArgs",
    "Guardrails",
    "GuardrailsArgs",
    "InfraRepository",
    "InfraRepositoryArgs",
    "Platform",
    "Preflight",
    "check_addon_versions",
    "check_github",
    "check_region",
    "create_alarms",
    "create_aws_context",
    "create_backup",
    "create_container_logs",
    "create_eks_cluster",
    "create_image_automations",
    "create_network",
    "create_notifications",
    "create_product_webhooks",
    "create_products",
    "create_registry",
    "create_storage_classes",
    "create_tenant_boundary",
    "create_tenant_log_groups",
    "create_tenant_notifications",
    "create_tenant_roles",
    "create_tenant_spaces",
    "create_tenant_users",
    "create_user_pool",
    "create_webhooks",
    "export_platform",
    "export_products",
    "export_tenants",
    "github_providers",
    "keys_by_hand",
    "load",
    "log_warnings",
    "platform_keys",
    "reference_platform",
]
