"""Flux: installed from its manifest, then set to watch the infra repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

from components.flux.deploy_key import DeployKey, DeployKeyArgs
from components.flux.repository import InfraRepository
from components.objects import KubernetesObject, children
from model.config.mirrors import Location
from model.config.names import FLUX_NAMESPACE, cluster_path, deploy_key_title, secret_name
from model.kubernetes import manifests
from model.kubernetes.flux import Install, reading_artifacts_at
from model.kubernetes.manifests import Manifest


@dataclass(frozen=True)
class FluxInstallationArgs:
    """What to install, where."""

    install: Install
    provider: kubernetes.Provider
    needs: Sequence[pulumi.Resource] = ()
    """What the controllers need beside this: there before them, and until they have gone."""


class FluxInstallation(pulumi.ComponentResource):
    """Definitions first, then permissions, then the controllers, which have to become healthy."""

    namespace: KubernetesObject
    controllers: Sequence[pulumi.Resource]
    """The Deployments. What Flux reconciles depends on them: created after them, deleted before them."""

    def __init__(self, name: str, args: FluxInstallationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:flux:FluxInstallation", name, None, opts)
        definitions = children(args.install.definitions, self, args.provider, [])
        permissions = children(args.install.permissions, self, args.provider, definitions)
        needed = [*permissions, *args.needs]
        services, deployments = (
            [one for one in args.install.controllers if one["kind"] == kind] for kind in ("Service", "Deployment")
        )
        names = [service["metadata"]["name"] for service in services]
        serving = dict(zip(names, children(services, self, args.provider, needed), strict=True))
        if args.install.lockdown:
            deployments = [self._reading_apart(one, serving) for one in deployments]
        self.controllers = children(deployments, self, args.provider, needed)
        self.namespace = definitions[0]
        self.register_outputs({"version": args.install.version})

    def _reading_apart(self, deployment: Manifest, services: Mapping[str, KubernetesObject]) -> Manifest:
        if deployment["metadata"]["name"] != "kustomize-controller":
            return deployment
        key = tls.PrivateKey("artifacts", algorithm="ED25519", opts=pulumi.ResourceOptions(parent=self))
        host = pulumi.Output.secret(key.private_key_pem).apply(lambda pem: secret_name("artifacts", pem))
        # A preview that cannot ask the API server knows of no address yet.
        address = services["source-controller"].spec.apply(lambda spec: spec.get("clusterIP", ""))
        return reading_artifacts_at(deployment, host, address)


@dataclass(frozen=True)
class FluxSyncArgs:
    """What Flux watches."""

    cluster: str
    branch: str
    location: Location
    """Where Flux reads the infra repository from."""
    install: Install
    installation: FluxInstallation
    repository: InfraRepository
    github_provider: github.Provider
    provider: kubernetes.Provider


class FluxSync(pulumi.ComponentResource):
    """The cluster's folder in the infra repository, the key to read it, and Flux's watch on it."""

    def __init__(self, name: str, args: FluxSyncArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:flux:FluxSync", name, None, opts)
        git_repository = manifests.sync_git_repository(args.location.url, args.branch)
        kustomization = manifests.sync_kustomization(args.cluster)
        self._commit(args, [git_repository, kustomization])
        key = DeployKey(
            name,
            DeployKeyArgs(
                title=deploy_key_title(args.branch, cluster_path(args.cluster)),
                secret=FLUX_NAMESPACE,
                namespace=FLUX_NAMESPACE,
                known_hosts=args.location.known_hosts,
                kubernetes_provider=args.provider,
                repository=args.repository.repository_name,
                github_provider=args.github_provider,
                depends_on=[args.installation.namespace],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        needed = [*args.installation.controllers, *key.ready, args.repository.last_file]
        for manifest in (git_repository, kustomization):
            watched = manifests.annotated(manifest, manifests.WAIT_UNTIL_READY)
            needed = children([watched], self, args.provider, needed)
        self.register_outputs({"path": cluster_path(args.cluster)})

    @staticmethod
    def _commit(args: FluxSyncArgs, sync: list[manifests.Manifest]) -> None:
        folder = f"clusters/{args.cluster}/{FLUX_NAMESPACE}"
        comment = "Applied by Pulumi; Flux leaves these objects alone. Change the stack, not this file."
        files = {
            "gotk-components.yaml": manifests.to_yaml(args.install.objects, comment),
            "gotk-sync.yaml": manifests.to_yaml(sync, comment),
        }
        files["kustomization.yaml"] = manifests.folder_kustomization(list(files))
        version = f" {args.install.version}" if args.install.version else ""
        for file, content in files.items():
            args.repository.add_file(f"{folder}/{file}", content, f"Flux{version} for {args.cluster}: {file}")
