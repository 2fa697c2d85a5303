"""Flux: installed from its manifest, then set to watch the infra repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

from components.configuration import Configuration
from components.flux.deploy_key import DeployKey, DeployKeyArgs
from components.flux.repository import InfraRepository
from components.objects import KubernetesObject, children
from model.config.keys import Generations, numbered
from model.config.mirrors import Location, locate
from model.config.names import DEFAULT_SHARD, FLUX_NAMESPACE, cluster_path, deploy_key_title, secret_name
from model.config.stack import GITHUB_APP_KEY, GithubAppSettings
from model.kubernetes import manifests
from model.kubernetes.flux import ARTIFACT_READERS, FluxManifest, with_secret_artifact_host
from model.kubernetes.manifests import Manifest
from model.kubernetes.shards import name_in, parts


@dataclass(frozen=True)
class FluxInstallationArgs:
    """The manifest to install, and the cluster."""

    manifest: FluxManifest
    provider: kubernetes.Provider
    key_generation: int = 1
    """A higher number gives the artifacts another secret host name, with which the controllers restart."""
    depends_on: Sequence[pulumi.Resource] = ()
    """Needed by the controllers: nodes, and the image scanner's AWS role."""
    protected: bool = False
    """Whether Flux refuses to be deleted, because other stacks have objects that only it can finalize."""


