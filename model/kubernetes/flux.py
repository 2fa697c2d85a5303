"""Flux's install manifest: reduced to the selected controllers, locked down, put in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import yaml

from model.config.errors import InvalidConfigError, Problem
from model.config.names import FLUX_NAMESPACE, IMAGE_SCANNER, IMAGE_WRITER
from model.config.network import NetworkSettings
from model.kubernetes.manifests import NOT_FLUX_BUSINESS, Manifest, annotated
from model.kubernetes.network_policies import image_policies, with_closed_network

COMPONENT_LABEL = "app.kubernetes.io/component"
VERSION_LABEL = "app.kubernetes.io/version"

NOTIFIER = "notification-controller"
"""Sends what happened to addresses in Providers: only hosts in NO_PROXY are reachable for it, either."""

METRICS_AT_POD_IP = "--metrics-addr=[$(POD_IP)]:8080"
"""Not at localhost, which Go's HTTP client reaches without a proxy: a tenant's remote base there could have the
controller profile itself for days, while all tenants wait."""
NO_CROSS_NAMESPACE = "--no-cross-namespace-refs=true"
DEFAULT_SERVICE_ACCOUNT = "--default-service-account=default"
LOCKDOWN = {
    # Flux's documented multi-tenancy lockdown: a tenant's objects refer to nothing outside their namespace, fetch no
    # remote bases, and act as an account without rights unless they name another.
    "kustomize-controller": (
        NO_CROSS_NAMESPACE,
        "--no-remote-bases=true",
        DEFAULT_SERVICE_ACCOUNT,
        METRICS_AT_POD_IP,
    ),
    "source-controller": (METRICS_AT_POD_IP, "--storage-addr=[$(POD_IP)]:9090"),
    "helm-controller": (NO_CROSS_NAMESPACE, DEFAULT_SERVICE_ACCOUNT, METRICS_AT_POD_IP),
    "notification-controller": (NO_CROSS_NAMESPACE,),
    # Tags are kept by object. By default they are kept by the image's name: an object without the right to an image
    # would find the tags that another object has read.
    IMAGE_SCANNER: (NO_CROSS_NAMESPACE, "--feature-gates=FluxStorage=true", METRICS_AT_POD_IP),
    IMAGE_WRITER: (NO_CROSS_NAMESPACE, METRICS_AT_POD_IP),
}
ALWAYS = {
    # An account without `bind` can create a RoleBinding once its Role exists; one commit may bring both.
    "kustomize-controller": (
        "--custom-apply-stage-kinds=rbac.authorization.k8s.io/Role",
        # A variable of a shared product that no value sets is an error, not an empty text.
        "--feature-gates=StrictPostBuildSubstitutions=true",
    ),
    # The same message about the same object is passed on once an hour, not every five minutes.
    NOTIFIER: ("--rate-limit-interval=1h",),
}

DISK_LIMIT = "10Gi"
"""Of each folder in which a controller keeps artifacts and clones. The kubelet evicts a pod that exceeds it."""

POD_IDENTITY_AGENT = "169.254.170.23"
"""Address at which EKS Pod Identity gives pods their role's credentials, by plain HTTP. It asks for the pod's own
token, so a tenant's source that names this address gets nothing."""

BLACKHOLE_PROXY = "http://127.0.0.1:9"
"""A closed port: in a pod nothing listens on the discard port."""
EVENTS_AND_API_SERVER = (
    f"notification-controller.{FLUX_NAMESPACE}.svc.cluster.local.",
    f"notification-controller.{FLUX_NAMESPACE}.svc.cluster.local",
    "$(KUBERNETES_SERVICE_HOST)",
)
"""Hosts that a controller has to reach, for NO_PROXY; the kubelet fills in the API server's address."""
ARTIFACT_HOST = "SOURCE_CONTROLLER_LOCALHOST"
"""Environment variable of Flux's controllers: the host to fetch artifacts from, in place of the well-known one."""
ARTIFACT_READERS = ("helm-controller", "kustomize-controller")
"""Controllers that fetch artifacts, and evaluate what tenants wrote: only hosts in NO_PROXY are reachable for them."""
WITHOUT_HTTP = (*ARTIFACT_READERS, NOTIFIER, IMAGE_WRITER)
"""Controllers that reach no other host by HTTP or HTTPS. The one that commits images' versions speaks SSH to Git."""


