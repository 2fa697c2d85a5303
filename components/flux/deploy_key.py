"""Deploy key for one repository: read-only, except for the image automation's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

from components.objects import KubernetesObject
from model.config.mirrors import Location
from model.config.names import tenant_key_title
from model.config.sources import Source
from model.config.stack import Settings
from model.kubernetes import manifests


@dataclass(frozen=True)
class DeployKeyArgs:
    """The repository, and the Secret that gets the private key."""

    title: str
    """Title shown on GitHub."""
    secret: str
    namespace: str
    known_hosts: str
    kubernetes_provider: kubernetes.Provider
    repository: pulumi.Input[str] | None = None
    """The repository on GitHub; None for a source elsewhere, whose owner registers the key by hand."""
    owner: str | None = None
    """The repository's owner on GitHub."""
    github_provider: github.Provider | None = None
    """The owner's provider."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    depends_on: Sequence[pulumi.Resource] = ()
    """The Secret's namespace."""
    read_only: bool = True


class DeployKey(pulumi.ComponentResource):
    """ECDSA P-384 key pair: the public key on GitHub, the private key in a Secret that Flux reads."""

    public_key: pulumi.Output[str]
    ready: pulumi.Resource
    """The Secret, for `depends_on`. It follows the key on GitHub, so Flux never has a key that GitHub does not know."""

    def __init__(self, name: str, args: DeployKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:repository:DeployKey", name, None, opts)
        # A repository's owner is in the provider only, so the engine would see no change if a repository of the same
        # name had another one. The key pair follows: GitHub refuses a key that another repository still has.
        own = f"{name}/{args.owner}" if args.owner else name
        formerly = [pulumi.Alias(name=name)] if args.owner else None
        key = tls.PrivateKey(
            own,
            algorithm="ECDSA",
            ecdsa_curve="P384",
            opts=pulumi.ResourceOptions(parent=self, aliases=formerly),
        )
        self.public_key = key.public_key_openssh.apply(str.strip)
        depends_on = list(args.depends_on)
        if args.repository is not None:
            depends_on.append(
                github.RepositoryDeployKey(
                    own,
                    repository=args.repository,
                    title=args.title,
                    key=self.public_key,
                    read_only=args.read_only,
                    opts=pulumi.ResourceOptions(parent=self, provider=args.github_provider, aliases=formerly),
                )
            )
        secret = manifests.source_secret(
            args.secret,
            args.namespace,
            private_key=pulumi.Output.secret(key.private_key_pem_pkcs8),
            public_key=key.public_key_openssh,
            known_hosts=args.known_hosts,
            labels=args.labels,
        )
        self.ready = KubernetesObject(
            name,
            secret,
            pulumi.ResourceOptions(parent=self, provider=args.kubernetes_provider, depends_on=depends_on),
        )
        self.register_outputs({"publicKey": self.public_key})


@dataclass(frozen=True)
class SourceKeyArgs:
    """The source of a product, and the namespace from which Flux reads it."""

    source: Source
    location: Location
    settings: Settings
    namespace: str
    secret: str
    labels: Mapping[str, str]
    kubernetes_provider: kubernetes.Provider
    github_providers: Mapping[str, github.Provider]
    depends_on: Sequence[pulumi.Resource]
    """The namespace."""
    read_only: bool = True


def source_key(name: str, args: SourceKeyArgs, opts: pulumi.ResourceOptions) -> DeployKey | None:
    """The deploy key of a private source; None for a public one."""
    if not args.source.private:
        return None
    owner, repository = args.source.github_repository or (None, None)
    title = tenant_key_title(args.settings.cluster, args.namespace)
    return DeployKey(
        name,
        DeployKeyArgs(
            title=title if args.read_only else f"{title}-write",
            secret=args.secret,
            namespace=args.namespace,
            known_hosts=args.location.known_hosts,
            kubernetes_provider=args.kubernetes_provider,
            repository=repository,
            owner=owner,
            github_provider=args.github_providers[owner] if owner else None,
            labels=args.labels,
            depends_on=args.depends_on,
            read_only=args.read_only,
        ),
        opts,
    )
