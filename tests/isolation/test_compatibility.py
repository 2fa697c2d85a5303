"""Flux applies ordinary objects of products unchanged, to tenants of the default tier and with Helm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import OWN, product
from tests.isolation.attacks.helm import CHART, release
from tests.isolation.flux_platform import HostilePlatform
from tests.isolation.tenants import ORDINARY, ORDINARY_HELM, SAMPLE
from tests.platform import eventually

NAME = "object-of-a-product"
"""Placeholder for the object's name."""

Files = dict[str, str]
Record = Callable[[str, object], None]

NETWORKING, AUTOSCALING, BATCH, APPS = (
    "apis/networking.k8s.io/v1",
    "apis/autoscaling/v2",
    "apis/batch/v1",
    "apis/apps/v1",
)
POLICY = "apis/policy/v1"


def _named(name: str, manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "name": name}}


def _own(build: Callable[..., Manifest], **changes: Any) -> Manifest:
    return _named(NAME, build(OWN, **changes))


def _as_podinfo_is() -> Manifest:
    """podinfo's own Deployment: metrics, probes, an emptyDir, no limit of CPU."""
    probe = {"exec": {"command": ["podcli", "check", "http", "localhost:9898/healthz"]}, "initialDelaySeconds": 5}
    container = {
        "imagePullPolicy": "IfNotPresent",
        "command": ["./podinfo", "--port=9898", "--port-metrics=9797", "--level=info"],
        "env": [{"name": "PODINFO_UI_COLOR", "value": "#34577c"}],
        "readinessProbe": probe,
        "livenessProbe": probe,
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "data", "emptyDir": {}}]
    return _own(of.deployment, container=container, securityContext={}, volumes=volumes)


