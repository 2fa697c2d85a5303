"""Attacks by Flux objects, whose controllers have more rights than the tenant, and on the tenant's own source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import ADMIN, CLUSTER_ADMIN, FORBIDDEN, NEIGHBOUR, OWN, TAKE_OUT, Attack, commit, request
from tests.isolation.defences import ADMISSION, ROLE, admission_policy


def kustomization(namespace: str, **changes: Any) -> Manifest:
    """A Kustomization that is applied with the controller's rights, unless Flux is locked down."""
    source = {"kind": "GitRepository", "name": NEIGHBOUR, "namespace": NEIGHBOUR}
    spec = {"interval": "1m", "prune": True, "sourceRef": source, "path": "./", **changes}
    return of.make("Kustomization", namespace, version=f"kustomize.{of.FLUX}/v1", spec=spec)


def git_repository(namespace: str) -> Manifest:
    """A repository that the tenant chose and the platform team has not reviewed."""
    spec = {"interval": "1m", "url": "https://github.com/evil/product", "ref": {"branch": "main"}}
    return of.make("GitRepository", namespace, version=f"source.{of.FLUX}/v1", spec=spec)


def flux() -> Iterator[Attack]:
    """Sources and Kustomizations of tenants, and Helm's objects."""
    flux = (admission_policy("flux"),)
    alert = {"type": "generic", "address": "http://source-controller.flux-system.svc/"}
    provider = of.make("Provider", ADMIN, version=f"notification.{of.FLUX}/v1beta3", spec=alert)
    for what, manifest in (
        ("a Kustomization of its own", kustomization(ADMIN)),
        ("a GitRepository of its own", git_repository(ADMIN)),
        ("a Provider, to send requests from inside", provider),
    ):
        yield request(f"a tenant makes {what}", flux, "are the platform's. Take this out", manifest, ADMIN)
    mine = kustomization(ADMIN)
    mine["metadata"]["name"] = ADMIN
    widened = {**mine, "spec": {"targetNamespace": NEIGHBOUR}}
    both = (*flux, admission_policy("platform-objects"))
    yield request("its Kustomization gets another target", both, TAKE_OUT, widened, ADMIN, "merge")
    yield request("its Kustomization is deleted", both, TAKE_OUT, mine, ADMIN, "delete")
    yield request("all its Kustomizations are deleted at once", both, TAKE_OUT, mine, ADMIN, "deletecollection")
    yield request("a tenant without Helm makes a release", flux, "this tenant has no Helm", of.release(ADMIN), ADMIN)
    artifact = {"artifact": {"url": "http://169.254.169.254/", "path": "x", "revision": "x", "lastUpdateTime": "x"}}
    published = of.oci_repository(CLUSTER_ADMIN)
    published["metadata"]["name"] = "published"
    artifact["artifact"] |= {"digest": "sha256:" + "0" * 64, "lastUpdateTime": "2026-01-01T00:00:00Z"}
    yield request(
        "a source pretends to have fetched what it names",
        flux,
        "are the platform's. Take this out",
        {**published, "spec": {}, "status": artifact},
        CLUSTER_ADMIN,
        "merge",
        "status",
        given=(published,),
    )


PROMISE = "A tenant cannot make Flux's controllers, which may do more than it may, work for it."


def made(kind: str, group: str, version: str, **spec: Any) -> Manifest:
    return of.make(kind, OWN, version=f"{group}.{of.FLUX}/{version}", name="attack", spec=spec)


def own_kustomization(**changes: Any) -> Manifest:
    """A Kustomization of a folder in the tenant's own repository, unless changed."""
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
"""The folder that this Kustomization applies."""


def neighbours(kind: str) -> dict[str, str]:
    """A reference to the neighbour's object of a kind."""
    return {"kind": kind, "name": NEIGHBOUR, "namespace": NEIGHBOUR}


def _kinds() -> Iterator[tuple[str, Manifest]]:
    """An object of each kind of Flux, with a reference to a secret or source."""
    secret = {"name": "credentials"}
    source = {"interval": "1h", "secretRef": secret}
    yield "Kustomization", own_kustomization(sourceRef=neighbours("GitRepository"), serviceAccountName=None)
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
    release = {"interval": "1h", "serviceAccountName": OWN, "chart": template, **of.NO_SCHEMAS}
    yield "HelmRelease", made("HelmRelease", "helm", "v2", **release)
    events = [{"kind": "Kustomization", "name": "*", "namespace": NEIGHBOUR}]
    alert = {"providerRef": {"name": "attack"}, "eventSources": events}
    yield "Alert", made("Alert", "notification", "v1beta3", **alert)
    address = "http://source-controller.flux-system.svc/"
    yield "Provider", made("Provider", "notification", "v1beta3", type="generic", address=address)
    receiver = {"type": "generic", "secretRef": secret, "resources": [neighbours("GitRepository")]}
    yield "Receiver", made("Receiver", "notification", "v1", **receiver)
    # The image controllers are not installed here, but their CRDs are.
    images = {"image": "ghcr.io/acme/product", "interval": "1h", "secretRef": secret, "provider": "aws"}
    yield "ImageRepository", made("ImageRepository", "image", "v1", **images)
    policy = {"imageRepositoryRef": {"name": NEIGHBOUR, "namespace": NEIGHBOUR}}
    yield "ImagePolicy", made("ImagePolicy", "image", "v1", **policy)
    automation = {"sourceRef": neighbours("GitRepository"), "interval": "1h"}
    yield "ImageUpdateAutomation", made("ImageUpdateAutomation", "image", "v1", **automation)


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "AEIO" else f"a {kind}"


def commits() -> Iterator[Attack]:
    """Commits with an object of each kind of Flux, and with the tenant's own source."""
    policy = "admission: saas-tenant-flux"
    for kind, manifest in _kinds():
        yield commit(
            f"a commit holds {_a(kind)}",
            PROMISE,
            FORBIDDEN,
            f"{ROLE}; {policy}",
            ADMISSION | {ROLE},
            objects=(manifest,),
        )
        charts = kind in ("HelmRelease", "HelmChart", "HelmRepository", "OCIRepository")
        yield commit(
            f"a commit holds {_a(kind)}, by the role admin",
            PROMISE,
            "this tenant has no Helm" if charts else "are the platform's. Take this out",
            policy,
            ADMISSION,
            tenant=ADMIN,
            objects=(manifest,),
        )
    mine = own_kustomization(targetNamespace=NEIGHBOUR, path="./kustomize")
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
        yield commit(what, promise, FORBIDDEN, f"{ROLE}; {policy}", objects=(changed,))
        name = f"{what}, by the role admin"
        yield commit(name, promise, "the platform's. Take", policy, tenant=ADMIN, objects=(changed,))


ATTACKS = (*flux(), *commits())
