"""Requests to the API server: by a tenant's service account with a real token, or by the administrator."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from local import access
from local.home import Home
from model.kubernetes.manifests import Manifest

PATCHES = {
    "apply": "application/apply-patch+yaml",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


@dataclass(frozen=True)
class Answer:
    """A response of the API server."""

    code: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.code < 300

    @property
    def message(self) -> str:
        return self.body.get("message", "") if not self.ok else ""


class RequestError(AssertionError):
    """A request that the tests rely on failed."""


class Kinds:
    """Where objects of a kind are, as the API server lists them."""

    def __init__(self, get: Callable[[str], dict[str, Any]]) -> None:
        self._get = get

    @cached_property
    def resources(self) -> list[tuple[str, dict[str, Any]]]:
        """Every resource and subresource that is served, with its group and version."""
        groups = self._get("/apis")["groups"]
        versions = ["v1", *(version["groupVersion"] for group in groups for version in group["versions"])]
        found: list[tuple[str, dict[str, Any]]] = []
        for version in versions:
            listed = self._get(f"/api/{version}" if version == "v1" else f"/apis/{version}")["resources"]
            found += [(version, resource) for resource in listed]
        return found

    @cached_property
    def _paths(self) -> dict[tuple[str, str], tuple[str, bool]]:
        return {
            (version, resource["kind"]): (resource["name"], resource["namespaced"])
            for version, resource in self.resources
            if "/" not in resource["name"]
        }

    def path(self, manifest: Manifest) -> str:
        """The collection that an object belongs to."""
        version = manifest["apiVersion"]
        plural, namespaced = self._paths[version, manifest["kind"]]
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        return f"{root}/namespaces/{manifest['metadata']['namespace']}/{plural}" if namespaced else f"{root}/{plural}"


class Actor:
    """A user of the API server, on a connection of its own."""

    def __init__(self, home: Home, kinds: Kinds | None = None, token: str = "") -> None:
        tls = ssl.create_default_context(cafile=access.authority(home).certificate)
        if not token:
            tls.load_cert_chain(access.authority(home).client(access.ADMINISTRATOR, access.ADMINISTRATORS))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection = http.client.HTTPSConnection("127.0.0.1", home.port("kube-apiserver"), context=tls)
        self.kinds = kinds or Kinds(lambda path: self.call("GET", path).body)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        as_user: str = "",
        **query: str,
    ) -> Answer:
        """Send a request and return its response, successful or not; `as_user` impersonates."""
        content = None if body is None else json.dumps(body)
        where = f"{path}?{urlencode(query)}" if query else path
        headers = {**self._headers, "Content-Type": kind, **({"Impersonate-User": as_user} if as_user else {})}
        response = self._response(method, where, content, headers)
        warnings = tuple(response.headers.get_all("Warning") or ())
        return Answer(response.status, json.loads(response.read() or "{}"), warnings)

    def _response(self, *request: Any) -> http.client.HTTPResponse:
        try:
            self._connection.request(*request)
            return self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLError):
            # The server closes idle connections.
            self._connection.close()
            self._connection.request(*request)
            return self._connection.getresponse()

    def send(
        self,
        verb: str,
        manifest: Manifest,
        subresource: str = "",
        *,
        body: Manifest | list[Manifest] | None = None,
        as_user: str = "",
        dry_run: bool = False,
    ) -> Answer:
        """Send a request about an object.

        Verbs: get, apply, create, update, delete, deletecollection (all objects of its kind), and the patches merge,
        strategic, json. A dry run is refused like the request itself. `body` is sent instead of the object.
        """
        query = {"dryRun": "All"} if dry_run and verb != "get" else {}
        collection = self.kinds.path(manifest)
        single = "/".join(part for part in (collection, manifest["metadata"]["name"], subresource) if part)
        # Options in the body of a deletion hide those of the query.
        options = {**body, "dryRun": ["All"] if dry_run else []} if isinstance(body, dict) else None
        method, path, content = {
            "get": ("GET", single, None),
            "create": ("POST", single if subresource else collection, body or manifest),
            "update": ("PUT", single, body or manifest),
            "delete": ("DELETE", single, options),
            "deletecollection": ("DELETE", collection, None),
        }.get(verb, ("PATCH", single, body or manifest))
        if verb == "apply":
            query |= {"fieldManager": "tests", "force": "true"}
        return self.call(method, path, content, kind=PATCHES.get(verb, "application/json"), as_user=as_user, **query)

    def apply(self, *manifests: Manifest) -> None:
        """Create or change objects to match. Raises RequestError."""
        for manifest in manifests:
            if not (answer := self.send("apply", manifest)).ok:
                raise RequestError(f"{manifest['kind']} {manifest['metadata']['name']}: {answer.message}")

    def token(self, namespace: str, account: str) -> str:
        """A token of a service account, as a pod of it would have. Raises RequestError."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = self.call("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
        if not answer.ok:
            raise RequestError(f"no token of {namespace}/{account}: {answer.message}")
        return answer.body["status"]["token"]
