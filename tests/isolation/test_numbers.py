"""Every number that a tenant may write into an object of Kubernetes is bounded by admission, or starts no work.

The numbers come from the API server's own schemas, so a new version of Kubernetes with one more fails here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

import pytest

from model.kubernetes.admission.rights import MANAGED
from tests.isolation.attack import Request
from tests.isolation.attacks import REQUESTS
from tests.isolation.attacks.pods import HUGE
from tests.isolation.control_plane import Cluster

REPLICAS, NODES = "saas-tenant-replicas", "saas-tenant-nodes"
ENDINGS, DELETIONS = "saas-tenant-endings", "saas-tenant-deletions"
BOUNDED = {
    "ContainerPort.hostPort": NODES,
    "DeleteOptions.gracePeriodSeconds": DELETIONS,
    "DeploymentSpec.replicas": REPLICAS,
    "HorizontalPodAutoscalerSpec.maxReplicas": REPLICAS,
    "JobSpec.completions": REPLICAS,
    "JobSpec.parallelism": REPLICAS,
    "PodSpec.terminationGracePeriodSeconds": ENDINGS,
    "ReplicaSetSpec.replicas": REPLICAS,
    "ReplicationControllerSpec.replicas": REPLICAS,
    "ScaleSpec.replicas": REPLICAS,
    "StatefulSetSpec.replicas": REPLICAS,
}
"""Numbers and the policy that bounds them."""

CHECKED = "the API server has a bound of its own"
COUNTED = "the quota counts what this keeps: finished Jobs, ReplicaSets, revisions"
WAITS = "only a time: a controller or the kubelet waits, for this object alone"
COMPARED = "only compared with the number of pods or failures, which the replicas and the quota bound"
STORAGE = "a volume that names storage by its address is refused"
STORED = "no controller reads it"
HARMLESS = {
    "AWSElasticBlockStoreVolumeSource.partition": STORAGE,
    "ClientIPConfig.timeoutSeconds": CHECKED,
    "*VolumeSource.defaultMode": CHECKED,
    "ContainerPort.containerPort": CHECKED,
    "ContainerRestartRuleOnExitCodes.values": CHECKED,
    "CronJobSpec.*JobsHistoryLimit": COUNTED,
    "CronJobSpec.startingDeadlineSeconds": WAITS,
    "*.minReadySeconds": WAITS,
    "*.revisionHistoryLimit": COUNTED,
    "DeploymentSpec.progressDeadlineSeconds": WAITS,
    "DownwardAPIVolumeFile.mode": CHECKED,
    "Event.count": STORED,
    "Event.deprecatedCount": STORED,
    "EventSeries.count": STORED,
    "*VolumeSource.lun": STORAGE,
    "GCEPersistentDiskVolumeSource.partition": STORAGE,
    "GRPCAction.port": CHECKED,
    "HPAScalingPolicy.periodSeconds": CHECKED,
    "HPAScalingPolicy.value": COMPARED,
    "HPAScalingRules.stabilizationWindowSeconds": CHECKED,
    "HTTPGetAction.port": CHECKED,
    "HorizontalPodAutoscalerSpec.minReplicas": "at most maxReplicas, says the API server",
    "HorizontalPodAutoscalerSpec.targetCPUUtilizationPercentage": COMPARED,
    "JobSpec.*ctiveDeadlineSeconds": WAITS,
    "JobSpec.backoffLimit*": COMPARED,
    "JobSpec.maxFailedIndexes": COMPARED,
    "JobSpec.ttlSecondsAfterFinished": WAITS,
    "KeyToPath.mode": CHECKED,
    "LeaseSpec.*": STORED,
    "MetricTarget.averageUtilization": COMPARED,
    "PodCertificateProjection.maxExpirationSeconds": CHECKED,
    "PodDisruptionBudgetSpec.*": COMPARED,
    "PodFailurePolicyOnExitCodesRequirement.values": CHECKED,
    "PodSecurityContext.*": "an identity in the tenant's own containers",
    "PodSpec.activeDeadlineSeconds": WAITS,
    "PodSpec.priority": "the API server sets it, by the PriorityClass",
    "PreferredSchedulingTerm.weight": CHECKED,
    "Probe.*": WAITS,
    "RollingUpdate*.max*": COMPARED,
    "RollingUpdateStatefulSetStrategy.partition": COMPARED,
    "SecurityContext.runAs*": "an identity in the tenant's own containers",
    "ServiceAccountTokenProjection.expirationSeconds": CHECKED,
    "ServiceBackendPort.number": CHECKED,
    "ServicePort.*": CHECKED,
    "ServiceSpec.healthCheckNodePort": CHECKED,
    "SleepAction.seconds": CHECKED,
    "StatefulSetOrdinals.start": "the name of the first pod",
    "SuccessPolicyRule.succeededCount": COMPARED,
    "TCPSocketAction.port": CHECKED,
    "Toleration.tolerationSeconds": WAITS,
    "TopologySpreadConstraint.*": COMPARED,
    "WeightedPodAffinityTerm.weight": CHECKED,
}
"""Patterns of numbers that start no work for others, and why."""

SERVERS = ("metadata", "status")
"""Parts of an object that the API server and controllers write."""


@pytest.fixture(scope="module")
def numbers(cluster: Cluster) -> frozenset[str]:
    """Every number in objects of Kubernetes' own that a tenant may write with the widest role: Definition.field."""
    return frozenset(found(cluster))


