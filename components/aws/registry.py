"""Where the products' images are: ECR repositories that nodes and Flux's image scanner pull from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.kms import EncryptionKey, EncryptionKeyArgs
from model.config.aws import RegistrySettings
from model.config.names import FLUX_NAMESPACE
from model.iam.documents import allow, document, pod_identity_trust

IMAGE_SCANNER = "image-reflector-controller"
"""The controller of Flux that looks for new tags, and its service account."""
KEPT = "keep-*"
"""Images with such a tag never expire: for what runs longer than the newest releases are kept."""
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
SCAN = ("ecr:BatchGetImage", "ecr:ListImages")
"""Tags and their digests, which is all that the image scanner reads; no layers."""


@dataclass(frozen=True)
class RegistryArgs:
    """The repositories, and who reads them."""

    settings: RegistrySettings
    cluster_name: str
    """The repositories' names begin with it, so that clusters of one account keep apart."""
    cluster_arn: pulumi.Input[str]
    prefix: str
    """What the names of its other AWS resources begin with."""
    account: str
    pull_roles: Sequence[pulumi.Input[str]]
    """ARNs of the roles that pull: the nodes'. They have to exist, or ECR refuses the policy that names them."""
    image_scanner: bool
    """Whether Flux has its image-reflector-controller."""
    protected: bool
    """Whether the images refuse to be deleted."""
    aws: aws.Provider


class Registry(pulumi.ComponentResource):
    """Repositories whose tags stay where they are, scanned on push, encrypted with a key of the stack's own."""

    repository_urls: Mapping[str, pulumi.Output[str]]
    """What to put before a tag in an image's reference, by the names in the settings."""
    ready: Sequence[pulumi.Resource]
    """What Flux needs before it starts: a pod that is older than its Pod Identity association goes without it."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:registry:Registry", name, None, opts)
        self._name, self._args = name, args
        key = EncryptionKey(
            f"{name}-images",
            EncryptionKeyArgs(
                alias=f"{args.prefix}-images",
                description=f"Images of the EKS cluster {args.cluster_name}",
                account=args.account,
                protected=args.protected,
                aws=args.aws,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        repositories = {one: self._repository(one, key) for one in args.settings.repositories}
        scanner, self.ready = self._image_scanner(repositories) if args.image_scanner else (None, ())
        for one, repository in repositories.items():
            self._policies(one, repository, scanner)
        self.repository_urls = {one: repository.repository_url for one, repository in repositories.items()}
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
            force_delete=not args.protected,
            opts=self._child(protect=args.protected),
        )

    def _policies(self, name: str, repository: aws.ecr.Repository, scanner: aws.iam.Role | None) -> None:
        args = self._args
        aws.ecr.LifecyclePolicy(
            f"{self._name}-{name}",
            repository=repository.name,
            policy=lifecycle_policy(args.settings),
            opts=self._child(),
        )
        if args.pull_roles or scanner:
            aws.ecr.RepositoryPolicy(
                f"{self._name}-{name}",
                repository=repository.name,
                policy=pulumi.Output.all(pull=list(args.pull_roles), scan=[scanner.arn] if scanner else []).apply(
                    lambda roles: _readers(roles["pull"], roles["scan"])
                ),
                opts=self._child(),
            )

    def _image_scanner(
        self, repositories: Mapping[str, aws.ecr.Repository]
    ) -> tuple[aws.iam.Role, Sequence[pulumi.Resource]]:
        """Who Flux's image scanner is on AWS, and what it needs before it starts."""
        args, own = self._args, f"{self._name}-image-scanner"
        role = aws.iam.Role(
            own,
            name=f"{args.prefix}-image-scanner",
            assume_role_policy=pulumi.Output.from_input(args.cluster_arn).apply(
                lambda arn: pod_identity_trust(args.account, arn, FLUX_NAMESPACE, IMAGE_SCANNER)
            ),
            opts=self._child(),
        )
        policy = aws.iam.RolePolicy(
            own,
            name="scan",
            role=role.name,
            policy=pulumi.Output.all(*(one.arn for one in repositories.values())).apply(_scanning),
            opts=self._child(),
        )
        association = aws.eks.PodIdentityAssociation(
            own,
            # Waits for the cluster, whose name alone would not tell that it exists.
            cluster_name=pulumi.Output.from_input(args.cluster_arn).apply(lambda arn: arn.rpartition("/")[2]),
            namespace=FLUX_NAMESPACE,
            service_account=IMAGE_SCANNER,
            role_arn=role.arn,
            opts=self._child(),
        )
        return role, [policy, association]

    def _child(self, protect: bool = False) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, provider=self._args.aws, protect=protect)


def lifecycle_policy(settings: RegistrySettings) -> str:
    """Which images ECR deletes by itself. An image that matches one rule is out of reach of the rules after it."""
    return json.dumps(
        {
            "rules": [
                _expire(
                    1,
                    "What somebody marked as running stays",
                    tagStatus="tagged",
                    tagPatternList=[KEPT],
                    countType="imageCountMoreThan",
                    countNumber=9999,
                ),
                _expire(
                    2,
                    "Untagged images, which nothing refers to by name",
                    tagStatus="untagged",
                    countType="sinceImagePushed",
                    countUnit="days",
                    countNumber=settings.untagged_days,
                ),
                _expire(
                    3,
                    "All but the newest releases",
                    tagStatus="tagged",
                    tagPatternList=["*"],
                    countType="imageCountMoreThan",
                    countNumber=settings.keep_releases,
                ),
            ]
        }
    )


def _expire(priority: int, description: str, **selection: object) -> Mapping[str, object]:
    return {
        "rulePriority": priority,
        "description": description,
        "selection": selection,
        "action": {"type": "expire"},
    }


def _readers(pull: Sequence[str], scan: Sequence[str]) -> str:
    """A repository's policy, which ECR attaches to the repository: so it names no resource."""
    statements = [
        {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": list(roles)}, "Action": list(actions)}
        for sid, roles, actions in (("NodesPull", pull, PULL), ("FluxScans", scan, SCAN))
        if roles
    ]
    return document(*statements)


def _scanning(repositories: Sequence[str]) -> str:
    # The token is the registry's, not a repository's: AWS knows no narrower resource for it.
    token = allow(["ecr:GetAuthorizationToken"], ["*"])
    return document(token, *([allow(SCAN, repositories)] if repositories else []))
