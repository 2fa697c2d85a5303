"""Suspended tenants: their product without pods, and their namespace without network. Nothing of it is deleted.

Flux applies the product with patches that stop its workloads. A product can escape them, by Flux's annotation
`ssa: Ignore` for example; the quota admits none of its new pods even then, and `components/tenant/pods.py` ends those
that still run.
"""

from __future__ import annotations

import json
from typing import Any

from model.config.names import PREFIX, STATE_LABEL
from model.config.tenants import Tenant

NOWHERE = {f"{PREFIX}suspended": "true"}
"""Labels that no node has."""


def _patch(kind: str, **fields: Any) -> dict[str, Any]:
    operations = [{"op": "add", "path": f"/spec/{path}", "value": value} for path, value in fields.items()]
    return {"patch": json.dumps(operations), "target": {"kind": kind}}


STOPPING = (
    # Autoscalers leave a workload of 0 replicas alone.
    _patch("Deployment|ReplicaSet|ReplicationController", replicas=0),
    # One that deletes the claims of pods that it scales down would delete all data.
    _patch(
        "StatefulSet",
        replicas=0,
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"},
    ),
    _patch("DaemonSet", **{"template/spec/nodeSelector": NOWHERE}),
    _patch("CronJob|Job", suspend=True),
    # An upgrade to 0 replicas may fail, because the quota admits no pods of hooks, and its remediation may uninstall
    # the chart together with its claims. So the release stays as it is.
    _patch("HelmRelease", suspend=True),
)
"""Patches of Kustomize, after those of the tenant and the product."""


def state_labels(tenant: Tenant) -> dict[str, str]:
    """The label of the tenant's namespace; none for an active one."""
    return {STATE_LABEL: tenant.state} if tenant.stopped else {}