def _all_sorts_of_volumes() -> Manifest:
    projected = {"sources": [{"serviceAccountToken": {"path": "token", "audience": "vault"}}]}
    volumes = [
        {"name": "settings", "configMap": {"name": NAME, "optional": True}},
        {"name": "keys", "secret": {"secretName": NAME, "optional": True}},
        {"name": "data", "persistentVolumeClaim": {"claimName": NAME}},
        {"name": "token", "projected": projected},
        {"name": "about", "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    claim = _own(of.claim)
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [_named("volumes", of.deployment(OWN, volumes=volumes)), claim],
    }


def _without_anything() -> Manifest:
    """A Deployment as in tutorials: neither resources nor a security context."""
    spec = {"containers": [{"name": "product", "image": "nginx"}]}
    template = {"metadata": {"labels": {"app": "plain"}}, "spec": spec}
    selector = {"matchLabels": {"app": "plain"}}
    return of.make("Deployment", OWN, version="apps/v1", name=NAME, spec={"selector": selector, "template": template})


def _elects_a_leader() -> Manifest:
    account = of.make("ServiceAccount", OWN)
    runs = _named(NAME, of.deployment(OWN, serviceAccountName="product"))
    return {"apiVersion": "v1", "kind": "List", "items": [account, of.role(OWN), of.role_binding(OWN), runs]}


def _tls_ingress() -> Manifest:
    annotations = {"cert-manager.io/cluster-issuer": "letsencrypt", "nginx.ingress.kubernetes.io/ssl-redirect": "true"}
    host = f"{OWN}.example.com"
    tls = [{"hosts": [host], "secretName": f"{NAME}-tls"}]
    return _named(NAME, of.ingress(OWN, host, annotations=annotations, ingressClassName="nginx", tls=tls))


def _stateful() -> Manifest:
    claim = {"metadata": {"name": "data"}, "spec": of.claim(OWN)["spec"]}
    made = _own(of.stateful_set)
    return {**made, "spec": {**made["spec"], "volumeClaimTemplates": [claim]}}


COMPATIBLE: dict[str, tuple[Manifest, str]] = {
    "Deployment": (_own(of.deployment), APPS + "/deployments"),
    "Deployment as podinfo has it": (_as_podinfo_is(), APPS + "/deployments"),
    "Deployment without resources and security context": (_without_anything(), APPS + "/deployments"),
    "Deployment with volumes of all sorts, and its claim": (_all_sorts_of_volumes(), "api/v1/persistentvolumeclaims"),
    "StatefulSet with claims": (_stateful(), APPS + "/statefulsets"),
    "Job": (_own(of.job), BATCH + "/jobs"),
    "CronJob": (_own(of.cron_job), BATCH + "/cronjobs"),
    "Service": (_own(of.service), "api/v1/services"),
    "Service without an address of its own": (_own(of.service, clusterIP="None"), "api/v1/services"),
    "Ingress": (_own(of.ingress, host=f"{OWN}.example.com"), NETWORKING + "/ingresses"),
    "Ingress with TLS and annotations": (_tls_ingress(), NETWORKING + "/ingresses"),
    "HorizontalPodAutoscaler": (_own(of.autoscaler), AUTOSCALING + "/horizontalpodautoscalers"),
    "PodDisruptionBudget": (_own(of.disruption_budget), POLICY + "/poddisruptionbudgets"),
    "ConfigMap": (_own(of.config_map), "api/v1/configmaps"),
    "Secret": (_own(lambda o: of.make("Secret", o, stringData={"password": "x"})), "api/v1/secrets"),
    "PersistentVolumeClaim": (_own(of.claim), "api/v1/persistentvolumeclaims"),
    "ServiceAccount": (_own(lambda o: of.make("ServiceAccount", o)), "api/v1/serviceaccounts"),
    "ServiceAccount, Role and RoleBinding of its own, by one commit": (_elects_a_leader(), APPS + "/deployments"),
}
"""Name in the report -> the object, and the collection in which it has to appear."""


@pytest.mark.parametrize("kind", COMPATIBLE)
def test_an_ordinary_object_is_applied_as_it_is(hostile: HostilePlatform, kind: str, record_property: Record) -> None:
    record_property("compatible", kind)
    manifest, collection = COMPATIBLE[kind]
    name = f"one-{list(COMPATIBLE).index(kind)}"
    text = yaml.safe_dump(manifest).replace(NAME, name)
    _apply(hostile, ORDINARY, {"ordinary.yaml": text}, "ordinary.yaml")
    root, _, plural = collection.rpartition("/")
    path = f"/{root}/namespaces/{ORDINARY}/{plural}/{name}"
    found = eventually(lambda: hostile.get(path))
    _contains(found, _filled(text), kind)
    if plural == "deployments":  # no provisioner creates volumes here, so pods with claims stay pending
        eventually(lambda: (hostile.get(path) or {}).get("status", {}).get("readyReplicas"))


def test_all_ordinary_objects_together_are_one_product(hostile: HostilePlatform) -> None:
    items = [{**manifest, "metadata": {**manifest["metadata"], "name": f"all-{n}"}} for n, manifest in _single()]
    _apply(hostile, ORDINARY, {"ordinary.yaml": yaml.safe_dump_all(items)}, "ordinary.yaml")
    _apply(hostile, ORDINARY, {})
    for kind in ("configmaps", "services"):
        left = (hostile.get(f"/api/v1/namespaces/{ORDINARY}/{kind}") or {"items": []})["items"]
        assert not [item["metadata"]["name"] for item in left if item["metadata"]["name"].startswith("all-")]


def test_a_release_is_applied_where_the_tier_allows_helm(hostile: HostilePlatform, record_property: Record) -> None:
    record_property("compatible", "HelmRelease, where the tier allows Helm")
    text = yaml.safe_dump(release())
    _apply(hostile, ORDINARY_HELM, {**CHART, "release.yaml": text}, "release.yaml")
    verdict = eventually(lambda: hostile.verdict("HelmRelease", ORDINARY_HELM, "attack"))
    assert verdict is not None
    assert verdict[0], verdict[1]
    assert hostile.get(f"/api/v1/namespaces/{ORDINARY_HELM}/configmaps/attack-chart")


def test_the_sample_product_runs(hostile: HostilePlatform, record_property: Record) -> None:
    record_property("compatible", "The sample product, from its own repository")
    path = f"/apis/apps/v1/namespaces/{SAMPLE}/deployments/product"
    eventually(lambda: (hostile.get(path) or {}).get("status", {}).get("readyReplicas"))
    eventually(lambda: (hostile.verdict("Kustomization", SAMPLE, SAMPLE) or [False])[0])


def _single() -> list[tuple[int, Manifest]]:
    kinds = [manifest for manifest, _ in COMPATIBLE.values() if manifest["kind"] != "List"]
    return list(enumerate(kinds))


def _apply(hostile: HostilePlatform, tenant: str, files: Files, *resources: str) -> None:
    """Have Flux apply a product with additional files; fails with Flux's message."""
    whole = {**product("ordinary"), **files}
    kustomization = yaml.safe_load(whole["kustomization.yaml"])
    kustomization["resources"] += resources
    whole["kustomization.yaml"] = yaml.safe_dump(kustomization)
    hostile.applied(tenant, {name: text.replace(OWN, tenant) for name, text in whole.items()})


def _filled(text: str) -> Manifest:
    manifest = yaml.safe_load(text.replace(OWN, ORDINARY))
    return manifest.get("items", [manifest])[-1]


def _contains(found: Any, wanted: Any, where: str) -> None:
    """Assert that the object has all committed fields; Kubernetes may have added others."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            # Written in plain text, kept encoded.
            if key != "stringData":
                assert isinstance(found, dict), where
                assert key in found or not value, f"{where}: {key}"
                _contains(found.get(key), value, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert isinstance(found, list), where
        assert len(found) >= len(wanted), where
        for item, other in zip(found, wanted, strict=False):
            _contains(item, other, where)
    elif wanted or found:
        assert found == wanted, where
