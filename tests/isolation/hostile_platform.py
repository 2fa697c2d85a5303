"""The platform with hostile tenants, as tests use it: commits, Flux's verdicts about them, the neighbour's objects.

All hostile tenants read one repository, each a branch of its own. Flux looks when it is asked to (as by
`flux reconcile`), so that nothing but the attacks keeps the controllers busy.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.actors import Actor, RequestError
from tests.isolation.hostile import NEIGHBOUR, SECONDS, Link
from tests.isolation.hostile_tenants import REPOSITORY
from tests.isolation.hostile_web import Web
from tests.platform import Platform, Stack, eventually

KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1"
SOURCES = "/apis/source.toolkit.fluxcd.io/v1"
PATHS = {
    "Kustomization": f"{KUSTOMIZATIONS}/namespaces/{{}}/kustomizations/{{}}",
    "GitRepository": f"{SOURCES}/namespaces/{{}}/gitrepositories/{{}}",
    "HelmRelease": "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{}/helmreleases/{}",
}
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
"""What is looked at to tell whether a neighbour was touched."""


@dataclass
class HostilePlatform:
    """The platform as tests use it."""

    platform: Platform
    stack: Stack
    folder: Path
    web: str
    """The web server's address."""
    idle: dict[str, queue.Queue[str]] = field(default_factory=dict[str, "queue.Queue[str]"])
    """Hostile tenants that nobody attacks with at the moment, by their kinds."""
    calm: Mapping[str, str] = field(default_factory=dict[str, str])
    """The neighbour as it was before any attack."""
    space: Sequence[Manifest] = ()
    """Quota and limits of every hostile tenant, as the program made them."""
    _actors: threading.local = field(default_factory=threading.local)

    @property
    def received(self) -> list[str]:
        """What was posted to the web server."""
        return Web.received

    @property
    def api(self) -> Actor:
        """The administrator, on a connection of the thread's own."""
        if not hasattr(self._actors, "one"):
            self._actors.one = Actor(self.platform.home)
        return self._actors.one

    def get(self, path: str) -> dict[str, Any] | None:
        """An object or a list; None where there is none."""
        answer = self.api.call("GET", path)
        if answer.code not in (200, 404):
            raise RequestError(f"{path}: {answer.message}")
        return answer.body if answer.ok else None

    # Commits

    def commit(self, branch: str, files: Mapping[str, str | Link]) -> str:
        """Make a branch of the hostile repository hold these files and nothing else; returns the commit."""
        clone = self.folder / branch
        bare = self.platform.home.git / "acme" / f"{REPOSITORY}.git"
        if not clone.exists():
            self._git(self.folder, "clone", "--quiet", "--no-local", str(bare), str(clone))
            self._git(clone, "switch", "--quiet", "--orphan", branch)
        self._git(clone, "rm", "-rfq", "--ignore-unmatch", ".")
        for name, content in files.items():
            path = clone / (name[1:] if name.startswith("/") else f"kustomize/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Link):
                path.symlink_to(content.target)
            else:
                path.write_text(content)
        self._git(clone, "add", "--all")
        self._git(clone, "commit", "--quiet", "--allow-empty", "--message", "A change")
        self._git(clone, "push", "--quiet", "--force", "origin", f"HEAD:{branch}")
        return self._git(clone, "rev-parse", "HEAD").strip()

    def _git(self, folder: Path, *arguments: str) -> str:
        done = self.platform.git(*arguments, folder=folder)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    # Flux

    def reconcile(self, tenant: str, kind: str = "GitRepository") -> None:
        """Ask Flux to look now. A source that has something new makes its Kustomization look too."""
        stamp = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": str(time.time_ns())}}}
        path = PATHS[kind].format(tenant, tenant)
        answer = self.api.call("PATCH", path, stamp, kind="application/merge-patch+json")
        assert answer.ok, answer.message

    def verdict(self, kind: str, namespace: str, name: str) -> tuple[bool, str] | None:
        """Whether an object of Flux is ready, and what it says about it; None while it is at work."""
        found = self.get(PATHS[kind].format(namespace, name))
        if found is None or found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
            return None
        conditions = found["status"].get("conditions", [])
        ready = next((one for one in conditions if one["type"] == "Ready"), None)
        if ready is None or ready["status"] == "Unknown":
            return None
        return ready["status"] == "True", ready["message"]

    def attempted(self, tenant: str, commit: str) -> tuple[bool, str] | None:
        """The verdict of a tenant's Kustomization about a commit; None while there is none."""
        found = self.get(PATHS["Kustomization"].format(tenant, tenant)) or {}
        if not found.get("status", {}).get("lastAttemptedRevision", "").endswith(commit):
            return None
        return self.verdict("Kustomization", tenant, tenant)

    def applied(self, tenant: str, files: Mapping[str, str | Link]) -> str:
        """Have a commit applied; fails with Flux's words where it is not."""
        commit = self.commit(tenant, files)
        self.reconcile(tenant)
        ready, message = self.settled(tenant, commit)
        assert ready, message
        return commit

    def settled(self, tenant: str, commit: str) -> tuple[bool, str]:
        """The verdict of a tenant's Kustomization about a commit, as soon as there is one."""
        verdict = eventually(lambda: self.attempted(tenant, commit), SECONDS)
        assert verdict is not None
        return verdict

    def ready_with(self, tenant: str, commit: str) -> bool:
        """Whether a tenant gets ready with a commit; Flux is asked again where an earlier failure had it wait."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if verdict := self.attempted(tenant, commit):
                if verdict[0]:
                    return True
                self.reconcile(tenant, "Kustomization")
            time.sleep(0.2)
        return False

    # What controllers report nowhere but in their logs

    def log_size(self, controller: str) -> int:
        """How much a controller has written until now."""
        return self._log(controller).stat().st_size

    def logged_error(self, controller: str, since: int, *words: str) -> str:
        """The error of the first line with all these words that a controller wrote since then; empty for none."""
        lines = self._log(controller).read_bytes()[since:].decode().splitlines()
        found = next((line for line in lines if all(word in line for word in words)), "")
        return str(json.loads(found).get("error", found)) if found else ""

    def _log(self, controller: str) -> Path:
        return self.platform.home.logs / f"{controller}.log"

    # Tenants

    def snapshot(self, namespace: str) -> dict[str, str]:
        """Every object in a namespace, and the namespace: uid and content, without what controllers report."""
        found = {"Namespace": _essence(self.get(f"/api/v1/namespaces/{namespace}") or {})}
        for path in WATCHED:
            listed = self.get(path.format(namespace)) or {"items": []}
            found |= {f"{path.rpartition('/')[2]} {one['metadata']['name']}": _essence(one) for one in listed["items"]}
        return found

    def touched(self) -> tuple[str, ...]:
        """What of the neighbour is not as it was before any attack."""
        now = self.snapshot(NEIGHBOUR)
        return tuple(sorted(key for key in {*now, *self.calm} if now.get(key) != self.calm.get(key)))

    def product(self, tenant: str) -> tuple[str, list[str]]:
        """What the tenant's product tells, and the uids of its objects."""
        paths = ("/api/v1/namespaces/{}/configmaps/news", "/apis/apps/v1/namespaces/{}/deployments/product")
        news, deployment = (self.get(path.format(tenant)) or {} for path in paths)
        uids = [one.get("metadata", {}).get("uid", "") for one in (news, deployment)]
        return news.get("data", {}).get("news", ""), uids


def _essence(found: Mapping[str, Any]) -> str:
    """An object without what its controllers report, and without the requests to look at it."""
    hidden = ("managedFields", "resourceVersion")
    metadata = {key: value for key, value in found.get("metadata", {}).items() if key not in hidden}
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if "requestedAt" not in k}
    content = {key: value for key, value in found.items() if key not in ("status", "metadata")}
    return json.dumps([metadata, annotations, content], sort_keys=True)
