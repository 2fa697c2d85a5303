"""Flux's install manifest: fetched and verified, reduced to what was selected, locked down, put in order."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model.config.mistakes import Mistake, MistakesError
from model.config.names import FLUX_NAMESPACE
from model.config.network_rules import NetworkSettings
from model.kubernetes.manifests import NOT_FLUX_BUSINESS, Manifest, annotated
from model.kubernetes.network_policies import with_closed_network

COMPONENT_LABEL = "app.kubernetes.io/component"
VERSION_LABEL = "app.kubernetes.io/version"

AT_ITS_OWN_ADDRESS = "--metrics-addr=[$(POD_IP)]:8080"
"""Not at localhost, where no proxy is asked: a tenant's base there could have the controller profile itself for days,
and all tenants wait for it."""
NO_CROSS_NAMESPACE = "--no-cross-namespace-refs=true"
DEFAULT_SERVICE_ACCOUNT = "--default-service-account=default"
LOCKDOWN = {
    # Flux's documented multi-tenancy lockdown: a tenant's objects refer to nothing outside its namespace,
    # fetch no base from elsewhere, and act as an account without rights where they name none.
    "kustomize-controller": (
        NO_CROSS_NAMESPACE,
        "--no-remote-bases=true",
        DEFAULT_SERVICE_ACCOUNT,
        AT_ITS_OWN_ADDRESS,
    ),
    "source-controller": (AT_ITS_OWN_ADDRESS, "--storage-addr=[$(POD_IP)]:9090"),
    "helm-controller": (NO_CROSS_NAMESPACE, DEFAULT_SERVICE_ACCOUNT),
    "notification-controller": (NO_CROSS_NAMESPACE,),
    "image-reflector-controller": (NO_CROSS_NAMESPACE,),
    "image-automation-controller": (NO_CROSS_NAMESPACE,),
}
ALWAYS = {
    # An account without `bind` can make a RoleBinding once its Role exists: they may come by the same commit.
    "kustomize-controller": ("--custom-apply-stage-kinds=rbac.authorization.k8s.io/Role",),
}

NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: port 9 discards, and in a pod nothing listens on it."""
EVENTS_AND_API_SERVER = (
    f"notification-controller.{FLUX_NAMESPACE}.svc.cluster.local.",
    f"notification-controller.{FLUX_NAMESPACE}.svc.cluster.local",
    "$(KUBERNETES_SERVICE_HOST)",
)
"""What a controller has to reach, as NO_PROXY takes it; kubelets fill in the API server's address."""
ARTIFACT_HOST = "SOURCE_CONTROLLER_LOCALHOST"
"""Under which host kustomize-controller asks source-controller for artifacts, instead of under the one that everybody
knows; a variable that Flux's controllers understand."""


@dataclass(frozen=True)
class Install:
    """Flux's objects in the order in which they have to exist."""

    version: str
    """Flux's release, as the manifest's labels tell it; empty where they do not."""
    definitions: tuple[Manifest, ...]
    """The namespace and the CustomResourceDefinitions."""
    permissions: tuple[Manifest, ...]
    """Service accounts, roles, bindings, network policies, quotas."""
    controllers: tuple[Manifest, ...]
    """The Deployments, and the Services: those are waited for until a controller stands behind them."""
    lockdown: bool
    """Whether tenants are kept out: then artifacts are read as `reading_artifacts_at` says."""

    @property
    def objects(self) -> tuple[Manifest, ...]:
        """All of them, in order."""
        return (*self.definitions, *self.permissions, *self.controllers)


def fetch(location: str, sha256: str, folder: Path, setting: str) -> str:
    """The manifest's text from an https URL or a file (relative to `folder`), verified where a digest is given.

    `setting` is the file that messages send the reader to. Raises MistakesError.
    """

    def stop(message: str, remedy: str) -> MistakesError:
        return MistakesError([Mistake(setting, 0, "fluxManifest", message, remedy)])

    try:
        if location.startswith("https://"):
            with urllib.request.urlopen(location, timeout=60) as response:  # noqa: S310 - https only, and verified below
                content: bytes = response.read()
        elif "://" in location:
            raise stop(f"{location} is neither an https URL nor a file", "Write https://… or a path.")
        else:
            content = (folder / location).read_bytes()
    except urllib.error.URLError as error:
        raise stop(
            f"{location} cannot be downloaded: {error}", "Check the URL, or download the file and name its path."
        ) from error
    except OSError as error:
        raise stop(f"{location} cannot be read: {error.strerror}", "Name an existing file.") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        remedy = (
            f"Expected {sha256}, found {found}. Only if you have reviewed this file, set fluxManifestSha256 to that."
        )
        raise stop(f"{location} is not the manifest that was pinned", remedy)
    return content.decode("utf-8", errors="replace")


