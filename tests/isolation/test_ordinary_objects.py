"""Admission accepts ordinary objects of every tier, and the work of Kubernetes' controllers and of the platform."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from local.home import PROJECT
from model.kubernetes.admission.flux_values import Fields, flux_values
from model.kubernetes.admission.policy import Rule
from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import ADMIN, BASIC, CLUSTER_ADMIN, STRICT, WIDE
from tests.isolation.attacks.rights import network_policy
from tests.isolation.control_plane import Cluster
from tests.platform import eventually

LEAVING = "leaving"
TIERS = {
    BASIC: "the default tier",
    "premium": "the tier premium",
    STRICT: "restricted Pod Security",
    WIDE: "a tier that allows everything",
    ADMIN: "the role admin",
    CLUSTER_ADMIN: "the role cluster-admin",
}
HELM = ("premium", STRICT, WIDE, CLUSTER_ADMIN)


AFFINITY = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "podAffinityTerm": {"labelSelector": of.SELECTOR, "topologyKey": "kubernetes.io/hostname"}}
        ]
    },
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}]}
            ]
        },
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [{"key": "example.com/ssd", "operator": "Exists"}]}}
        ],
    },
}
SPREAD = {
    "maxSkew": 1,
    "topologyKey": "topology.kubernetes.io/zone",
    "whenUnsatisfiable": "ScheduleAnyway",
    "labelSelector": of.SELECTOR,
}


def ordinary(tenant: str) -> Iterator[Manifest]:
    """Objects of a product that the default tier allows."""
    host = f"{tenant}.example.com"
    yield of.config_map(tenant)
    yield of.make("Secret", tenant, stringData={"password": "product"})
    yield of.make("ServiceAccount", tenant)
    yield of.deployment(tenant, serviceAccountName="product")
    replicated = of.stateful_set(tenant)
    data = {"metadata": {"name": "data"}, "spec": of.claim(tenant)["spec"]}
    replicated["spec"]["volumeClaimTemplates"] = [data]
    yield replicated
    # As many as the quota has room for.
    replicas = {**of.deployment(tenant)["spec"], "replicas": 20}
    yield of.make("Deployment", tenant, version="apps/v1", name="many", spec={**replicas, "paused": True})
    yield of.deployment(tenant, affinity=AFFINITY, topologySpreadConstraints=[SPREAD])
    yield of.job(tenant)
    many = of.job(tenant)
    many["metadata"]["name"] = "many"
    yield {**many, "spec": {**many["spec"], "parallelism": 20, "completions": 200, "suspend": True}}
    yield of.cron_job(tenant, volumes=[{"name": "scratch", "emptyDir": {}}])
    yield of.service(tenant, metadata={"annotations": {"prometheus.io/scrape": "true", "owner": "shop"}})
    yield of.ingress(tenant, host, tls=[{"hosts": [host], "secretName": "product"}])
    annotations = {
        "cert-manager.io/cluster-issuer": "public",
        "kubernetes.io/ingress.class": "nginx",
        "meta.helm.sh/release-name": "product",
        "nginx.ingress.kubernetes.io/proxy-body-size": "8m",
        "nginx.ingress.kubernetes.io/rewrite-target": "/$2",
    }
    yield of.ingress(tenant, f"api.{tenant}.example.net", annotations=annotations)
    if tenant != ADMIN:  # Kubernetes' own role knows nothing of the Gateway API
        yield of.route(tenant, host)
        yield of.route(tenant, f"*.{tenant}.example.net", kind="GRPCRoute")
    yield of.claim(tenant)
    yield of.claim(tenant, storageClassName="standard")
    yield of.cron_job(tenant, volumes=[{"name": "d", "ephemeral": {"volumeClaimTemplate": {"spec": data["spec"]}}}])
    yield of.autoscaler(tenant)
    yield of.disruption_budget(tenant)
    yield of.role(tenant)
    yield of.role_binding(tenant)


def by_tier(tenant: str) -> Iterator[Manifest]:
    """More objects that the tenant's tier or role allows."""
    if tenant in HELM:
        yield of.chart_repository(tenant, interval="24h", timeout="1m30s")
        yield of.chart_repository(tenant, type="oci", url="oci://ghcr.io/stefanprodan/charts")
        yield of.oci_repository(tenant)
        yield of.release(tenant)
        yield of.release(tenant, targetNamespace=tenant, dependsOn=[{"name": "database"}])
        yield of.chart(tenant, interval="1h0m0s")
        checked = {"disableSchemaValidation": True, "timeout": "10m"}
        yield of.release(
            tenant,
            maxHistory=5,
            install={**checked, "remediation": {"retries": -1}},
            upgrade={**checked, "strategy": {"name": "RetryOnFailure", "retryInterval": "1m"}},
            driftDetection={"mode": "enabled", "ignore": [{"paths": ["/spec/replicas"]}]},
            valuesFrom=[{"kind": "ConfigMap", "name": "x", "targetPath": "hosts[99][0]"}],
            values={"large": "x" * 900_000},
        )
        yield of.pod(tenant)
    if tenant in (WIDE, ADMIN, CLUSTER_ADMIN):
        yield of.deployment(tenant, runtimeClassName="sandboxed")
        yield of.claim(tenant, storageClassName="fast")
        role = {"annotations": {"eks.amazonaws.com/role-arn": f"arn:aws:iam::111122223333:role/{tenant}"}}
        yield of.make("ServiceAccount", tenant, metadata=role)
        internal = {"annotations": {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"}}
        yield of.service(tenant, type="LoadBalancer", metadata=internal)
        size = {"nginx.ingress.kubernetes.io/client-body-buffer-size": "1M"}
        yield of.ingress(tenant, f"{tenant}.example.com", annotations=size)
        yield of.service(tenant, type="NodePort")
        yield of.service(tenant, type="LoadBalancer")
        yield of.service(tenant, type="ExternalName", externalName="api.example.com.")
        yield of.deployment(tenant, priorityClassName="business-hours")
        yield of.deployment(tenant, container={"image": "nginx:1.29"})
    if tenant in (ADMIN, CLUSTER_ADMIN):
        yield of.daemon_set(tenant, tolerations=[{"key": "example.com/gpu", "operator": "Exists"}])
    if tenant == CLUSTER_ADMIN:
        yield of.make("Widget", tenant, version="example.com/v1")


@pytest.mark.parametrize("tenant", TIERS)
def test_ordinary_objects_are_accepted(cluster: Cluster, tenant: str, record_property: Callable[[str, object], None]):
    record_property("compatible", f"{TIERS[tenant]}: {listed(ordinary(tenant), by_tier(tenant))}")
    actor = cluster.tenant(tenant)
    # A binding is looked at together with the role that it names.
    cluster.administrator.apply(of.role(tenant))
    refused = [
        f"{manifest['kind']}: {answer.message}"
        for manifest in (*ordinary(tenant), *by_tier(tenant))
        if not (answer := actor.send("apply", manifest, dry_run=True)).ok
    ]
    assert refused == []


def listed(*some: Iterator[Manifest]) -> str:
    return ", ".join(dict.fromkeys(manifest["kind"] for manifests in some for manifest in manifests))


def test_controllers_work_and_a_deleted_namespace_disappears(cluster: Cluster):
    tenant, administrator = cluster.tenant(LEAVING), cluster.administrator
    tenant.apply(*ordinary(LEAVING))
    # More than requests of most charts, and no limit: the LimitRange's default has to be as high.
    large = of.deployment(LEAVING, container={"resources": {"requests": {"memory": "2Gi", "ephemeral-storage": "5Gi"}}})
    tenant.apply({**large, "metadata": {**large["metadata"], "name": "large"}})
    eventually(lambda: ready(cluster, "deployments") == 2 and pods(cluster) >= 3)

    tenant.apply(of.deployment(LEAVING, serviceAccountName="product", container={"image": f"{of.IMAGE}-new"}))
    eventually(lambda: f"{of.IMAGE}-new" in images(cluster))

    # Stricter than the existing objects: none can be added, but existing ones can be reduced.
    namespace: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEAVING}}
    only = {"name": LEAVING, "annotations": {"saas-in-eks.io/registries": "registry.example.com/"}}
    assert administrator.send("merge", {**namespace, "metadata": only}).ok
    eventually(lambda: not tenant.send("apply", of.deployment(LEAVING), dry_run=True).ok)
    none = of.make("Deployment", LEAVING, version="apps/v1", spec={"replicas": 0})
    assert tenant.send("merge", none).ok
    eventually(lambda: not any("-new" in image for image in images(cluster)))
    assert tenant.send("delete", of.config_map(LEAVING)).ok

    command = [PROJECT / ".venv/bin/kubectl", "--kubeconfig", cluster.home.kubeconfig, "delete", "namespace", LEAVING]
    done = subprocess.run([*command, "--timeout=40s"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert administrator.send("get", namespace).code == 404


def _items(cluster: Cluster, kind: str) -> list[Manifest]:
    root = "/apis/apps/v1" if kind == "deployments" else "/api/v1"
    return cluster.administrator.call("GET", f"{root}/namespaces/{LEAVING}/{kind}").body["items"]


def ready(cluster: Cluster, kind: str) -> int:
    return sum(item.get("status", {}).get("readyReplicas", 0) for item in _items(cluster, kind))


def pods(cluster: Cluster) -> int:
    return len(_items(cluster, "pods"))


def images(cluster: Cluster) -> list[str]:
    return [item["spec"]["containers"][0]["image"] for item in _items(cluster, "pods")]


CLASS = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "standard"}}
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def test_a_claim_without_a_class_is_refused_if_the_cluster_has_no_default(cluster: Cluster):
    """Kubernetes would give it any free volume without a class, such as one that another tenant released."""

    def default(value: str) -> None:
        metadata = {"name": "standard", "annotations": {DEFAULT_CLASS: value}}
        assert cluster.administrator.send("merge", {**CLASS, "metadata": metadata}).ok

    def answer() -> str:
        return cluster.tenant(BASIC).send("create", of.evil(of.claim(BASIC)), dry_run=True).message

    default("false")
    try:
        eventually(lambda: "a claim without a StorageClass takes a volume that was made for another" in answer())
    finally:
        default("true")
    eventually(lambda: not answer())


