"""Attacks by Helm, where the tier allows it: releases, sources of charts, and charts in the product's repository."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from model.kubernetes.manifests import OWNER_LABEL, PLATFORM, Manifest
from tests.isolation import objects as of
from tests.isolation.attack import (
    FORBIDDEN,
    HELM,
    NEIGHBOUR,
    OWN,
    SCHEMA_FILE,
    THEIRS,
    WEB,
    WIDE,
    Attack,
    commit,
    request,
)
from tests.isolation.defences import ADMISSION, LOCKDOWN, ROLE, admission_policy

FIELDS = "A tenant's HelmRelease acts as an account of the tenant, in its namespace, with its own charts."
CONTENT = "A chart brings nothing that its tenant could not commit itself."
AT = "HelmRelease attack"
GONE = ADMISSION

CHART = {
    "/chart/Chart.yaml": "apiVersion: v2\nname: attack\nversion: 1.0.0\n",
    "/chart/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: attack-chart}\n",
}


def release(**changes: Any) -> Manifest:
    """A release of the chart in the tenant's repository, unless changed."""
    source = {"kind": "GitRepository", "name": OWN}
    # The chart's content changes, its version does not.
    chart = {"spec": {"chart": "./chart", "sourceRef": source, "reconcileStrategy": "Revision", "interval": "1h"}}
    spec: dict[str, Any] = {
        "interval": "1h",
        "timeout": "10s",
        "serviceAccountName": OWN,
        "chart": chart,
        "install": {"disableWait": True, "disableSchemaValidation": True},
        "upgrade": {"disableWait": True, "disableSchemaValidation": True},
        "uninstall": {"disableWait": True},
        **changes,
    }
    spec = {key: value for key, value in spec.items() if value is not None}
    return of.make("HelmRelease", OWN, version=f"helm.{of.FLUX}/v2", name="attack", spec=spec)


def _template(chart: Mapping[str, Any]) -> dict[str, Any]:
    source = {"kind": "GitRepository", "name": NEIGHBOUR, "namespace": NEIGHBOUR}
    return {"spec": {"chart": "./chart", "sourceRef": source, "interval": "1h", **chart}}


