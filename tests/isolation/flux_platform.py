"""A platform with one neighbour and hostile tenants, set up by `pulumi up`, on which Flux reconciles commits.

All hostile tenants read one repository, each a branch of its own. Flux looks when it is asked to, as by
`flux reconcile`, so that only the attacks keep the controllers busy.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import yaml

from local import agent
from model.config.names import product_namespace
from model.kubernetes.manifests import Manifest
from standins.github import git
from standins.github.store import Store
from tests.isolation import objects as of
from tests.isolation.api import Actor, RequestError
from tests.isolation.attack import NEIGHBOUR, OF_PRODUCT, File, Link, Submodule, product_of
from tests.isolation.tenants import (
    CUSTOMERS,
    ORDINARY,
    ORDINARY_HELM,
    REPOSITORY,
    SAMPLE,
    neighbours_product,
    tenants,
    tenants_file,
)
from tests.isolation.web import FROM_THE_WEB, PATIENCE, Web, serve
from tests.platform import Platform, Stack, eventually
from watchdog.watchdog import REPORTED

KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1"
SOURCES = "/apis/source.toolkit.fluxcd.io/v1"
PATHS = {
    "Kustomization": f"{KUSTOMIZATIONS}/namespaces/{{}}/kustomizations/{{}}",
    "GitRepository": f"{SOURCES}/namespaces/{{}}/gitrepositories/{{}}",
    "HelmRelease": "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{}/helmreleases/{}",
}
DEADLINE, MEMORY = 15, "512Mi"
"""Seconds that a commit may keep a controller computing, and how much memory a controller has."""
WATCHED = (
    *(f"/api/v1/namespaces/{{}}/{kind}" for kind in ("configmaps", "secrets", "services", "serviceaccounts", "pods")),
    *(f"/api/v1/namespaces/{{}}/{kind}" for kind in ("resourcequotas", "limitranges", "persistentvolumeclaims")),
    *(f"/apis/apps/v1/namespaces/{{}}/{kind}" for kind in ("deployments", "replicasets", "statefulsets")),
    *(f"/apis/networking.k8s.io/v1/namespaces/{{}}/{kind}" for kind in ("ingresses", "networkpolicies")),
    *(f"/apis/{of.RBAC}/v1/namespaces/{{}}/{kind}" for kind in ("roles", "rolebindings")),
    f"{SOURCES}/namespaces/{{}}/gitrepositories",
    f"{SOURCES}/namespaces/{{}}/helmcharts",
    f"{KUSTOMIZATIONS}/namespaces/{{}}/kustomizations",
    "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{}/helmreleases",
)
"""Collections that are compared to see whether the neighbour changed."""


@dataclass
class HostilePlatform:
    """The platform and its hostile tenants, for the tests."""

    platform: Platform
    stack: Stack
    folder: Path
    web: str
    """The web server's address."""
    idle: dict[str, queue.Queue[str]] = field(default_factory=dict[str, "queue.Queue[str]"])
    """Hostile tenants without an attack at the moment, by their kinds."""
    branches: set[str] = field(default_factory=set[str])
    """Branches that have a commit."""
    calm: Mapping[str, str] = field(default_factory=dict[str, str])
    """The neighbour as it was before any attack."""
    _actors: threading.local = field(default_factory=threading.local)

    @property
    def received(self) -> list[str]:
        """What was posted to the web server."""
        return Web.received

    @property
    def api(self) -> Actor:
        """The administrator, on a connection of the thread's own."""
        if not hasattr(self._actors, "own"):
            self._actors.own = Actor(self.platform.home)
        return self._actors.own

    def get(self, path: str) -> dict[str, Any] | None:
        """An object or a list; None where there is none."""
        answer = self.api.call("GET", path)
        if answer.code not in (200, 404):
            raise RequestError(f"{path}: {answer.message}")
        return answer.body if answer.ok else None

    # Commits

    def commit(self, branch: str, files: Mapping[str, File | int]) -> str:
        """Commit exactly these files to a branch of the hostile repository; a number is a file of so many zeros.

        Returns the commit.
        """
        bare = self.platform.home.git / "acme" / f"{REPOSITORY}.git"
        # Two processes; a clone, a commit and a push are a dozen.
        stream = [f"commit refs/heads/{branch}\nmark :1\ncommitter Test <test@example.com> {time.time():.0f} +0000\n"]
        stream += [
            "data 8\nA change\n",
            f"from refs/heads/{branch}^0\n" if branch in self.branches else "",
            "deleteall\n",
        ]
        content = ["".join(stream).encode()]
        for name, file in files.items():
            path = name[1:] if name.startswith("/") else f"kustomize/{name}"
            if isinstance(file, Submodule):
                modules = f'[submodule "more"]\n\tpath = {path}\n\turl = {file.url}\n'
                content.append(f"M 160000 {git.branch_tip(bare, file.branch)} {path}\n".encode())
                content += _entry("100644", ".gitmodules", modules.encode())
            elif isinstance(file, Link):
                content += _entry("120000", path, file.target.encode())
            else:
                content += _entry("100644", path, bytes(file) if isinstance(file, int) else file.encode())
        made = git.run(bare, "fast-import", "--quiet", stdin=b"".join([*content, b"get-mark :1\n"]))
        self.branches.add(branch)
        return made.decode().strip()

    # Flux

    def reconcile(self, tenant: str, kind: str = "GitRepository") -> None:
        """Ask Flux to reconcile now. A source with a new revision also triggers its Kustomization."""
        stamp = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": str(time.time_ns())}}}
        path = PATHS[kind].format(self.place(tenant), tenant)
        answer = self.api.call("PATCH", path, stamp, kind="application/merge-patch+json")
        assert answer.ok, answer.message

    @staticmethod
    def place(tenant: str) -> str:
        """The namespace of a tenant's Kustomization and its source."""
        return product_namespace(tenant) if tenants().get(tenant) == OF_PRODUCT else tenant

    def verdict(self, kind: str, namespace: str, name: str) -> tuple[bool, str] | None:
        """Whether a Flux object is ready, and its message; None while it reconciles."""
        found = self.get(PATHS[kind].format(namespace, name))
        if found is None or found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
            return None
        conditions = found["status"].get("conditions", [])
        ready = next((condition for condition in conditions if condition["type"] == "Ready"), None)
        if ready is None or ready["status"] == "Unknown":
            return None
        return ready["status"] == "True", ready["message"]

    def attempted(self, tenant: str, commit: str) -> tuple[bool, str] | None:
        """The verdict of a tenant's Kustomization about a commit; None while it reconciles."""
        found = self.get(PATHS["Kustomization"].format(self.place(tenant), tenant)) or {}
        if not found.get("status", {}).get("lastAttemptedRevision", "").endswith(commit):
            return None
        return self.verdict("Kustomization", self.place(tenant), tenant)

    def applied(self, tenant: str, files: Mapping[str, File]) -> str:
        """Commit and wait until Flux has applied the commit; fails with Flux's message."""
        commit = self.commit(tenant, files)
        self.reconcile(tenant)
        ready, message = self.settled(tenant, commit)
        assert ready, message
        return commit

    def settled(self, tenant: str, commit: str) -> tuple[bool, str]:
        """The verdict of a tenant's Kustomization about a commit; waits for it."""
        verdict = eventually(lambda: self.attempted(tenant, commit), PATIENCE)
        assert verdict is not None
        return verdict

    def ready_with(self, tenant: str, commit: str) -> bool:
        """Whether a tenant becomes ready with a commit; asks Flux again, which waits after an earlier failure."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if verdict := self.attempted(tenant, commit):
                if verdict[0]:
                    return True
                self.reconcile(tenant, "Kustomization")
            time.sleep(0.2)
        return False

    # Messages that controllers report in their logs only

    def log_size(self, controller: str) -> int:
        """The size of a controller's log."""
        return self._log(controller).stat().st_size

    def logged_error(self, controller: str, since: int, *words: str) -> str:
        """The error of the first line with all these words that a controller wrote since then; empty for none."""
        with self._log(controller).open("rb") as log:
            log.seek(since)
            lines = log.read().decode().splitlines()
        found = next((line for line in lines if all(word in line for word in words)), "")
        return str(json.loads(found).get("error", found)) if found else ""

    def _log(self, controller: str) -> Path:
        return self.platform.home.logs / f"{controller}.log"

    # Defences

    def lock_down(self, locked: bool) -> None:
        """Have `pulumi up` switch Flux' lockdown on or off, and wait for the new controllers."""
        before = self._controllers()
        self.stack.configure(fluxLockdown=locked)
        self.stack.up()
        self._wait_for_others_than(before)

    def _controllers(self) -> set[str]:
        """The pods of Flux's controllers."""
        return {pod for pod in agent.programs(self.platform.home) if "-controller-" in pod}

    def _wait_for_others_than(self, before: set[str]) -> None:
        """Wait until each controller has one pod, which is none of these.

        There may have been two or none of one before: the watchdog restarts a controller that an attack holds up.
        """
        deployments = (self.get("/apis/apps/v1/namespaces/flux-system/deployments") or {})["items"]
        names = sorted(name for each in deployments if "-controller" in (name := each["metadata"]["name"]))

        def replaced() -> bool:
            now = self._controllers()
            return not before & now and sorted(map(_deployment, now)) == names

        eventually(replaced, PATIENCE)

    def restart(self) -> None:
        """Restart Flux' controllers, and wait until they run."""
        before = self._controllers()
        self.api.call("DELETE", "/api/v1/namespaces/flux-system/pods")
        self._wait_for_others_than(before)

    # Tenants

    def snapshot(self, namespace: str) -> dict[str, str]:
        """Every object in a namespace, and the namespace: uid and content, without what controllers report."""
        found = {"Namespace": _essence(self.get(f"/api/v1/namespaces/{namespace}") or {})}
        for path in WATCHED:
            listed = self.get(path.format(namespace)) or {"items": []}
            found |= {
                f"{path.rpartition('/')[2]} {item['metadata']['name']}": _essence(item) for item in listed["items"]
            }
        return found

    def touched(self) -> tuple[str, ...]:
        """Objects of the neighbour that differ from before the attacks."""
        now = self.snapshot(NEIGHBOUR)
        return tuple(sorted(key for key in {*now, *self.calm} if now.get(key) != self.calm.get(key)))

    def product(self, tenant: str) -> tuple[str, list[str]]:
        """The news of the tenant's product, and the uids of its objects."""
        paths = ("/api/v1/namespaces/{}/configmaps/news", "/apis/apps/v1/namespaces/{}/deployments/product")
        news, deployment = (self.get(path.format(tenant)) or {} for path in paths)
        uids = [item.get("metadata", {}).get("uid", "") for item in (news, deployment)]
        return news.get("data", {}).get("news", ""), uids