def test_the_platform_gives_a_claim_an_existing_volume(cluster: Cluster):
    volume: Manifest = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "kept"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/kept"},
            "storageClassName": "standard",
            "claimRef": {"namespace": "premium", "name": "attack"},
        },
    }
    cluster.administrator.apply(volume)
    tenant, claim = cluster.tenant("premium"), of.evil(of.claim("premium"))
    tenant.apply(claim)
    eventually(lambda: tenant.send("get", claim).body["spec"].get("volumeName") == "kept")


def test_the_platform_changes_its_own_and_cluster_wide_objects(cluster: Cluster):
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    label = {"labels": {"saas-in-eks.io/owner": "platform"}}
    manifests: list[Manifest] = [
        {
            "apiVersion": f"{of.RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "views", "finalizers": ["example.com/kept"]},
            "rules": rules,
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "observability"}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "simulated-a", "labels": {"example.com/x": "y"}}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BASIC, "labels": {"example.com/x": "y"}}},
        of.make("ResourceQuota", BASIC, name="tenant", spec={"hard": {"pods": "30"}}),
        of.config_map(BASIC, **label),
        # As Pulumi's Kubernetes provider has it.
        of.make("ServiceAccount", BASIC, metadata={**label, "annotations": {"pulumi.com/patchForce": "true"}}),
        network_policy(BASIC),
        of.pod("kube-system", hostNetwork=True, priorityClassName="system-node-critical"),
        of.make("Widget", BASIC, version="example.com/v1"),
    ]
    answers = [(item["kind"], cluster.administrator.send("apply", item, dry_run=True)) for item in manifests]
    assert [(kind, answer.message) for kind, answer in answers if not answer.ok] == []


