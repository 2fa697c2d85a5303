"""The watchdog that frees a shard of Flux's controllers: a Deployment of one Python file, with few rights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from model.config.names import FLUX_NAMESPACE, WATCHDOG
from model.kubernetes.flux import NOTIFIER, FluxManifest
from model.kubernetes.manifests import NOT_FLUX_BUSINESS, Manifest

RBAC = "rbac.authorization.k8s.io"
GROUPS = {
    "kustomize.toolkit.fluxcd.io": ("kustomizations",),
    "helm.toolkit.fluxcd.io": ("helmreleases",),
    "source.toolkit.fluxcd.io": ("gitrepositories", "helmcharts", "helmrepositories", "ocirepositories"),
}
"""What the watchdog follows and suspends."""
FOLDER, FILE = "/watchdog", "watchdog.py"
SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
EVENTS = f"http://notification-controller.{FLUX_NAMESPACE}.svc.cluster.local./"
LABELS = {"app": WATCHDOG}


@dataclass(frozen=True)
class Watchdog:
    """The program's text, an image with Python, and how long a controller may compute."""

    program: str
    image: str
    deadline: int
    """Seconds."""


def with_watchdog(manifest: FluxManifest, watchdog: Watchdog) -> FluxManifest:
    """Flux's manifest with the watchdog's objects."""
    return replace(
        manifest,
        permissions=(*manifest.permissions, *_permissions(), _program(watchdog)),
        controllers=(*manifest.controllers, _deployment(watchdog, alerts=_installed(manifest, NOTIFIER))),
    )


def _installed(manifest: FluxManifest, controller: str) -> bool:
    return any(deployment["metadata"]["name"] == controller for deployment in manifest.deployments)


def _permissions() -> list[Manifest]:
    followed = [_rule(group, resources, ["get", "list", "watch", "patch"]) for group, resources in GROUPS.items()]
    reported = [_rule(group, [f"{one}/status" for one in resources], ["patch"]) for group, resources in GROUPS.items()]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(namespace=FLUX_NAMESPACE)},
        _role("ClusterRole", [*followed, *reported, _rule("", ["events"], ["create"])], _metadata()),
        _binding("ClusterRole", _metadata()),
        _role(
            "Role",
            [
                _rule("", ["pods"], ["get", "list", "watch", "delete"]),
                # A controller that is killed leaves its lease, for which its successor would wait.
                _rule("coordination.k8s.io", ["leases"], ["list", "delete"]),
            ],
            _metadata(namespace=FLUX_NAMESPACE),
        ),
        _binding("Role", _metadata(namespace=FLUX_NAMESPACE)),
    ]


def _program(watchdog: Watchdog) -> Manifest:
    data = {FILE: watchdog.program}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(namespace=FLUX_NAMESPACE), "data": data}


def _deployment(watchdog: Watchdog, *, alerts: bool) -> Manifest:
    probe = {"httpGet": {"path": "/healthz", "port": "healthz"}}
    container: Manifest = {
        "name": "watchdog",
        "image": watchdog.image,
        "command": ["python3", "-I", f"{FOLDER}/{FILE}"],
        "args": [
            f"--deadline={watchdog.deadline}",
            "--namespace=$(RUNTIME_NAMESPACE)",
            f"--service-account={SERVICE_ACCOUNT_FOLDER}",
            f"--events-addr={EVENTS if alerts else ''}",
            "--health-addr=:9440",
        ],
        "env": [{"name": "RUNTIME_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "ports": [{"containerPort": 9440, "name": "healthz", "protocol": "TCP"}],
        "readinessProbe": probe,
        "livenessProbe": {**probe, "initialDelaySeconds": 60, "periodSeconds": 20, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "program", "mountPath": FOLDER, "readOnly": True}],
    }
    pod: Manifest = {
        "serviceAccountName": WATCHDOG,
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": WATCHDOG}}],
    }
    digest = hashlib.sha256(watchdog.program.encode()).hexdigest()
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(namespace=FLUX_NAMESPACE),
        "spec": {
            "replicas": 1,
            # Two of them would count the same crash twice.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS, "annotations": {"checksum/program": digest}},
                "spec": pod,
            },
        },
    }


def _metadata(namespace: str | None = None) -> Manifest:
    place = {"namespace": namespace} if namespace else {}
    return {"name": WATCHDOG, **place, "labels": dict(LABELS), "annotations": dict(NOT_FLUX_BUSINESS)}


def _role(kind: str, rules: Sequence[Any], metadata: Manifest) -> Manifest:
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": list(rules)}


def _binding(kind: str, metadata: Manifest) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": WATCHDOG},
        "subjects": [{"kind": "ServiceAccount", "name": WATCHDOG, "namespace": FLUX_NAMESPACE}],
    }


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> Manifest:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