@dataclass(frozen=True)
class FluxManifest:
    """Flux's objects, in the order in which they have to exist."""

    version: str
    """Flux's release, from the manifest's labels; empty if they have none."""
    definitions: tuple[Manifest, ...]
    """The namespace and the CustomResourceDefinitions."""
    permissions: tuple[Manifest, ...]
    """Service accounts, roles, bindings, network policies, quotas."""
    controllers: tuple[Manifest, ...]
    """Deployments and Services."""
    lockdown: bool
    """Whether tenants are locked out; then `with_secret_artifact_host` applies too."""

    @property
    def services(self) -> tuple[Manifest, ...]:
        """Services; each becomes ready with a pod of its controller."""
        return tuple(manifest for manifest in self.controllers if manifest["kind"] == "Service")

    @property
    def deployments(self) -> tuple[Manifest, ...]:
        """Deployments of the controllers."""
        return tuple(manifest for manifest in self.controllers if manifest["kind"] == "Deployment")

    @property
    def objects(self) -> tuple[Manifest, ...]:
        """All of them, in order."""
        return (*self.definitions, *self.permissions, *self.controllers)


def parse(
    text: str,
    name: str,
    components: Sequence[str],
    *,
    lockdown: bool,
    network: NetworkSettings | None = None,
    plain_http: Sequence[str] = (),
    plain_http_images: Sequence[str] = (),
    pod_identity: bool = False,
    webhook_networks: Sequence[str] = (),
    notified: Sequence[str] = (),
    image_ports: Sequence[int] = (),
) -> FluxManifest:
    """The manifest's objects for the selected controllers; with `lockdown`, closed to tenants.

    `plain_http` are hosts whose sources are read without encryption, such as mirrors, `plain_http_images` those of
    images; with `pod_identity`, source-controller and the image scanner have a role on AWS; load balancers in
    `webhook_networks` forward webhooks; `notified` are the hosts that notification-controller has to reach.
    `image_ports` are where the image controllers reach registries and Git servers. Raises InvalidConfigError for a
    manifest that is not Flux's.
    """
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document]
    except yaml.YAMLError as error:
        raise InvalidConfigError([Problem(name, 0, "", f"not YAML: {error}")]) from None
    if not all(
        isinstance(document, dict) and {"apiVersion", "kind", "metadata"} <= document.keys() for document in documents
    ):
        raise InvalidConfigError(
            [
                Problem(
                    name, 0, "", "contains a document that is not a Kubernetes object", "Use a release's install.yaml."
                )
            ]
        )
    objects = [_ours(manifest) for manifest in documents if _component(manifest) in (None, *components)]
    deployed = {manifest["metadata"]["name"] for manifest in objects if manifest["kind"] == "Deployment"}
    if lacking := [component for component in components if component not in deployed]:
        message = f"has no Deployment for {', '.join(lacking)}"
        raise InvalidConfigError(
            [Problem(name, 0, "", message, "Take it out of fluxComponents, or use a release's install.yaml.")]
        )
    objects = [_with_bounded_disk(with_arguments(manifest, ALWAYS)) for manifest in objects]
    if lockdown:
        allowed = network or NetworkSettings()
        images = [controller for controller in (IMAGE_SCANNER, IMAGE_WRITER) if controller in components]
        closed = [
            _without_tokens(
                with_closed_network(manifest, allowed.monitoring, allowed.webhooks, webhook_networks, images)
            )
            for manifest in objects
        ]
        agent = [POD_IDENTITY_AGENT] if pod_identity else []
        reachable: dict[str, Sequence[str]] = {
            **dict.fromkeys(ARTIFACT_READERS, allowed.kustomize_reaches),
            "source-controller": [*plain_http, *agent],
            IMAGE_SCANNER: [*plain_http_images, *agent],
            IMAGE_WRITER: [],
            NOTIFIER: notified,
        }
        objects = [_block_egress(with_arguments(manifest, LOCKDOWN), reachable) for manifest in closed]
        objects += [_ours(policy) for policy in image_policies(images, image_ports)]
    return FluxManifest(
        version=next(_versions(objects), ""),
        definitions=tuple(sorted((m for m in objects if m["kind"] in DEFINITIONS), key=_definition_order)),
        permissions=tuple(m for m in objects if m["kind"] not in (*DEFINITIONS, *WORKLOADS)),
        controllers=tuple(m for m in objects if m["kind"] in WORKLOADS),
        lockdown=lockdown,
    )


DEFINITIONS = ("Namespace", "CustomResourceDefinition")
WORKLOADS = ("Deployment", "Service")


def _definition_order(manifest: Manifest) -> int:
    return DEFINITIONS.index(manifest["kind"])


def _component(manifest: Manifest) -> str | None:
    """The controller that an object belongs to; None if all share it."""
    return manifest["metadata"].get("labels", {}).get(COMPONENT_LABEL)


def _versions(objects: Sequence[Manifest]) -> Iterator[str]:
    for manifest in objects:
        if version := manifest["metadata"].get("labels", {}).get(VERSION_LABEL):
            yield str(version)