class FluxInstallation(pulumi.ComponentResource):
    """Flux's definitions, then permissions, then controllers, which have to become healthy."""

    namespace: KubernetesObject
    ready: pulumi.Resource
    """The last controller, for `depends_on`: what Flux reconciles comes after all controllers and goes before them."""
    controllers: Mapping[str, pulumi.Resource]
    """Each controller's Deployment, for `depends_on` of what it has to finalize although it is removed as well."""
    shards: Mapping[str, pulumi.Resource]
    """The last controller of each shard, for `depends_on`: a shard stays until its last tenant is gone."""

    def __init__(self, name: str, args: FluxInstallationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:flux:FluxInstallation", name, None, opts)
        manifest, provider = args.manifest, args.provider
        definitions = children(manifest.definitions, parent=self, provider=provider, protect=args.protected)
        permissions = children(manifest.permissions, parent=self, provider=provider, depends_on=definitions)
        depends_on = [*permissions, *args.depends_on]
        services = dict(
            zip(
                (service["metadata"]["name"] for service in manifest.services),
                children(manifest.services, parent=self, provider=provider, depends_on=depends_on),
                strict=True,
            )
        )
        own = pulumi.ResourceOptions(parent=self)
        secret = numbered("artifacts", args.key_generation)
        key = tls.PrivateKey(secret, algorithm="ED25519", opts=own) if manifest.lockdown else None
        by_shard: dict[str, list[Manifest]] = {}
        for deployment in manifest.deployments:
            controller, shard = parts(deployment["metadata"]["name"])
            if key and controller in ARTIFACT_READERS:
                deployment = _hide_artifact_host(deployment, shard, key, services)
            by_shard.setdefault(shard, []).append(deployment)
        self.controllers = {}
        self.shards = {}
        # The default shard comes last, and in each shard kustomize-controller: its Deployment waits for
        # source-controller's address anyway.
        for shard in sorted(by_shard, key=lambda shard: shard == DEFAULT_SHARD):
            *others, last = sorted(by_shard[shard], key=_is_kustomize_controller)
            before = children(others, parent=self, provider=provider, depends_on=depends_on)
            known = self.controllers.values() if shard == DEFAULT_SHARD else []
            (self.shards[shard],) = children(
                [last], parent=self, provider=provider, depends_on=[*depends_on, *known, *before]
            )
            names = (deployment["metadata"]["name"] for deployment in (*others, last))
            self.controllers |= zip(names, (*before, self.shards[shard]), strict=True)
        self.ready = self.shards[DEFAULT_SHARD]
        self.namespace = definitions[0]
        self.register_outputs({"version": manifest.version})


def _hide_artifact_host(
    deployment: Manifest, shard: str, key: tls.PrivateKey, services: Mapping[str, KubernetesObject]
) -> Manifest:
    """The Deployment with a secret host name for its shard's artifacts, which tenants cannot ask for."""
    purpose = "" if shard == DEFAULT_SHARD else shard
    host = pulumi.Output.secret(key.private_key_pem).apply(lambda pem: secret_name("artifacts", pem, purpose))
    # Unknown in a preview that cannot ask the API server.
    address = services[name_in(shard, "source-controller")].spec.apply(lambda spec: spec.get("clusterIP", ""))
    return with_secret_artifact_host(deployment, host, address)


def _is_kustomize_controller(deployment: Manifest) -> bool:
    return parts(deployment["metadata"]["name"])[0] == "kustomize-controller"


@dataclass(frozen=True)
class FluxSyncArgs:
    """The infra repository, and the installation that watches it."""

    configuration: Configuration
    installation: FluxInstallation
    repository: InfraRepository
    provider: kubernetes.Provider


class FluxSync(pulumi.ComponentResource):
    """The cluster's folder in the infra repository, the deploy key, and the objects by which Flux watches it."""

    key: DeployKey | None = None
    """None if Flux reads as a GitHub App."""

    def __init__(self, name: str, args: FluxSyncArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:flux:FluxSync", name, None, opts)
        settings = args.configuration.settings
        app = settings.github_app
        place = f"github.com/{settings.owner}/{settings.repository}"
        location = locate(f"https://{place}" if app else f"ssh://git@{place}", args.configuration.mirrors)
        git_repository = manifests.sync_git_repository(location.url, settings.branch, app=app is not None)
        kustomization = manifests.sync_kustomization(settings.cluster)
        self._commit(args, [git_repository, kustomization])
        key = self._app_key(args, app) if app else self._deploy_key(name, args, location)
        depends_on: list[pulumi.Resource] = [args.installation.ready, key, args.repository.ready]
        for manifest in (git_repository, kustomization):
            awaited = manifests.annotated(manifest, manifests.WAIT_UNTIL_READY)
            depends_on = [*children([awaited], parent=self, provider=args.provider, depends_on=depends_on)]
        self.register_outputs({"path": cluster_path(settings.cluster)})

    def _deploy_key(self, name: str, args: FluxSyncArgs, location: Location) -> pulumi.Resource:
        settings = args.configuration.settings
        self.key = DeployKey(
            name,
            DeployKeyArgs(
                title=deploy_key_title(settings.branch, cluster_path(settings.cluster)),
                generations=Generations(settings.key_generation, settings.key_generation),
                secret=FLUX_NAMESPACE,
                namespace=FLUX_NAMESPACE,
                known_hosts=location.known_hosts or settings.github_known_hosts,
                kubernetes_provider=args.provider,
                repository=args.repository.repository_name,
                full_name=f"{settings.owner}/{settings.repository}",
                github_provider=args.repository.provider,
                depends_on=[args.installation.namespace],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return self.key.ready

    def _app_key(self, args: FluxSyncArgs, app: GithubAppSettings) -> pulumi.Resource:
        private_key = pulumi.Config().require_secret(GITHUB_APP_KEY)
        return KubernetesObject(
            manifests.GITHUB_APP,
            manifests.github_app_secret(app.id, app.installation, private_key),
            pulumi.ResourceOptions(parent=self, provider=args.provider, depends_on=[args.installation.namespace]),
        )

    @staticmethod
    def _commit(args: FluxSyncArgs, sync: list[Manifest]) -> None:
        cluster, manifest = args.configuration.settings.cluster, args.configuration.flux
        folder = f"clusters/{cluster}/{FLUX_NAMESPACE}"
        comment = "Applied by Pulumi; Flux leaves these objects alone. Change the stack, not this file."
        files = {
            "gotk-components.yaml": manifests.to_yaml(manifest.objects, comment),
            "gotk-sync.yaml": manifests.to_yaml(sync, comment),
        }
        files["kustomization.yaml"] = manifests.folder_kustomization(list(files))
        version = f" {manifest.version}" if manifest.version else ""
        for file, content in files.items():
            args.repository.add_file(f"{folder}/{file}", content, f"Flux{version} for {cluster}: {file}")
