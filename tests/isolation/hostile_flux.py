"""Flux's own objects that a hostile tenant commits: one of every kind, and those that feed it.

The default role may make none of them, and an admission policy refuses them to every role.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.hostile import ADMIN, ADMISSION, FORBIDDEN, NEIGHBOUR, OWN, RBAC, Attack

PROMISE = "A tenant cannot make Flux's controllers, which may do more than it may, work for it."


def made(kind: str, group: str, version: str, **spec: Any) -> Manifest:
    return of.make(kind, OWN, version=f"{group}.{of.FLUX}/{version}", name="attack", spec=spec)


def kustomization(**changes: Any) -> Manifest:
    """Applies a folder of the tenant's own repository, unless changed."""
    spec = {
        "interval": "1h",
        "timeout": "5s",
        "prune": True,
        "path": "./more",
        "serviceAccountName": OWN,
        "sourceRef": {"kind": "GitRepository", "name": OWN},
        **changes,
    }
    return made("Kustomization", "kustomize", "v1", **{key: value for key, value in spec.items() if value is not None})


MORE = {"/more/more.yaml": f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: more, namespace: {OWN}}}\n"}
"""The folder that such a Kustomization applies."""


def neighbours(kind: str) -> dict[str, str]:
    """How an object refers to the neighbour's, of the neighbour's name."""
    return {"kind": kind, "name": NEIGHBOUR, "namespace": NEIGHBOUR}


def _kinds() -> Iterator[tuple[str, Manifest]]:
    """One object of each kind."""
    secret = {"name": "credentials"}
    source = {"interval": "1h", "secretRef": secret}
    yield "Kustomization", kustomization(sourceRef=neighbours("GitRepository"), serviceAccountName=None)
    yield "GitRepository", made("GitRepository", "source", "v1", url="https://github.com/acme/hostile", **source)
    endpoint = {"endpoint": "169.254.169.254", "bucketName": "neighbour", "provider": "aws", "interval": "1h"}
    yield "Bucket", made("Bucket", "source", "v1", **endpoint)
    oci = {"url": "oci://ghcr.io/acme/product", **source}
    yield "OCIRepository", made("OCIRepository", "source", "v1", **oci)
    yield "HelmRepository", made("HelmRepository", "source", "v1", url="https://charts.example.com", **source)
    chart = {"chart": "x", "sourceRef": {"kind": "GitRepository", "name": OWN}, "interval": "1h"}
    yield "HelmChart", made("HelmChart", "source", "v1", **chart)
    artifact = {"sourceRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "namespace": NEIGHBOUR}}
    yield "ExternalArtifact", made("ExternalArtifact", "source", "v1", **artifact)
    template = {"spec": {"chart": "x", "sourceRef": {"kind": "GitRepository", "name": OWN}}}
    release = {"interval": "1h", "serviceAccountName": OWN, "chart": template}
    yield "HelmRelease", made("HelmRelease", "helm", "v2", **release)
    events = [{"kind": "Kustomization", "name": "*", "namespace": NEIGHBOUR}]
    alert = {"providerRef": {"name": "attack"}, "eventSources": events}
    yield "Alert", made("Alert", "notification", "v1beta3", **alert)
    address = "http://source-controller.flux-system.svc/"
    yield "Provider", made("Provider", "notification", "v1beta3", type="generic", address=address)
    receiver = {"type": "generic", "secretRef": secret, "resources": [neighbours("GitRepository")]}
    yield "Receiver", made("Receiver", "notification", "v1", **receiver)
    # Their controllers are not part of the platform here; their definitions are.
    images = {"image": "ghcr.io/acme/product", "interval": "1h", "secretRef": secret, "provider": "aws"}
    yield "ImageRepository", made("ImageRepository", "image", "v1", **images)
    policy = {"imageRepositoryRef": {"name": NEIGHBOUR, "namespace": NEIGHBOUR}}
    yield "ImagePolicy", made("ImagePolicy", "image", "v1", **policy)
    automation = {"sourceRef": neighbours("GitRepository"), "interval": "1h"}
    yield "ImageUpdateAutomation", made("ImageUpdateAutomation", "image", "v1", **automation)


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "AEIO" else f"a {kind}"


def _made_by_tenants() -> Iterator[Attack]:
    policy = "admission: saas-tenant-flux"
    for kind, manifest in _kinds():
        yield Attack(
            f"a commit holds {_a(kind)}",
            PROMISE,
            FORBIDDEN,
            f"{RBAC}; {policy}",
            frozenset({RBAC, ADMISSION}),
            objects=(manifest,),
        )
        charts = kind in ("HelmRelease", "HelmChart", "HelmRepository", "OCIRepository")
        yield Attack(
            f"a commit holds {_a(kind)}, by the role admin",
            PROMISE,
            "this tenant has no Helm" if charts else "are the platform's. Take this out",
            policy,
            frozenset({ADMISSION}),
            tenant=ADMIN,
            objects=(manifest,),
        )
    mine = kustomization(targetNamespace=NEIGHBOUR, path="./kustomize")
    mine["metadata"]["name"] = OWN
    for what, changed in (
        ("its own Kustomization gets another target", mine),
        (
            "its own source becomes another",
            {
                **made("GitRepository", "source", "v1", interval="1h", url="https://github.com/acme/product"),
                "metadata": {"name": OWN, "namespace": OWN},
            },
        ),
    ):
        promise = "A tenant cannot widen what feeds it."
        yield Attack(what, promise, FORBIDDEN, f"{RBAC}; {policy}", objects=(changed,))
        name = f"{what}, by the role admin"
        yield Attack(name, promise, "the platform's. Take", policy, tenant=ADMIN, objects=(changed,))


ATTACKS = tuple(_made_by_tenants())