def _fields() -> Iterator[Attack]:
    reference = {"name": "attack", "namespace": NEIGHBOUR}
    refers, reference_flag = "a release refers to another namespace", "Flux: --no-cross-namespace-refs"
    blocked = "cross-namespace references are not allowed"
    both = GONE | {LOCKDOWN}
    own = f"system:serviceaccount:{OWN}:"
    outside = {"secretRef": {"name": "kubeconfig"}}
    for what, reason, changes, second, defence, away in (
        ("takes its chart from a neighbour's source", refers, {"chart": _template({})}, blocked, reference_flag, both),
        (
            "takes a neighbour's chart",
            refers,
            {"chart": None, "chartRef": {"kind": "HelmChart", **reference}},
            blocked,
            reference_flag,
            frozenset[str](),
        ),
        (
            "takes a neighbour's chart from a registry",
            refers,
            {"chart": None, "chartRef": {"kind": "OCIRepository", **reference}},
            blocked,
            reference_flag,
            frozenset[str](),
        ),
        (
            "names no account, to act as Flux itself",
            "names no account to act as",
            {"serviceAccountName": None},
            f'User "{own}default" cannot',
            "Flux: --default-service-account",
            both,
        ),
        (
            "goes into a neighbour's namespace",
            "goes into the tenant's namespace",
            {"targetNamespace": NEIGHBOUR},
            f'User "{own}{OWN}" cannot',
            ROLE,
            GONE | {ROLE},
        ),
        (
            "keeps its state in a neighbour's namespace",
            "goes into the tenant's namespace",
            {"storageNamespace": NEIGHBOUR},
            f'User "{own}{OWN}" cannot',
            ROLE,
            GONE | {ROLE},
        ),
        (
            "goes where a kubeconfig leads",
            "a release of a tenant goes into this cluster",
            {"kubeConfig": outside},
            "",
            "",
            frozenset[str](),
        ),
        (
            "waits for a neighbour's release",
            refers,
            {"dependsOn": [reference]},
            "",
            "",
            frozenset[str](),
        ),
    ):
        policy = "admission: saas-tenant-releases"
        manifest = release(**changes)
        yield _of(f"a release {what}", FIELDS, reason, policy, GONE, manifest, seen_at="Kustomization")
        if second:
            name = f"a release {what}, and no admission policy is there"
            yield _of(name, FIELDS, second, defence, away, manifest, despite=GONE)
    yield _of(
        "a release acts as an account of the neighbour's name",
        FIELDS,
        f'User "{own}{NEIGHBOUR}" cannot',
        "Flux: an account is looked for in the release's own namespace",
        frozenset({ROLE}),
        release(serviceAccountName=NEIGHBOUR),
    )
    for what, changes in (
        ("values of a neighbour's Secret", {"valuesFrom": [{"kind": "Secret", **reference}]}),
        ("a neighbour's kubeconfig", {"kubeConfig": {"secretRef": reference}}),
    ):
        definition = "Kubernetes: the definition has no field for another namespace"
        yield _of(
            f"a release takes {what}",
            FIELDS,
            "field not declared in schema",
            definition,
            frozenset(),
            release(**changes),
            seen_at="Kustomization",
        )
    promise = (
        "Where a tenant's charts come from is outside the cluster, and is told none of the platform's credentials."
    )
    chart_sources = "admission: saas-tenant-chart-sources"
    for what, reason, manifest in (
        (
            "lie on a server inside the cluster",
            "from a host outside the cluster",
            of.chart_repository(OWN, url="https://source-controller.flux-system.svc.cluster.local/"),
        ),
        (
            "are fetched with Flux's own AWS role",
            "with the platform's own rights",
            of.oci_repository(OWN, provider="aws"),
        ),
    ):
        yield _of(
            f"charts {what}", promise, reason, chart_sources, GONE, of.evil(manifest), seen_at="Kustomization", files={}
        )


