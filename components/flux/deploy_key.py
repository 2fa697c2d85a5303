"""A read-only key for one repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

from components.objects import KubernetesObject
from model.kubernetes import manifests


@dataclass(frozen=True)
class DeployKeyArgs:
    """Whose key it is, and where both halves go."""

    title: str
    """How the key is called on GitHub."""
    secret: str
    namespace: str
    known_hosts: str
    kubernetes_provider: kubernetes.Provider
    repository: pulumi.Input[str] | None = None
    """The repository on GitHub; None where the source is elsewhere and its owner registers the key by hand."""
    github_provider: github.Provider | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    depends_on: Sequence[pulumi.Resource] = ()
    """What the Secret needs, its namespace at least."""


class DeployKey(pulumi.ComponentResource):
    """An ECDSA P-384 key pair: the public half on GitHub, read-only, the private one as Flux's source secret."""

    public_key: pulumi.Output[str]
    ready: list[pulumi.Resource]
    """What whoever reads with the key has to wait for."""

    def __init__(self, name: str, args: DeployKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:repository:DeployKey", name, None, opts)
        key = tls.PrivateKey(name, algorithm="ECDSA", ecdsa_curve="P384", opts=pulumi.ResourceOptions(parent=self))
        self.public_key = key.public_key_openssh.apply(str.strip)
        self.ready = []
        if args.repository is not None:
            self.ready.append(
                github.RepositoryDeployKey(
                    name,
                    repository=args.repository,
                    title=args.title,
                    key=self.public_key,
                    read_only=True,
                    opts=pulumi.ResourceOptions(parent=self, provider=args.github_provider),
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
        opts = pulumi.ResourceOptions(parent=self, provider=args.kubernetes_provider, depends_on=list(args.depends_on))
        self.ready.append(KubernetesObject(name, secret, opts))
        self.register_outputs({"publicKey": self.public_key})
