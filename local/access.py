"""How clients get into the API server: certificates, kubeconfigs and roles."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from local import files, pki
from local.home import Home
from local.kubeapi import Api

CONTEXT = "saas-in-eks-local"
"""Name of the context in every kubeconfig."""

ADMINISTRATOR = "admin"
ADMINISTRATORS = ("system:masters",)
"""The administrator's user name and groups."""


def authority(home: Home) -> pki.Authority:
    """Who vouches for the servers of the control plane and for their clients."""
    return pki.Authority(home.path / "pki" / "kubernetes")


def connect(home: Home, server: str) -> Api:
    """Requests, as the administrator, to one of the control plane's servers: the name of its port."""
    identity = authority(home).client(ADMINISTRATOR, ADMINISTRATORS)
    return Api.connect(home.port(server), authority(home).certificate, identity)


def administrator(home: Home) -> Api:
    """Requests to the API server as its administrator."""
    return connect(home, "kube-apiserver")


def server_url(home: Home) -> str:
    """Where the API server is."""
    return f"https://127.0.0.1:{home.port('kube-apiserver')}"


def certificate_authority(home: Home) -> str:
    """The certificate, in PEM, that tells the API server from anybody else."""
    return authority(home).certificate.read_text()


def kubeconfig(home: Home, user: str, *, groups: Sequence[str] = (), path: Path | None = None) -> Path:
    """A kubeconfig for a client known as `user` in `groups`, with everything it needs inside; below `kubeconfigs/`
    unless `path` says where."""
    certificate, key = pki.split(authority(home).client(user, groups).read_text())
    credentials = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
    path = path or home.path / "kubeconfigs" / user.replace(":", "_")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_kubeconfig(home, path, user, credentials)
    return path


def write_kubeconfig(home: Home, path: Path, user: str, credentials: Mapping[str, str]) -> None:
    """Write a kubeconfig with the given credentials, unless the file holds them already."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": CONTEXT,
                "cluster": {
                    "server": server_url(home),
                    "certificate-authority-data": _base64(certificate_authority(home)),
                },
            }
        ],
        "users": [{"name": user, "user": dict(credentials)}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
        "current-context": CONTEXT,
    }
    text = yaml.safe_dump(content, sort_keys=False)
    if not path.exists() or path.read_text() != text:
        files.write_atomically(path, text)


def apply_rbac(api: Api, path: Path) -> None:
    """Apply the cluster roles and their bindings in a YAML file."""
    for manifest in yaml.safe_load_all(path.read_text()):
        plural = {"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings"}[manifest["kind"]]
        api.apply(f"/apis/rbac.authorization.k8s.io/v1/{plural}/{manifest['metadata']['name']}", manifest)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