def _contents() -> Iterator[Attack]:
    foreign = of.make("ConfigMap", NEIGHBOUR, name="attack", data={"x": "y"})
    role = of.cluster_wide("ClusterRole", f"{of.RBAC}/v1", name=f"attack-{OWN}", rules=[of.EVERYTHING])
    mounts = of.attacking_pods(OWN, volumes=[{"name": "node", "hostPath": {"path": "/"}}])
    theirs = of.evil(of.ingress(OWN, f"{NEIGHBOUR}.example.com"))
    binding = of.evil(of.role_binding(OWN, cluster_role="cluster-admin"))
    quota = of.make("ResourceQuota", OWN, name="attack", spec={"hard": {"pods": "100000"}})
    only_rbac = frozenset({ROLE})
    for what, reason, defence, away, manifest in (
        ("an object for a neighbour's namespace", FORBIDDEN, ROLE, only_rbac, foreign),
        ("a ClusterRole", FORBIDDEN, ROLE, only_rbac, role),
        ("a RoleBinding to cluster-admin", "not currently held", ROLE, only_rbac, binding),
        ("a quota", FORBIDDEN, f"{ROLE}; admission: saas-tenant-managed-kinds", only_rbac | GONE, quota),
        ("a Deployment with the node's root", "hostPath volumes are", "admission: saas-tenant-nodes", GONE, mounts),
        ("an Ingress with a neighbour's host", "not host names", "admission: saas-tenant-hosts", GONE, theirs),
    ):
        files = {"/chart/templates/attack.yaml": yaml.safe_dump(manifest)}
        yield _of(f"a chart holds {what}", CONTENT, reason, defence, away, release(), files=files)
    names = {"plural": "charts", "singular": "chart", "kind": "Chart"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    definition = of.cluster_wide(
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        name="charts.attack.example.com",
        spec={"group": "attack.example.com", "names": names, "scope": "Cluster", "versions": [version]},
    )
    files = {"/chart/crds/attack.yaml": yaml.safe_dump(definition)}
    yield _of("a chart defines a kind", CONTENT, "is forbidden", ROLE, only_rbac, release(), files=files)
    lookup = '{{ (lookup "v1" "Secret" "neighbour" "credentials").data | toJson }}'
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: attack}}\ndata:\n  stolen: {lookup!r}\n"
    yield _of(
        "a chart looks up a neighbour's Secret",
        CONTENT,
        "is forbidden",
        ROLE,
        only_rbac,
        release(),
        files={"/chart/templates/attack.yaml": text},
    )
    patch = [{"op": "add", "path": "/metadata/namespace", "value": NEIGHBOUR}]
    patches = [{"patch": yaml.safe_dump(patch), "target": {"kind": "ConfigMap"}}]
    yield _of(
        "a post-renderer moves an object to a neighbour",
        CONTENT,
        FORBIDDEN,
        ROLE,
        only_rbac,
        release(postRenderers=[{"kustomize": {"patches": patches}}]),
    )
    needs = yaml.safe_dump({"dependencies": [{"name": "more", "version": "1.0.0", "repository": f"{WEB}/charts"}]})
    yield _of(
        "a chart depends on what a server in the cluster has",
        "Flux fetches nothing for a tenant from inside the cluster.",
        "proxyconnect",
        "Flux: source-controller's proxy, which is not there",
        frozenset({LOCKDOWN}),
        release(),
        files={"/chart/Chart.yaml": CHART["/chart/Chart.yaml"] + needs},
        proof=f"/api/v1/namespaces/{OWN}/configmaps/from-the-web",
    )
    yield from _schemas()
    yield from _labels()
    hook = {"helm.sh/hook": "pre-install,pre-upgrade"}
    job = of.evil(of.job(OWN, volumes=[{"name": "node", "hostPath": {"path": "/"}}]))
    job["metadata"]["annotations"] = hook
    yield _of(
        "a chart's hook mounts the node's root",
        CONTENT,
        "hostPath volumes are",
        "admission: saas-tenant-nodes",
        frozenset(),
        release(),
        files={"/chart/templates/attack.yaml": yaml.safe_dump(job)},
    )


def _schemas() -> Iterator[Attack]:
    """A chart's values.schema.json, whose references Helm follows before it renders anything."""
    promise = "What a chart refers to makes Flux neither send a request nor open a file."
    checked = release(install={"disableWait": True}, upgrade={"disableWait": True})
    proof = f"/api/v1/namespaces/{OWN}/configmaps/attack-chart"
    asks, off = f"{WEB}/schema.json", GONE | {LOCKDOWN}
    for what, reference, away in (("asks a server in the cluster", asks, off), ("opens a file", SCHEMA_FILE, GONE)):
        files = {"/chart/values.schema.json": json.dumps({"properties": {"x": {"$ref": reference}}})}
        yield _of(
            f"a chart's schema {what}",
            promise,
            "a chart's values.schema.json makes Flux read files and URLs",
            "admission: saas-tenant-releases",
            away,
            checked,
            files=files,
            seen_at="Kustomization",
            proof=proof,
        )
    for what, reference, away in (
        ("asks a server in the cluster", asks, off),
        ("asks source-controller for a neighbour's files", THEIRS, frozenset[str]()),
    ):
        yield _of(
            f"a chart's schema {what}, and no admission policy is there",
            promise,
            "proxyconnect",
            "Flux: helm-controller's proxy, which is not there",
            away,
            checked,
            files={"/chart/values.schema.json": json.dumps({"properties": {"x": {"$ref": reference}}})},
            despite=GONE,
            proof=proof,
        )