def test_objects_of_any_size_are_judged_to_their_end(cluster: Cluster):
    """The API server aborts expensive expressions, and refuses the request."""
    tenant, hosts = cluster.tenant(BASIC), [f"h{number}.{BASIC}.example.net" for number in range(1000)]
    rules = [of.ingress(BASIC, host)["spec"]["rules"][0] for host in hosts]
    containers = [{**of.CONTAINER, "name": f"c{number}"} for number in range(200)]
    for manifest in (
        of.ingress(BASIC, None, rules=rules),
        of.deployment(BASIC, containers=containers),
        of.make("ConfigMap", BASIC, data={"large": "x" * 900_000}),
        of.make("ConfigMap", BASIC, binaryData={"large": "eHh4" * 225_000}),
        of.make("Secret", BASIC, data={"large": "eHh4" * 300_000}),
        of.deployment(BASIC, container={"args": ["x" * 10_000] * 90}),
        of.make("Role", BASIC, version=f"{of.RBAC}/v1", rules=of.role(BASIC)["rules"] * 1000),
    ):
        answer = tenant.send("apply", manifest, dry_run=True)
        assert answer.ok, answer.message
    theirs = of.ingress(BASIC, "neighbour.example.com")["spec"]["rules"]
    answer = tenant.send("apply", of.ingress(BASIC, None, rules=[*rules, *theirs]), dry_run=True)
    assert "not host names of this tenant: neighbour.example.com" in answer.message


