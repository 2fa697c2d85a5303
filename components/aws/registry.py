"""ECR repositories of the products' images, which nodes and Flux's image scanner pull from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.aws.eks import AdoptedEksCluster, EksCluster
from components.aws.kms import EncryptionKey, EncryptionKeyArgs
from components.cluster import Cluster
from components.configuration import Configuration
from model.config.aws import RegistrySettings
from model.config.kept_images import MOST, kept_tags, too_many
from model.config.names import FLUX_NAMESPACE, IMAGE_SCANNER
from model.iam.documents import allow, document, pod_identity_trust

SOURCES = "source-controller"
"""Flux controller that pulls charts and artifacts, and the name of its service account."""
KEPT = "keep-*"
"""Images with such a tag never expire: for releases that run longer than the newest ones are kept."""
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
SCAN = ("ecr:BatchGetImage", "ecr:ListImages")
"""Tags and their digests: the image scanner reads no layers."""


@dataclass(frozen=True)
class RegistryArgs:
    """The repositories, and the roles that read them."""

    context: AwsContext
    settings: RegistrySettings
    cluster_name: str
    """Prefix of the repositories' names, which keeps clusters of one account apart."""
    cluster_arn: pulumi.Input[str]
    pull_roles: Sequence[pulumi.Input[str]]
    """ARNs of the nodes' roles. They have to exist: ECR refuses a policy that names a missing role."""
    image_scanner: bool
    """Whether Flux has its image-reflector-controller."""
    kept_tags: Sequence[str] = ()
    """Patterns for tags that never expire, such as those of pinned versions."""


