"""Ordinary objects of a product, which tenants may have; attacks change a detail of them."""

from __future__ import annotations

from typing import Any

from model.kubernetes.manifests import Manifest

IMAGE = "ghcr.io/stefanprodan/podinfo:6.9.0"
CONTAINER: Manifest = {
    "name": "product",
    "image": IMAGE,
    "ports": [{"name": "http", "containerPort": 9898, "protocol": "TCP"}],
    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}


def make(kind: str, namespace: str, *, version: str = "v1", name: str = "product", **content: Any) -> Manifest:
    """An object of any kind."""
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **content.pop("metadata", {})},
        **content,
    }


def pod_spec(*, container: Manifest | None = None, **changes: Any) -> Manifest:
    """A pod that meets the strictest Pod Security Standard."""
    return {
        "containers": [{**CONTAINER, **(container or {})}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        **changes,
    }


def pod(namespace: str, **changes: Any) -> Manifest:
    return make("Pod", namespace, spec=pod_spec(**changes))


def _template(spec: Manifest) -> Manifest:
    return {"metadata": {"labels": {"app": "product"}}, "spec": spec}


SELECTOR = {"matchLabels": {"app": "product"}}


def deployment(namespace: str, **changes: Any) -> Manifest:
    spec = {"selector": SELECTOR, "template": _template(pod_spec(**changes))}
    return make("Deployment", namespace, version="apps/v1", spec=spec)


def stateful_set(namespace: str, **changes: Any) -> Manifest:
    spec = {"selector": SELECTOR, "serviceName": "product", "template": _template(pod_spec(**changes))}
    return make("StatefulSet", namespace, version="apps/v1", spec=spec)


def daemon_set(namespace: str, **changes: Any) -> Manifest:
    spec = {"selector": SELECTOR, "template": _template(pod_spec(**changes))}
    return make("DaemonSet", namespace, version="apps/v1", spec=spec)


def job(namespace: str, **changes: Any) -> Manifest:
    spec = {"template": _template(pod_spec(restartPolicy="Never", **changes))}
    return make("Job", namespace, version="batch/v1", spec=spec)


def cron_job(namespace: str, **changes: Any) -> Manifest:
    template = {"spec": job(namespace, **changes)["spec"]}
    return make("CronJob", namespace, version="batch/v1", spec={"schedule": "0 3 * * *", "jobTemplate": template})


def service(namespace: str, *, metadata: Manifest | None = None, **changes: Any) -> Manifest:
    spec = {"selector": {"app": "product"}, "ports": [{"port": 80, "targetPort": 9898, "protocol": "TCP"}], **changes}
    return make("Service", namespace, metadata=metadata or {}, spec=spec)


BACKEND = {"service": {"name": "product", "port": {"number": 80}}}


def ingress(namespace: str, host: str | None, *, annotations: dict[str, str] | None = None, **changes: Any) -> Manifest:
    rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}
    spec = {"rules": [{"host": host, **rule} if host else rule], **changes}
    metadata = {"annotations": annotations} if annotations else {}
    return make("Ingress", namespace, version="networking.k8s.io/v1", metadata=metadata, spec=spec)


def route(namespace: str, *hosts: str, kind: str = "HTTPRoute", **changes: Any) -> Manifest:
    spec: Manifest = {
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "rules": [{"backendRefs": [{"name": "product", "port": 80}]}],
        **changes,
    }
    if hosts:
        spec["hostnames"] = list(hosts)
    return make(kind, namespace, version="gateway.networking.k8s.io/v1", spec=spec)


def claim(namespace: str, **changes: Any) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **changes}
    return make("PersistentVolumeClaim", namespace, spec=spec)


def config_map(namespace: str, **metadata: Any) -> Manifest:
    return make("ConfigMap", namespace, metadata=metadata, data={"made": "by a test"})


def autoscaler(namespace: str) -> Manifest:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "product"}
    usage = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    metrics = [{"type": "Resource", "resource": usage}]
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4, "metrics": metrics}
    return make("HorizontalPodAutoscaler", namespace, version="autoscaling/v2", spec=spec)


def disruption_budget(namespace: str) -> Manifest:
    return make("PodDisruptionBudget", namespace, version="policy/v1", spec={"minAvailable": 1, "selector": SELECTOR})


RBAC = "rbac.authorization.k8s.io"


def role(namespace: str, **rule: Any) -> Manifest:
    """A role; by default for leader election."""
    rules = [
        rule or {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
    ]
    return make("Role", namespace, version=f"{RBAC}/v1", rules=rules)


def role_binding(namespace: str, *subjects: Manifest, cluster_role: str = "") -> Manifest:
    """A role binding; by default of the product's own account."""
    kind, name = ("ClusterRole", cluster_role) if cluster_role else ("Role", "product")
    own = {"kind": "ServiceAccount", "name": "product", "namespace": namespace}
    return make(
        "RoleBinding",
        namespace,
        version=f"{RBAC}/v1",
        roleRef={"apiGroup": RBAC, "kind": kind, "name": name},
        subjects=list(subjects) or [own],
    )


FLUX = "toolkit.fluxcd.io"
NO_SCHEMAS = {"install": {"disableSchemaValidation": True}, "upgrade": {"disableSchemaValidation": True}}
"""Fields that every tenant's HelmRelease needs."""


def release(namespace: str, **changes: Any) -> Manifest:
    chart = {"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "product"}}}
    spec = {"interval": "10m", "serviceAccountName": namespace, "chart": chart, **NO_SCHEMAS, **changes}
    spec = {key: value for key, value in spec.items() if value is not None}
    return make("HelmRelease", namespace, version=f"helm.{FLUX}/v2", spec=spec)


def chart(namespace: str, **changes: Any) -> Manifest:
    source = {"kind": "HelmRepository", "name": "product"}
    spec = {"interval": "10m", "chart": "podinfo", "sourceRef": source, **changes}
    return make("HelmChart", namespace, version=f"source.{FLUX}/v1", spec=spec)


def chart_repository(namespace: str, **changes: Any) -> Manifest:
    spec = {"interval": "10m", "url": "https://stefanprodan.github.io/podinfo", **changes}
    return make("HelmRepository", namespace, version=f"source.{FLUX}/v1", spec=spec)


def oci_repository(namespace: str, **changes: Any) -> Manifest:
    spec = {"interval": "10m", "url": "oci://ghcr.io/stefanprodan/charts/podinfo", **changes}
    return make("OCIRepository", namespace, version=f"source.{FLUX}/v1", spec=spec)


EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
"""An RBAC rule that permits everything."""


def evil(manifest: Manifest) -> Manifest:
    """The same object under a name that no product has."""
    return {**manifest, "metadata": {**manifest["metadata"], "name": "attack"}}


def attacking_pods(namespace: str, **changes: Any) -> Manifest:
    """A Deployment whose pods can be distinguished from the product's."""
    labels = {"app": "attack"}
    made = evil(deployment(namespace, **changes))
    template = {**made["spec"]["template"], "metadata": {"labels": labels}}
    return {**made, "spec": {"selector": {"matchLabels": labels}, "template": template}}


def cluster_wide(kind: str, version: str, *, name: str = "evil", **content: Any) -> Manifest:
    """An object that belongs to no namespace."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}
