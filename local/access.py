"""Access to the API server: client certificates, kubeconfigs and roles."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from local import files, pki
from local.home import Home
from local.kubeapi import Api

CONTEXT = "saas-in-eks-local"
"""The context's name in every kubeconfig."""

ADMINISTRATOR = "admin"
ADMINISTRATORS = ("system:masters",)
"""The administrator's user name and groups."""


def authority(home: Home) -> pki.Authority:
    """The certificate authority of the control plane's servers and their clients."""
    return pki.Authority(home.path / "pki" / "kubernetes")


def connect(home: Home, server: str) -> Api:
    """An administrator's client of one of the control plane's servers, given by the name of its port."""
    identity = authority(home).client(ADMINISTRATOR, ADMINISTRATORS)
    return Api.connect(home.port(server), authority(home).certificate, identity)


def administrator(home: Home) -> Api:
    """An administrator's client of the API server."""
    return connect(home, "kube-apiserver")


def server_url(home: Home) -> str:
    """The API server's URL."""
    return f"https://127.0.0.1:{home.port('kube-apiserver')}"


def certificate_authority(home: Home) -> str:
    """The certificate authority, in PEM, by which clients verify the API server."""
    return authority(home).certificate.read_text()


def kubeconfig(home: Home, user: str, *, groups: Sequence[str] = (), path: Path | None = None) -> Path:
    """Write a self-contained kubeconfig of a user in `groups`; by default below `kubeconfigs/`."""
    certificate, key = pki.split(authority(home).client(user, groups).read_text())
    credentials = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
    path = path or home.path / "kubeconfigs" / user.replace(":", "_")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_kubeconfig(home, path, user, credentials)
    return path


def write_kubeconfig(home: Home, path: Path, user: str, credentials: Mapping[str, str]) -> None:
    """Write a kubeconfig with the given credentials, unless the file has that content already."""
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
    """Apply the ClusterRoles and ClusterRoleBindings of a YAML file."""
    for manifest in yaml.safe_load_all(path.read_text()):
        plural = {"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings"}[manifest["kind"]]
        api.apply(f"/apis/rbac.authorization.k8s.io/v1/{plural}/{manifest['metadata']['name']}", manifest)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
