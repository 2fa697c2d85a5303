"""Flux's objects, whose controllers may do more than the tenant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import ADMIN, CLUSTER_ADMIN, NEIGHBOUR, TAKE_OUT, WIDE, Attack, by_policy


def kustomization(namespace: str, **changes: Any) -> Manifest:
    """A Kustomization that acts as Flux's controller wherever it is not locked down."""
    source = {"kind": "GitRepository", "name": NEIGHBOUR, "namespace": NEIGHBOUR}
    spec = {"interval": "1m", "prune": True, "sourceRef": source, "path": "./", **changes}
    return of.make("Kustomization", namespace, version=f"kustomize.{of.FLUX}/v1", spec=spec)


def git_repository(namespace: str) -> Manifest:
    """A repository of the tenant's choice, outside what the platform team reviewed."""
    spec = {"interval": "1m", "url": "https://github.com/evil/product", "ref": {"branch": "main"}}
    return of.make("GitRepository", namespace, version=f"source.{of.FLUX}/v1", spec=spec)


def flux() -> Iterator[Attack]:
    """What feeds tenants, and what Helm would do for them."""
    flux = (by_policy("flux"),)
    alert = {"type": "generic", "address": "http://source-controller.flux-system.svc/"}
    provider = of.make("Provider", ADMIN, version=f"notification.{of.FLUX}/v1beta3", spec=alert)
    for what, manifest in (
        ("a Kustomization of its own", kustomization(ADMIN)),
        ("a GitRepository of its own", git_repository(ADMIN)),
        ("a Provider, to send requests from inside", provider),
    ):
        yield Attack(f"a tenant makes {what}", flux, "are the platform's. Take this out", manifest, ADMIN)
    mine = kustomization(ADMIN)
    mine["metadata"]["name"] = ADMIN
    widened = {**mine, "spec": {"targetNamespace": NEIGHBOUR}}
    both = (*flux, by_policy("platform-objects"))
    yield Attack("its Kustomization gets another target", both, TAKE_OUT, widened, ADMIN, "merge")
    yield Attack("its Kustomization is deleted", both, TAKE_OUT, mine, ADMIN, "delete")
    yield Attack("all its Kustomizations are deleted at once", both, TAKE_OUT, mine, ADMIN, "deletecollection")
    yield Attack("a tenant without Helm makes a release", flux, "this tenant has no Helm", of.release(ADMIN), ADMIN)
    artifact = {"artifact": {"url": "http://169.254.169.254/", "path": "x", "revision": "x", "lastUpdateTime": "x"}}
    published = of.oci_repository(CLUSTER_ADMIN)
    published["metadata"]["name"] = "published"
    artifact["artifact"] |= {"digest": "sha256:" + "0" * 64, "lastUpdateTime": "2026-01-01T00:00:00Z"}
    yield Attack(
        "a source pretends to have fetched what it names",
        flux,
        "are the platform's. Take this out",
        {**published, "spec": {}, "status": artifact},
        CLUSTER_ADMIN,
        "merge",
        "status",
        given=(published,),
    )

    def releases(name: str, reason: str, **changes: Any) -> Attack:
        return Attack(f"a release {name}", (by_policy("releases"),), reason, of.release(WIDE, **changes), WIDE)

    def chart(**source: str) -> Manifest:
        return {"spec": {"chart": "x", "sourceRef": {"kind": "HelmRepository", "name": "product", **source}}}

    reason = "keeps others' from being looked at"
    yield releases("is waited for all day", reason, timeout="24h")
    yield releases("is waited for all day when it is upgraded", reason, upgrade={"timeout": "1500m"})
    reason = "looking all the time keeps"
    yield releases("is looked at all the time", reason, interval="1s")
    often = {"spec": {"chart": "x", "interval": "1s", "sourceRef": {"kind": "HelmRepository", "name": "product"}}}
    yield releases("has its chart looked for all the time", reason, chart=often)
    yield releases("acts as Flux's controller", "Write spec.serviceAccountName: wide", serviceAccountName=None)
    outside = {"secretRef": {"name": "elsewhere"}}
    yield releases("goes into another cluster", "goes into this cluster", kubeConfig=outside)
    for key in ("targetNamespace", "storageNamespace"):
        yield releases(f"has a neighbour's {key}", "goes into the tenant's namespace", **{key: NEIGHBOUR})
    reason = "a release refers to another namespace"
    yield releases("takes a neighbour's source", reason, chart=chart(namespace=NEIGHBOUR))
    reference = {"kind": "OCIRepository", "name": "product", "namespace": NEIGHBOUR}
    yield releases("takes a neighbour's chart", reason, chart=None, chartRef=reference)
    yield releases("waits for a neighbour's", reason, dependsOn=[{"name": "x", "namespace": NEIGHBOUR}])

    def source(name: str, reason: str, *, build: Any = of.chart_repository, **changes: Any) -> Attack:
        return Attack(f"charts come {name}", (by_policy("chart-sources"),), reason, build(WIDE, **changes), WIDE)

    for build in (of.chart_repository, of.oci_repository):
        kind = build.__name__.replace("_", " ")
        changes = {"type": "oci", "url": "oci://ghcr.io/x"} if build is of.chart_repository else {}
        reason = "with the platform's own rights"
        yield source(f"with Flux's own AWS role ({kind})", reason, build=build, provider="aws", **changes)
        yield source(f"unencrypted ({kind})", "charts come by https", build=build, insecure=True, **changes)
        reason = "or asked all the time"
        yield source(f"from a silent server ({kind})", reason, build=build, timeout="60m", **changes)
        yield source(
            f"from a server that is asked all the time ({kind})", reason, build=build, interval="1s", **changes
        )
    yield source("by http", "charts come by https", url="http://charts.example.com/")
    for host in (
        "169.254.169.254",
        "2852039166",
        "[fd00:ec2::254]",
        "source-controller.flux-system.svc.cluster.local",
        "source-controller.flux-system",
        "localhost:9090",
        "user@10.0.0.1",
    ):
        yield source(f"from {host}", "from a host outside the cluster", url=f"https://{host}/charts")
    yield source(
        "through a proxy",
        "whatever the proxy's Secret names",
        build=of.oci_repository,
        proxySecretRef={"name": "proxy"},
    )