def _labels() -> Iterator[Attack]:
    """Releases that mark what Flux makes of them as the platform's."""
    promise = "What the platform made in a tenant's namespace is changed and deleted by the platform only."
    labels = {"labels": {OWNER_LABEL: PLATFORM}}
    template = release()["spec"]["chart"]
    yield _of(
        "a release labels its HelmChart as the platform's",
        promise,
        f"are the platform's: {OWNER_LABEL}",
        "admission: saas-tenant-releases",
        GONE,
        release(chart={**template, "metadata": labels}),
        seen_at="Kustomization",
    )
    add = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "attack-chart", **labels}}
    for what, changes in (
        ("all its objects", {"commonMetadata": labels}),
        ("an object by a post-renderer", {"postRenderers": [{"kustomize": {"patches": [{"patch": str(add)}]}}]}),
    ):
        yield _of(
            f"a release labels {what} as the platform's",
            promise,
            "marks the platform's own objects",
            "admission: saas-tenant-platform-objects",
            GONE,
            release(**changes),
        )


def _of(
    name: str,
    promise: str,
    reason: str,
    defence: str,
    away: frozenset[str],
    manifest: Manifest,
    *,
    files: Mapping[str, str] | None = None,
    **how: Any,
) -> Attack:
    content = {**CHART, **(files or {})}
    return commit(
        name,
        promise,
        reason,
        defence,
        away,
        **{"tenant": HELM, "objects": (manifest,), "files": content, "seen_at": AT, **how},
    )


def requests() -> Iterator[Attack]:
    """Attacks by fields of releases and of charts' sources."""

    def releases(name: str, reason: str, **changes: Any) -> Attack:
        return request(f"a release {name}", (admission_policy("releases"),), reason, of.release(WIDE, **changes), WIDE)

    def chart(**source: str) -> Manifest:
        return {"spec": {"chart": "x", "sourceRef": {"kind": "HelmRepository", "name": "product", **source}}}

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
    reason = "are the platform's: "
    for what, metadata in (
        ("labels its chart as the platform's", {"labels": {OWNER_LABEL: PLATFORM}}),
        ("annotates its chart as one of Flux's own", {"annotations": {"kustomize.toolkit.fluxcd.io/ssa": "Ignore"}}),
    ):
        yield releases(what, reason, chart={**chart(), "metadata": metadata})
    reason = "holds a worker of Flux for as long as it is evaluated"
    yield releases("evaluates what it depends on", reason, dependsOn=[{"name": "x", "readyExpr": "true"}])
    health = [{"apiVersion": "v1", "kind": "Pod", "current": "true"}]
    yield releases("evaluates the health of its objects", reason, healthCheckExprs=health)
    reason = "a chart's values.schema.json makes Flux read files and URLs"
    for operation in ("install", "upgrade"):
        yield releases(f"validates its values when it runs {operation}", reason, **{operation: None})
        off = {operation: {"disableSchemaValidation": False}}
        yield releases(f"validates its values on purpose when it runs {operation}", reason, **off)
    reason = "makes Flux allocate a list of that length"
    for path in ("list[100]", "a.list[0][00001].b"):
        values = [{"kind": "ConfigMap", "name": "x", "targetPath": path}]
        yield releases(f"takes a value for {path}", reason, valuesFrom=values)

    def source(name: str, reason: str, *, build: Any = of.chart_repository, **changes: Any) -> Attack:
        return request(
            f"charts come {name}", (admission_policy("chart-sources"),), reason, build(WIDE, **changes), WIDE
        )

    for build in (of.chart_repository, of.oci_repository):
        kind = build.__name__.replace("_", " ")
        changes = {"type": "oci", "url": "oci://ghcr.io/x"} if build is of.chart_repository else {}
        reason = "with the platform's own rights"
        yield source(f"with Flux's own AWS role ({kind})", reason, build=build, provider="aws", **changes)
        yield source(f"unencrypted ({kind})", "charts come by https", build=build, insecure=True, **changes)
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


ATTACKS = (*requests(), *_fields(), *_contents())
