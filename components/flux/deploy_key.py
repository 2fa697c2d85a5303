"""Deploy key for one repository: read-only, except for the image automation's.

A higher generation makes a new key pair. Its registration on GitHub replaces the old one, which the engine deletes at
the end of the update, and not if anything has failed that depended on it: `--continue-on-error` would delete a resource
that left the program even then. So at each moment a key is registered that the Secret has. Flux reads the Secret some
moments before GitHub sees the key, so the update waits that long before it deletes.
"""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

from components.objects import KubernetesObject
from model.config.keys import Generations, Holder, fingerprint, generations, numbered
from model.config.mirrors import Location
from model.config.names import tenant_key_title
from model.config.sources import Source
from model.config.stack import Settings
from model.kubernetes import manifests

Summary = Mapping[str, pulumi.Input[str | int]]
GRACE = 10
"""Seconds from a Secret's new key to the withdrawal of the old one."""


@dataclass(frozen=True)
class DeployKeyArgs:
    """The repository, and the Secret that gets the private key."""

    title: str
    """Title shown on GitHub, without the key's generation."""
    generations: Generations
    secret: str
    namespace: str
    known_hosts: str
    kubernetes_provider: kubernetes.Provider
    repository: pulumi.Input[str] | None = None
    """The repository on GitHub; None for a source elsewhere, whose owner registers the key by hand."""
    full_name: str | None = None
    """The repository on GitHub as OWNER/NAME."""
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
    summary: Summary
    """What the stack's output `deployKeys` says about it. Nothing of it is secret."""

    def __init__(self, name: str, args: DeployKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:repository:DeployKey", name, None, opts)
        # A repository's owner is in the provider only, so the engine would see no change if a repository of the same
        # name had another one. The key pair follows: GitHub refuses a key that another repository still has.
        own = f"{name}/{args.full_name.partition('/')[0]}" if args.full_name else name
        formerly = [pulumi.Alias(name=name)] if args.full_name else None
        used, newest = args.generations.used, args.generations.newest
        title = numbered(args.title, used)
        key = self._key_pair(own, used, args, title, formerly)
        offered = key if newest == used else self._key_pair(own, newest, args, title, formerly)
        self.public_key = offered.public_key_openssh.apply(str.strip)
        self.summary = {
            "secret": f"{args.namespace}/{args.secret}",
            "access": "read" if args.read_only else "write",
            "generation": used,
            "fingerprint": key.public_key_openssh.apply(fingerprint),
            **({"title": title} if args.full_name else {"toRegister": newest}),
        }
        depends_on = list(args.depends_on)
        if args.repository is not None:
            depends_on.append(
                github.RepositoryDeployKey(
                    own,
                    repository=args.repository,
                    title=title,
                    key=self.public_key,
                    read_only=args.read_only,
                    opts=pulumi.ResourceOptions(
                        parent=self,
                        provider=args.github_provider,
                        aliases=formerly,
                        # The provider would delete the old one first. The first generation's key pair may stay the same
                        # when its registration is replaced, and GitHub refuses a key that it still has.
                        delete_before_replace=None if used == 1 else False,
                    ),
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

    def _key_pair(
        self, own: str, number: int, args: DeployKeyArgs, title: str, formerly: Sequence[pulumi.Alias] | None
    ) -> tls.PrivateKey:
        name = own
        if number > 1:
            # With all that its registration is replaced for: the new one is created first, so its key has to be new.
            name = numbered(f"{own}/{args.full_name.partition('/')[2]}/{args.title}" if args.full_name else own, number)
        # A later generation is not the one that earlier releases made.
        aliases = formerly if number == 1 else None
        return tls.PrivateKey(
            name,
            algorithm="ECDSA",
            ecdsa_curve="P384",
            opts=pulumi.ResourceOptions(parent=self, aliases=aliases),
        )


def deployed_keys(
    keys: Mapping[str, DeployKey | None], earlier: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, pulumi.Input[Summary]]:
    """The stack's output `deployKeys`; `earlier` is that of its last update.

    What has been rotated is known some time after the Secret has its new key. The engine deletes nothing before: it
    waits for the outputs.
    """
    return {name: _after_grace(key, earlier.get(name, {})) for name, key in keys.items() if key}


def _after_grace(key: DeployKey, earlier: Mapping[str, Any]) -> pulumi.Input[Summary]:
    by_hand = "title" not in key.summary  # withdrawn by its owner
    same = earlier.get("generation") in (None, key.summary["generation"])
    if by_hand or same or pulumi.runtime.is_dry_run():
        return key.summary

    async def wait(resolved: Sequence[Any]) -> Summary:
        await sleep(GRACE)
        return resolved[0]

    return pulumi.Output.all(key.summary, key.ready.urn).apply(wait)


@dataclass(frozen=True)
class SourceKeyArgs:
    """The source of a product, and the namespace from which Flux reads it."""

    source: Source
    holder: Holder
    """The product or tenant, which has the numbers of the key's generation."""
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
    full_name = "/".join(args.source.github_repository or ()) or None
    owner, repository = args.source.github_repository or (None, None)
    title = tenant_key_title(args.settings.cluster, args.namespace)
    return DeployKey(
        name,
        DeployKeyArgs(
            title=title if args.read_only else f"{title}-write",
            generations=generations(args.settings.key_generation, args.holder, args.source),
            secret=args.secret,
            namespace=args.namespace,
            known_hosts=args.location.known_hosts,
            kubernetes_provider=args.kubernetes_provider,
            repository=repository,
            full_name=full_name,
            github_provider=args.github_providers[owner] if owner else None,
            labels=args.labels,
            depends_on=args.depends_on,
            read_only=args.read_only,
        ),
        opts,
    )
