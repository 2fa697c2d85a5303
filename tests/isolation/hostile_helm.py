"""Releases of tenants whose tier allows Helm. The chart is the tenant's own: it lies in its product's repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.hostile import ADMISSION, FORBIDDEN, HELM, LOCKDOWN, NEIGHBOUR, OWN, RBAC, WEB, Attack
from tests.isolation.hostile_objects import EVERYTHING, evil, pods_of, wide

FIELDS = "A tenant's HelmRelease acts as an account of the tenant, in its namespace, with its own charts."
CONTENT = "A chart brings nothing that its tenant could not commit itself."
AT = "HelmRelease attack"
GONE = frozenset({ADMISSION})

CHART = {
    "/chart/Chart.yaml": "apiVersion: v2\nname: attack\nversion: 1.0.0\n",
    "/chart/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: attack-chart}\n",
}


def release(**changes: Any) -> Manifest:
    """A release of the chart in the tenant's repository, unless changed."""
    source = {"kind": "GitRepository", "name": OWN}
    # The chart's version stays the same, its content does not.
    chart = {"spec": {"chart": "./chart", "sourceRef": source, "reconcileStrategy": "Revision", "interval": "1h"}}
    spec: dict[str, Any] = {
        "interval": "1h",
        "timeout": "10s",
        "serviceAccountName": OWN,
        "chart": chart,
        "install": {"disableWait": True},
        "upgrade": {"disableWait": True},
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
            RBAC,
            GONE | {RBAC},
        ),
        (
            "keeps its state in a neighbour's namespace",
            "goes into the tenant's namespace",
            {"storageNamespace": NEIGHBOUR},
            f'User "{own}{OWN}" cannot',
            RBAC,
            GONE | {RBAC},
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
        frozenset({RBAC}),
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
            f"charts {what}", promise, reason, chart_sources, GONE, evil(manifest), seen_at="Kustomization", files={}
        )


def _contents() -> Iterator[Attack]:
    foreign = of.make("ConfigMap", NEIGHBOUR, name="attack", data={"x": "y"})
    role = wide("ClusterRole", f"{of.RBAC}/v1", rules=[EVERYTHING])
    mounts = pods_of(volumes=[{"name": "node", "hostPath": {"path": "/"}}])
    theirs = evil(of.ingress(OWN, f"{NEIGHBOUR}.example.com"))
    binding = evil(of.role_binding(OWN, cluster_role="cluster-admin"))
    quota = of.make("ResourceQuota", OWN, name="attack", spec={"hard": {"pods": "100000"}})
    only_rbac = frozenset({RBAC})
    for what, reason, defence, away, manifest in (
        ("an object for a neighbour's namespace", FORBIDDEN, RBAC, only_rbac, foreign),
        ("a ClusterRole", FORBIDDEN, RBAC, only_rbac, role),
        ("a RoleBinding to cluster-admin", "not currently held", RBAC, only_rbac, binding),
        ("a quota", FORBIDDEN, f"{RBAC}; admission: saas-tenant-managed-kinds", only_rbac | GONE, quota),
        ("a Deployment with the node's root", "hostPath volumes are", "admission: saas-tenant-nodes", GONE, mounts),
        ("an Ingress with a neighbour's host", "not host names", "admission: saas-tenant-hosts", GONE, theirs),
    ):
        files = {"/chart/templates/attack.yaml": yaml.safe_dump(manifest)}
        yield _of(f"a chart holds {what}", CONTENT, reason, defence, away, release(), files=files)
    names = {"plural": "charts", "singular": "chart", "kind": "Chart"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    definition = wide(
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        name="charts.attack.example.com",
        spec={"group": "attack.example.com", "names": names, "scope": "Cluster", "versions": [version]},
    )
    files = {"/chart/crds/attack.yaml": yaml.safe_dump(definition)}
    yield _of("a chart defines a kind", CONTENT, "is forbidden", RBAC, only_rbac, release(), files=files)
    lookup = '{{ (lookup "v1" "Secret" "neighbour" "credentials").data | toJson }}'
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: attack}}\ndata:\n  stolen: {lookup!r}\n"
    yield _of(
        "a chart looks up a neighbour's Secret",
        CONTENT,
        "is forbidden",
        RBAC,
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
        RBAC,
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
    hook = {"helm.sh/hook": "pre-install,pre-upgrade"}
    job = evil(of.job(OWN, volumes=[{"name": "node", "hostPath": {"path": "/"}}]))
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
    return Attack(
        name,
        promise,
        reason,
        defence,
        away,
        **{"tenant": HELM, "objects": (manifest,), "files": content, "seen_at": AT, **how},
    )


ATTACKS = (*_fields(), *_contents())