def _ours(manifest: Manifest) -> Manifest:
    return annotated(manifest, NOT_FLUX_BUSINESS)


def _without_tokens(manifest: Manifest) -> Manifest:
    """The ClusterRole without the right to tokens of any service account.

    Flux needs it for workload identity of single objects only, which is not used here. A controller that is taken over
    could act as every account of the cluster.
    """
    if manifest["kind"] != "ClusterRole":
        return manifest
    rules = [rule for rule in manifest.get("rules", []) if "serviceaccounts/token" not in rule.get("resources", [])]
    return {**manifest, "rules": rules}


def with_arguments(manifest: Manifest, by_controller: Mapping[str, Sequence[str]]) -> Manifest:
    """The Deployment with its controller's arguments, in place of others of the same flag."""
    arguments = by_controller.get(manifest["metadata"]["name"], ())
    if manifest["kind"] != "Deployment" or not arguments:
        return manifest
    locked = deepcopy(manifest)
    container: dict[str, Any] = locked["spec"]["template"]["spec"]["containers"][0]
    flags = {_flag(argument) for argument in arguments}
    kept = [argument for argument in container.get("args", []) if _flag(argument) not in flags]
    container["args"] = [*kept, *arguments]
    return locked


def _flag(argument: str) -> str:
    """The part of an argument that another one replaces; feature gates add up."""
    return argument if argument.startswith("--feature-gates=") else argument.partition("=")[0]


def _with_bounded_disk(manifest: Manifest) -> Manifest:
    """The Deployment with a limit of each emptyDir that has none.

    A tenant's artifact may unpack to more than the node's disk, whose other pods would be evicted then.
    """
    if manifest["kind"] != "Deployment":
        return manifest
    bounded = deepcopy(manifest)
    for volume in bounded["spec"]["template"]["spec"].get("volumes", []):
        if "emptyDir" in volume:
            volume["emptyDir"] = {"sizeLimit": DISK_LIMIT, **(volume["emptyDir"] or {})}
    return bounded


def _block_egress(manifest: Manifest, reachable: Mapping[str, Sequence[str]]) -> Manifest:
    """The Deployment with HTTP(S)_PROXY set to a closed port, so that only NO_PROXY hosts are reachable.

    For controllers that fetch URLs from tenants' repositories. --no-remote-bases covers repositories only: Kustomize
    still fetches single files by HTTP, from inside the cluster too, and waits for a server that never answers while all
    tenants wait. Helm does the same for references in a chart's values.schema.json. A chart's index and dependencies
    lead source-controller as far; only its HTTPS has certificates. notification-controller sends to the addresses in
    Providers, and to no others if somebody changes one.
    """
    controller = manifest["metadata"]["name"]
    if manifest["kind"] != "Deployment" or controller not in reachable:
        return manifest
    blocked = deepcopy(manifest)
    container: dict[str, Any] = blocked["spec"]["template"]["spec"]["containers"][0]
    proxies = {"HTTP_PROXY": BLACKHOLE_PROXY}
    no_proxy = [*EVENTS_AND_API_SERVER, *reachable[controller]]
    if controller in WITHOUT_HTTP:
        proxies["HTTPS_PROXY"] = BLACKHOLE_PROXY
    if controller in ARTIFACT_READERS:
        no_proxy.append(f"$({ARTIFACT_HOST})")
    ours: dict[str, Any] = {
        "POD_IP": {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        **{name: {"value": value} for name, value in proxies.items()},
        "NO_PROXY": {"value": ",".join(no_proxy)},
    }
    kept = [variable for variable in container.get("env", []) if variable["name"] not in ours]
    container["env"] = [*kept, *({"name": name, **value} for name, value in ours.items())]
    return blocked


def with_secret_artifact_host(manifest: Manifest, host: Any, address: Any) -> Manifest:
    """The Deployment of one of ARTIFACT_READERS, with artifacts at a host name that only they know.

    source-controller serves every artifact to every client, and lists them. What such a controller can fetch, a
    tenant's kustomization or chart can make it fetch by the same URL. So the one host name that bypasses the closed
    proxy is a secret. The pod's hosts file resolves it to `address`: tenants could look up any name in DNS. Both may be
    outputs.
    """
    deployment = deepcopy(manifest)
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    pod["hostAliases"] = [*pod.get("hostAliases", []), {"ip": address, "hostnames": [host]}]
    container = pod["containers"][0]
    # Before the variables that refer to it.
    container["env"] = [{"name": ARTIFACT_HOST, "value": host}, *container.get("env", [])]
    return deployment


class _Loader(yaml.CSafeLoader):  # libyaml reads Flux's 270 kB in a tenth of the time
    """YAML as Kubernetes reads it: dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