def parse(
    text: str,
    name: str,
    components: Sequence[str],
    *,
    lockdown: bool,
    network: NetworkSettings | None = None,
    plain_http: Sequence[str] = (),
) -> Install:
    """The objects of a manifest that the selected components need, closed to tenants as far as `lockdown` says.

    `plain_http` are the hosts from which sources are read without encryption, such as mirrors.

    Raises MistakesError where it is not Flux's.
    """
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document]
    except yaml.YAMLError as error:
        raise MistakesError([Mistake(name, 0, "", f"not YAML: {error}")]) from None
    if not all(
        isinstance(document, dict) and {"apiVersion", "kind", "metadata"} <= document.keys() for document in documents
    ):
        raise MistakesError(
            [Mistake(name, 0, "", "holds something that is no Kubernetes object", "Use a release's install.yaml.")]
        )
    objects = [_ours(manifest) for manifest in documents if _component(manifest) in (None, *components)]
    deployed = {manifest["metadata"]["name"] for manifest in objects if manifest["kind"] == "Deployment"}
    if lacking := [component for component in components if component not in deployed]:
        message = f"has no Deployment for {', '.join(lacking)}"
        raise MistakesError(
            [Mistake(name, 0, "", message, "Take it out of fluxComponents, or use a release's install.yaml.")]
        )
    objects = [_with_arguments(manifest, ALWAYS) for manifest in objects]
    if lockdown:
        allowed = network or NetworkSettings()
        closed = (with_closed_network(manifest, allowed.monitoring, allowed.webhooks) for manifest in objects)
        reachable = {"kustomize-controller": allowed.kustomize_reaches, "source-controller": plain_http}
        objects = [_cut_off(_with_arguments(manifest, LOCKDOWN), reachable) for manifest in closed]
    return Install(
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
    """The controller that an object belongs to; None where it is everybody's."""
    return manifest["metadata"].get("labels", {}).get(COMPONENT_LABEL)


def _versions(objects: Sequence[Manifest]) -> Iterator[str]:
    for manifest in objects:
        if version := manifest["metadata"].get("labels", {}).get(VERSION_LABEL):
            yield str(version)


def _ours(manifest: Manifest) -> Manifest:
    return annotated(manifest, NOT_FLUX_BUSINESS)


def _with_arguments(manifest: Manifest, by_controller: Mapping[str, Sequence[str]]) -> Manifest:
    arguments = by_controller.get(manifest["metadata"]["name"], ())
    if manifest["kind"] != "Deployment" or not arguments:
        return manifest
    locked = deepcopy(manifest)
    container: dict[str, Any] = locked["spec"]["template"]["spec"]["containers"][0]
    flags = {argument.partition("=")[0] for argument in arguments}
    kept = [argument for argument in container.get("args", []) if argument.partition("=")[0] not in flags]
    container["args"] = [*kept, *arguments]
    return locked


def _cut_off(manifest: Manifest, reachable: Mapping[str, Sequence[str]]) -> Manifest:
    """Keeps the controllers that ask for what tenants name off the web and off the cluster.

    --no-remote-bases keeps away repositories only. Kustomize itself still fetches single files by HTTP, from inside the
    cluster, and waits for a server that never answers, with all tenants behind it. A chart's index and its dependencies
    lead source-controller as far, though what it fetches by HTTPS has to come from whom a certificate names. What they
    ask is told to a proxy that is not there.
    """
    controller = manifest["metadata"]["name"]
    if manifest["kind"] != "Deployment" or controller not in reachable:
        return manifest
    apart = deepcopy(manifest)
    container: dict[str, Any] = apart["spec"]["template"]["spec"]["containers"][0]
    proxies = {"HTTP_PROXY": NOWHERE}
    beside = [*EVENTS_AND_API_SERVER, *reachable[controller]]
    if controller == "kustomize-controller":
        proxies["HTTPS_PROXY"] = NOWHERE
        beside.append(f"$({ARTIFACT_HOST})")
    ours: dict[str, Any] = {
        "POD_IP": {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        **{name: {"value": value} for name, value in proxies.items()},
        "NO_PROXY": {"value": ",".join(beside)},
    }
    kept = [variable for variable in container.get("env", []) if variable["name"] not in ours]
    container["env"] = [*kept, *({"name": name, **value} for name, value in ours.items())]
    return apart


def reading_artifacts_at(manifest: Manifest, host: Any, address: Any) -> Manifest:
    """The Deployment of kustomize-controller, for which artifacts are at a host that only it knows.

    source-controller gives every artifact to whoever asks, and lists them: it relies on tenants not being able to ask.
    But what kustomize-controller can fetch, a tenant's kustomization can have it fetch, by the same URL. So the name
    under which it is allowed to ask is a secret. It leads to `address` by the pod's hosts file, because whatever DNS
    knows, tenants can look up. Both may be outputs.
    """
    apart = deepcopy(manifest)
    pod: dict[str, Any] = apart["spec"]["template"]["spec"]
    pod["hostAliases"] = [*pod.get("hostAliases", []), {"ip": address, "hostnames": [host]}]
    container = pod["containers"][0]
    # Before the others, which refer to it.
    container["env"] = [{"name": ARTIFACT_HOST, "value": host}, *container.get("env", [])]
    return apart


class _Loader(yaml.CSafeLoader):  # libyaml reads Flux's 270 kB in a tenth of the time
    """YAML as Kubernetes reads it: a date is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