class Registry(pulumi.ComponentResource):
    """ECR repositories with immutable tags, scanned on push, encrypted with a key of the stack's own."""

    repository_urls: Mapping[str, pulumi.Output[str]]
    """Image references without their tags, by the names in the settings."""
    ready: Sequence[pulumi.Resource]
    """Pod Identity of Flux's controllers: a pod that started before its association gets no credentials."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:registry:Registry", name, None, opts)
        self._name, self._args, self._context = name, args, args.context
        key = EncryptionKey(
            f"{name}-images",
            EncryptionKeyArgs(
                context=args.context,
                purpose="images",
                description=f"Images of the EKS cluster {args.cluster_name}",
            ),
            pulumi.ResourceOptions(parent=self),
        )
        repositories = {image: self._repository(image, key) for image in args.settings.repositories}
        sources, pods = self._controller(SOURCES, "sources", PULL, repositories)
        scanners = self._controller(IMAGE_SCANNER, "image-scanner", SCAN, repositories) if args.image_scanner else None
        self.ready = [pods, *([scanners[1]] if scanners else [])]
        for image, repository in repositories.items():
            self._policies(image, repository, sources, scanners[0] if scanners else None)
        self.repository_urls = {image: repository.repository_url for image, repository in repositories.items()}
        self.register_outputs({"repositoryUrls": self.repository_urls})

    def _repository(self, repository: str, key: EncryptionKey) -> aws.ecr.Repository:
        args, movable = self._args, self._args.settings.mutable_tags
        return aws.ecr.Repository(
            f"{self._name}-{repository}",
            name=f"{args.cluster_name}/{repository}",
            image_tag_mutability="IMMUTABLE_WITH_EXCLUSION" if movable else "IMMUTABLE",
            image_tag_mutability_exclusion_filters=[{"filter": tag, "filter_type": "WILDCARD"} for tag in movable]
            or None,
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": key.arn}],
            force_delete=not self._context.protected,
            opts=self._context.child(self, protect=self._context.protected),
        )

    def _policies(
        self, name: str, repository: aws.ecr.Repository, sources: aws.iam.Role, scanner: aws.iam.Role | None
    ) -> None:
        args = self._args
        aws.ecr.LifecyclePolicy(
            f"{self._name}-{name}",
            repository=repository.name,
            policy=lifecycle_policy(args.settings, args.kept_tags),
            # A repository has one: deleting the old one after putting the new one would leave none.
            opts=pulumi.ResourceOptions.merge(
                self._context.child(self), pulumi.ResourceOptions(delete_before_replace=True)
            ),
        )
        aws.ecr.RepositoryPolicy(
            f"{self._name}-{name}",
            repository=repository.name,
            policy=pulumi.Output.all(
                nodes=list(args.pull_roles), sources=[sources.arn], scan=[scanner.arn] if scanner else []
            ).apply(lambda roles: _readers(roles["nodes"], roles["sources"], roles["scan"])),
            opts=self._context.child(self),
        )

    def _controller(
        self, account: str, role_name: str, actions: Sequence[str], repositories: Mapping[str, aws.ecr.Repository]
    ) -> tuple[aws.iam.Role, pulumi.Resource]:
        """A Flux controller's role, and the association by which its pods get it.

        Tenants cannot use it: admission refuses their sources a cloud's `provider`.
        """
        args, context, own = self._args, self._context, f"{self._name}-{role_name}"
        role = aws.iam.Role(
            own,
            name=f"{context.prefix}-{role_name}",
            assume_role_policy=pulumi.Output.from_input(args.cluster_arn).apply(
                lambda arn: pod_identity_trust(context.account, arn, FLUX_NAMESPACE, account)
            ),
            permissions_boundary=context.boundary,
            opts=self._context.child(self),
        )
        policy = aws.iam.RolePolicy(
            own,
            name="scan" if account == IMAGE_SCANNER else "pull",
            role=role.name,
            policy=pulumi.Output.all(*(repository.arn for repository in repositories.values())).apply(
                lambda arns: _reading(actions, arns)
            ),
            opts=self._context.child(self),
        )
        association = aws.eks.PodIdentityAssociation(
            own,
            # From the ARN rather than the settings, so that it waits for the cluster.
            cluster_name=pulumi.Output.from_input(args.cluster_arn).apply(lambda arn: arn.rpartition("/")[2]),
            namespace=FLUX_NAMESPACE,
            service_account=account,
            role_arn=role.arn,
            opts=self._context.child(self, depends_on=[policy]),
        )
        return role, association


def lifecycle_policy(settings: RegistrySettings, kept_tags: Sequence[str] = ()) -> str:
    """Images that ECR deletes by itself. An image that matches one rule is not considered by later ones.

    Of several patterns in a rule, an image would have to match all: each has a rule of its own.
    """
    kept = [("What somebody marked as running stays", KEPT)]
    kept += [("A version that tenants.yaml names stays", tag) for tag in kept_tags]
    selections: list[tuple[str, Mapping[str, object]]] = [
        (
            description,
            {"tagStatus": "tagged", "tagPatternList": [tag], "countType": "imageCountMoreThan", "countNumber": 9999},
        )
        for description, tag in kept
    ]
    selections += [
        (
            "Untagged images, which nothing refers to by name",
            {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": settings.untagged_days,
            },
        ),
        (
            "All but the newest releases",
            {
                "tagStatus": "tagged",
                "tagPatternList": ["*"],
                "countType": "imageCountMoreThan",
                "countNumber": settings.keep_releases,
            },
        ),
    ]
    rules = [_expire(number, *selection) for number, selection in enumerate(selections, 1)]
    return json.dumps({"rules": rules})


def _expire(priority: int, description: str, selection: Mapping[str, object]) -> Mapping[str, object]:
    return {
        "rulePriority": priority,
        "description": description,
        "selection": selection,
        "action": {"type": "expire"},
    }


def _readers(nodes: Sequence[str], sources: Sequence[str], scan: Sequence[str]) -> str:
    """Resource policy of a repository; it names no resource, since ECR attaches it to the repository."""
    statements = [
        {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": list(roles)}, "Action": list(actions)}
        for sid, roles, actions in (
            ("NodesPull", nodes, PULL),
            ("FluxPulls", sources, PULL),
            ("FluxScans", scan, SCAN),
        )
        if roles
    ]
    return document(*statements)


def _reading(actions: Sequence[str], repositories: Sequence[str]) -> str:
    # The token is the registry's, not a repository's: AWS has no narrower resource for it.
    token = allow(["ecr:GetAuthorizationToken"], ["*"])
    return document(token, *([allow(actions, repositories)] if repositories else []))


def create_registry(configuration: Configuration, context: AwsContext | None, cluster: Cluster) -> Registry | None:
    """The stack's registry; None where the settings ask for none."""
    settings = configuration.settings
    if not (settings.aws and settings.aws.registry and context and isinstance(cluster, EksCluster | AdoptedEksCluster)):
        return None
    tags = kept_tags(configuration.everyone)
    if warning := too_many(tags):
        pulumi.log.warn(warning)
    return Registry(
        settings.cluster,
        RegistryArgs(
            context=context,
            settings=settings.aws.registry,
            cluster_name=settings.cluster,
            cluster_arn=cluster.arn,
            pull_roles=[cluster.node_role_arn] if isinstance(cluster, EksCluster) else [],
            image_scanner=IMAGE_SCANNER in configuration.flux_components,
            kept_tags=tags[:MOST],
        ),
    )
