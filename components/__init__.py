"""What the stack is made of, one component a file.

configuration   the stack's settings and tenants, checked before anything is registered
cluster         the Kubernetes cluster and the provider that reaches it
cloud           everything on AWS, put together:
  aws             the provider: one region of one account, tags on everything
  network         a VPC with subnets, NAT, endpoints and flow logs; or one that exists
  eks, nodes      the EKS cluster and what it runs pods on; or one that exists
  registry        ECR repositories
  identity        Cognito: the SaaS' users, and each tenant's part of them
  tenant_role     what a tenant may do on AWS
  encryption      KMS keys
github          GitHub as the platform team and the product teams use it
repository      the infra repository and the files in it
deploy_key      a read-only key: in GitHub and, as Flux's source secret, in the cluster
flux            Flux: its installation, and the sync with the infra repository
guardrails      what keeps tenants apart: the reconcilers' roles and the admission policies
tenant          one tenant: namespace with its limits, reconciler, source and Kustomization
advice          warnings: what is no mistake, and should be known
objects         Kubernetes objects from plain manifests
"""

from components.aws.platform import Cloud, on_aws
from components.cluster import Cluster, ExistingCluster, ExistingClusterArgs
from components.configuration import Configuration, load
from components.flux.deploy_key import DeployKey, DeployKeyArgs
from components.flux.github import github_providers
from components.flux.installation import FluxInstallation, FluxInstallationArgs, FluxSync, FluxSyncArgs
from components.flux.repository import InfraRepository, InfraRepositoryArgs
from components.tenant.guardrails import Guardrails, GuardrailsArgs
from components.tenant.space import TenantSpace, TenantSpaceArgs
from components.tenant.warnings import advise

__all__ = [
    "Cloud",
    "Cluster",
    "Configuration",
    "DeployKey",
    "DeployKeyArgs",
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
    "TenantSpace",
    "TenantSpaceArgs",
    "advise",
    "github_providers",
    "load",
    "on_aws",
]