def _deployment(pod: str) -> str:
    return pod.rsplit("-", 2)[0]


def _entry(mode: str, path: str, content: bytes) -> list[bytes]:
    """A file or link for `git fast-import`."""
    return [f"M {mode} inline {path}\ndata {len(content)}\n".encode(), content, b"\n"]


def _essence(found: Mapping[str, Any]) -> str:
    """An object without its status, and without annotations of reconciliation requests and reports."""
    hidden = ("managedFields", "resourceVersion")
    metadata = {key: value for key, value in found.get("metadata", {}).items() if key not in hidden}
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if "requestedAt" not in k and k != REPORTED}
    content = {key: value for key, value in found.items() if key not in ("status", "metadata")}
    return json.dumps([metadata, annotations, content], sort_keys=True)


def _definition(kind: str, plural: str) -> Manifest:
    """A kind of Flux's image controllers, reduced to its name."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    group = "image.toolkit.fluxcd.io"
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    kind_of = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**kind_of, "metadata": {"name": f"{plural}.{group}"}, "spec": spec}


DEFINITIONS = (
    _definition("ImageRepository", "imagerepositories"),
    _definition("ImagePolicy", "imagepolicies"),
    _definition("ImageUpdateAutomation", "imageupdateautomations"),
)


@contextmanager
def running(folder: Path) -> Iterator[HostilePlatform]:
    """A running platform in a folder; stopped when the caller is done."""
    platform = Platform(folder)
    web = serve()
    try:
        platform.start()
        store, person = Store(platform.home.git), git.Person("Hostile team", "hostile@acme.example")

        def first(path: Path) -> None:
            git.commit_files(path, "main", {"README.md": b"Nothing.\n"}, "Start", person, parent=None)

        store.create("acme", REPOSITORY, {"private": False}, default_branch="main", first_commit=first)
        (folder / "clones").mkdir()
        # A controller that takes all memory does so sooner; the watchdog waits long enough for a machine that is busy.
        limited = platform.home.manifest.read_text().replace("memory: 1Gi", f"memory: {MEMORY}")
        (platform.project / "limited.yaml").write_text(limited)
        stack = platform.stack("hostile", fluxManifest="limited.yaml", watchdogDeadline=f"{DEADLINE}s")
        # 0.0.0.0 reaches this machine, and Go does not treat it as loopback, for which it bypasses proxies.
        on = HostilePlatform(platform, stack, folder / "clones", f"http://0.0.0.0:{web.server_port}")
        on.commit(NEIGHBOUR, neighbours_product())
        remote = {"kustomization.yaml": "resources: [base.yaml]\n", "base.yaml": yaml.safe_dump(FROM_THE_WEB)}
        on.commit("elsewhere", remote)
        for name in (ORDINARY, ORDINARY_HELM, *CUSTOMERS, *tenants()):
            on.commit(name, product_of(name, "first"))
        (platform.project / stack.tenants_file).write_text(tenants_file())
        Actor(platform.home).apply(*DEFINITIONS)
        stack.up()
        for name in (NEIGHBOUR, ORDINARY, ORDINARY_HELM, SAMPLE, *CUSTOMERS, *tenants()):
            eventually(lambda name=name: on.verdict("Kustomization", on.place(name), name), PATIENCE)
            assert on.verdict("Kustomization", on.place(name), name) == (True, ANY), name
        for name, kind in tenants().items():
            on.idle.setdefault(kind, queue.Queue()).put(name)
        eventually(lambda: _running(on, NEIGHBOUR), PATIENCE)
        on.calm = on.snapshot(NEIGHBOUR)
        yield on
    finally:
        web.shutdown()
        platform.stop()


def _running(on: HostilePlatform, namespace: str) -> bool:
    pods = (on.get(f"/api/v1/namespaces/{namespace}/pods") or {"items": []})["items"]
    return bool(pods) and all(pod["status"].get("phase") == "Running" for pod in pods)
