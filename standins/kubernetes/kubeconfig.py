"""Which API server to talk to, and as whom: kubeconfig files as kubectl reads them."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

_TOKEN_FILE_SECONDS = 60
_EXEC_TIMEOUT_SECONDS = 60


class KubeconfigError(Exception):
    """The kubeconfig names no cluster or no usable credentials; the text says what to change."""


@dataclass
class Cluster:
    """An API server with everything a client needs to reach it."""

    server: str
    namespace: str
    """The context's namespace, `default` if it names none."""
    tls: ssl.SSLContext | None
    proxy: str | None
    server_name: str | None
    user: dict[str, Any]
    folder: Path
    _token: str = ""
    _token_until: float = 0.0
    _headers: dict[str, str] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        """Authorization for the next request; tokens from files and exec plugins are renewed in time.

        Raises KubeconfigError if a token can't be had.
        """
        if self._token_until and time.time() >= self._token_until:
            self._renew()
        return self._headers

    def _accept(self, status: dict[str, Any]) -> None:
        self._token = status.get("token", "")
        expires = status.get("expirationTimestamp")
        # Half a minute early, so that no request is under way when it expires.
        self._token_until = datetime.fromisoformat(expires).timestamp() - 30 if expires else float("inf")
        self._headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _renew(self) -> None:
        if "tokenFile" in self.user:
            path = self.folder / self.user["tokenFile"]
            try:
                self._token = path.read_text().strip()
            except OSError as error:
                raise KubeconfigError(f"the kubeconfig's tokenFile can't be read: {error}") from error
            self._token_until = time.time() + _TOKEN_FILE_SECONDS
            self._headers = {"Authorization": f"Bearer {self._token}"}
        elif "exec" in self.user:
            self._accept(_run_exec_plugin(self.user["exec"], self))


def document(kubeconfig: str, directory: Path) -> tuple[dict[str, Any], Path]:
    """The parsed kubeconfig and the folder that relative paths in it start from.

    `kubeconfig` is a path (relative to `directory`), a document's text, or empty: then KUBECONFIG or ~/.kube/config.
    """
    text = kubeconfig.strip()
    folder = directory
    if "\n" not in text and not text.startswith("{"):
        candidates = [text] if text else [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
        path = directory / Path(candidates[0] if candidates else "~/.kube/config").expanduser()
        if len(candidates) > 1:
            raise KubeconfigError("KUBECONFIG names several files; this provider reads one: set `kubeconfig` to it")
        try:
            text = path.read_text()
        except OSError as error:
            raise KubeconfigError(f"can't read the kubeconfig: {error}; set `kubeconfig` or KUBECONFIG") from error
        folder = path.resolve().parent
    try:
        parsed = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise KubeconfigError(f"the kubeconfig is not YAML: {error}") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("clusters"), list):
        raise KubeconfigError("the kubeconfig lists no clusters: is it a kubeconfig?")
    return parsed, folder


def active_cluster(config: dict[str, Any], context: str = "", cluster: str = "") -> dict[str, Any]:
    """The cluster entry that a context leads to: what identifies the cluster, as far as a kubeconfig can."""
    return _named(config, "cluster", cluster or _context(config, context).get("cluster", ""))


def load(kubeconfig: str, directory: Path, context: str = "", cluster: str = "", namespace: str = "") -> Cluster:
    """The cluster of the current (or given) context. Raises KubeconfigError."""
    config, folder = document(kubeconfig, directory)
    chosen = _context(config, context)
    entry = active_cluster(config, context, cluster)
    user = _named(config, "user", chosen["user"]) if chosen.get("user") else {}
    if "auth-provider" in user:
        raise KubeconfigError("the kubeconfig uses an auth-provider, which Kubernetes removed: use an exec plugin")
    server = entry.get("server")
    if not isinstance(server, str):
        raise KubeconfigError("the kubeconfig's cluster has no server")
    result = Cluster(
        server=server.rstrip("/"),
        namespace=namespace or chosen.get("namespace") or "default",
        tls=None,
        proxy=entry.get("proxy-url"),
        server_name=entry.get("tls-server-name"),
        user=user,
        folder=folder,
    )
    certificate = _bytes(user, "client-certificate", folder), _bytes(user, "client-key", folder)
    if user.get("token"):
        result._token = user["token"]
        result._headers = {"Authorization": f"Bearer {user['token']}"}
    elif "tokenFile" in user:
        result._renew()
    elif "username" in user:
        pair = base64.b64encode(f"{user['username']}:{user.get('password', '')}".encode()).decode()
        result._headers = {"Authorization": f"Basic {pair}"}
    elif "exec" in user:
        status = _run_exec_plugin(user["exec"], result)
        if status.get("clientCertificateData"):
            certificate = status["clientCertificateData"].encode(), status.get("clientKeyData", "").encode()
        result._accept(status)
    if server.startswith("https://"):
        result.tls = _tls(entry, certificate, folder)
    return result


def _context(config: dict[str, Any], name: str) -> dict[str, Any]:
    name = name or config.get("current-context", "")
    if not name:
        raise KubeconfigError("the kubeconfig has no current-context: set the provider's `context`")
    return _named(config, "context", name)


def _named(config: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    for entry in config.get(f"{kind}s") or []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry.get(kind) or {}
    raise KubeconfigError(f"the kubeconfig has no {kind} named {name!r}")


def _bytes(entry: dict[str, Any], key: str, folder: Path) -> bytes | None:
    """What `KEY-data` holds or the file that `KEY` names."""
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"])
    if entry.get(key):
        try:
            return (folder / entry[key]).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"the kubeconfig's {key} can't be read: {error}") from error
    return None


def _tls(entry: dict[str, Any], certificate: tuple[bytes | None, bytes | None], folder: Path) -> ssl.SSLContext:
    authority = _bytes(entry, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if entry.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    chain, key = certificate
    if chain and key:
        # Python reads keys from files only: one that nobody else can read, gone at once.
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(chain + b"\n" + key)
            pem.flush()
            context.load_cert_chain(pem.name)
    return context


def _run_exec_plugin(spec: dict[str, Any], cluster: Cluster) -> dict[str, Any]:
    """Credentials from a program such as `aws eks get-token`: the status of its ExecCredential."""
    version = spec.get("apiVersion", "client.authentication.k8s.io/v1")
    request: dict[str, Any] = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    if spec.get("provideClusterInfo"):
        request["spec"]["cluster"] = {"server": cluster.server}
    environment = dict(os.environ, KUBERNETES_EXEC_INFO=json.dumps(request))
    environment |= {variable["name"]: variable["value"] for variable in spec.get("env") or []}
    command = [spec["command"], *(spec.get("args") or [])]
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_EXEC_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        hint = spec.get("installHint", "")
        raise KubeconfigError(f"the kubeconfig's exec plugin {command[0]!r} did not run: {error} {hint}") from error
    if result.returncode != 0:
        raise KubeconfigError(f"the kubeconfig's exec plugin {command[0]!r} failed: {result.stderr.strip()}")
    try:
        return json.loads(result.stdout)["status"]
    except (ValueError, KeyError) as error:
        raise KubeconfigError(f"the kubeconfig's exec plugin {command[0]!r} answered no ExecCredential") from error