def test_every_number_is_bounded_or_starts_no_work(numbers: frozenset[str]) -> None:
    known = {name for name in numbers if name in BOUNDED or any(fnmatchcase(name, item) for item in HARMLESS)}
    assert sorted(numbers - known) == []
    assert {"StatefulSetSpec.replicas", "ScaleSpec.replicas", "PodSpec.priority"} <= numbers


def test_no_verdict_is_about_a_number_that_does_not_exist(numbers: frozenset[str]) -> None:
    assert sorted(BOUNDED.keys() - numbers) == []
    unmatched = [item for item in HARMLESS if not any(fnmatchcase(name, item) for name in numbers)]
    assert unmatched == []


@pytest.mark.parametrize("policy", [REPLICAS])
def test_every_bounded_number_is_attacked(policy: str) -> None:
    attacked = {
        f"{kind}Spec.{path.rpartition('.')[2]}"
        for attack in REQUESTS
        if policy in attack.without and isinstance(attack.action, Request)
        for kind, path in huge(attack.action.body or attack.action.manifest, attack.action)
    }
    assert attacked == {name for name, bounded_by in BOUNDED.items() if bounded_by == policy}


def huge(content: Any, action: Request, path: str = "") -> Iterator[tuple[str, str]]:
    """The kinds and paths at which an attack writes the largest number."""
    if isinstance(content, Mapping):
        for key, value in cast("Mapping[str, Any]", content).items():
            yield from huge(value, action, f"{path}.{key}")
    elif content == HUGE:
        kind = "Scale" if action.subresource == "scale" else action.manifest["kind"]
        yield ("Job" if kind == "CronJob" else kind), path


def found(cluster: Cluster) -> Iterator[str]:
    get = cluster.administrator.call
    for version, resource in cluster.administrator.kinds.resources:
        group = version.rpartition("/")[0]
        writes = {"create", "update", "patch"} & set(resource["verbs"])
        if not (resource["namespaced"] and writes) or refused(group, resource["name"]) or not built_in(group):
            continue
        # A subresource's body may be of another group: deployments/scale is autoscaling/v1.
        body = (resource.get("group", group), resource.get("version", version.rpartition("/")[2]), resource["kind"])
        path = f"/openapi/v3/apis/{version}" if group else f"/openapi/v3/api/{version}"
        schemas = get("GET", path).body["components"]["schemas"]
        roots = [name for name, schema in schemas.items() if body in kinds(schema)]
        assert roots or resource["kind"].endswith("Options"), resource
        for root in roots:
            yield from walk(schemas, root, set())


def built_in(group: str) -> bool:
    """Whether Kubernetes itself serves it. Kinds of others are the Flux' tests', and the platform team's."""
    return "." not in group or (group.endswith(".k8s.io") and not group.startswith("gateway."))


def refused(group: str, resource: str) -> bool:
    """Whether a tenant never writes it, whatever its role."""
    return any(
        group == rule.group and any(fnmatchcase(resource, pattern) for pattern in rule.resources) for rule in MANAGED
    )


def kinds(schema: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (item["group"], item["version"], item["kind"]) for item in schema.get("x-kubernetes-group-version-kind", [])
    }


def walk(schemas: Mapping[str, Any], name: str, seen: set[str]) -> Iterator[str]:
    """The numbers in a definition and those that it refers to."""
    seen.add(name)
    for field, schema in schemas[name].get("properties", {}).items():
        if field in SERVERS and "x-kubernetes-group-version-kind" in schemas[name]:
            continue
        for part in parts(schema):
            inner = part.get("$ref", "").rpartition("/")[2]
            if part.get("type") in ("integer", "number") or inner.endswith(".IntOrString"):
                yield f"{name.rpartition('.')[2]}.{field}"
            elif inner and inner not in seen and not inner.endswith((".ObjectMeta", ".Quantity")):
                yield from walk(schemas, inner, seen)


def parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema and the schemas of its elements."""
    yield schema
    for inner in (*schema.get("allOf", []), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, Mapping):
            yield from parts(cast("Mapping[str, Any]", inner))