def test_bounds_hold_for_values_in_lists_and_maps(cluster: Cluster):
    """No kind of Flux that tenants may write has such durations today."""
    fields = Fields((), ("spec.steps[].interval", "spec.byName{}"), ("spec.groups[][].count",), ("spec.groups[]",))
    policy = replace(flux_values(fields), name="saas-tenant-widgets", rules=(Rule("example.com", ("widgets",)),))
    tenant, manifests = cluster.tenant(CLUSTER_ADMIN), policy.manifests()

    def answer(**spec: object) -> str:
        widget = of.make("Widget", CLUSTER_ADMIN, version="example.com/v1", spec=spec)
        return tenant.send("apply", widget, dry_run=True).message

    cluster.administrator.apply(*manifests)
    try:
        for spec, field in (
            ({"steps": [{"interval": "5m"}, {}, {"interval": "1s"}]}, "spec.steps[].interval"),
            ({"byName": {"a": "5m", "b": "3000000h"}}, "spec.byName{}"),
            ({"groups": [[], [{"count": 1}, {"count": 1000}]]}, "spec.groups[][].count"),
            ({"groups": [[], [{"count": 1}] * 101]}, "spec.groups[]"),
        ):
            assert eventually(lambda spec=spec, field=field: f": {field}" in answer(**spec)), field
        assert answer(steps=[{"interval": "5m"}, {}], byName={"a": "5m"}, groups=[[{"count": 1}], []]) == ""
    finally:
        for manifest in manifests:
            assert cluster.administrator.send("delete", manifest).ok


def test_no_policys_expression_fails_to_evaluate(cluster: Cluster):
    """The API server type-checks the expressions against the kinds that it serves, and reports warnings."""

    def warnings() -> dict[str, object] | None:
        path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
        statuses = {
            item["metadata"]["name"]: item.get("status", {})
            for item in cluster.administrator.call("GET", path).body["items"]
        }
        checked = all("typeChecking" in status for status in statuses.values())
        return {name: status["typeChecking"] for name, status in statuses.items()} if checked else None

    found = eventually(warnings) or {}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
