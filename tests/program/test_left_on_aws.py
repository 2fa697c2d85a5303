"""Load balancers and volumes that Kubernetes made are gone from AWS before their cluster is deleted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.aws import left_on_aws
from components.aws.left_on_aws import BALANCED, CLAIMS, VOLUMES, wait_until_gone
from components.kubectl import KubectlError
from tests.program.test_eks import adopt, provision

SERVICES, INGRESSES, GATEWAYS, BINDINGS, AUTO_BINDINGS = BALANCED
PROVIDER = "pulumi:providers:kubernetes"
NOT_FOUND = "Error from server (NotFound): the server could not find the requested resource"


def made(name: str = "web", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ingress", **more.pop("metadata", {})}, **more}


def volume(policy: str = "Delete", made_by: str | None = "ebs.csi.eks.amazonaws.com") -> dict[str, Any]:
    annotations = {"pv.kubernetes.io/provisioned-by": made_by} if made_by else {}
    return {
        "metadata": {"name": "pvc-1", "annotations": annotations},
        "spec": {
            "persistentVolumeReclaimPolicy": policy,
            "claimRef": {"namespace": "data", "name": "db"},
            "csi": {"volumeHandle": "vol-1"},
        },
    }


LOAD_BALANCER = made(
    spec={"type": "LoadBalancer"}, status={"loadBalancer": {"ingress": [{"hostname": "web.elb.amazonaws.com"}]}}
)
CLAIM = {"metadata": {"namespace": "data", "name": "db"}}
DELETED: dict[str, Any] = {"metadata": {"deletionTimestamp": "2026-11-26T16:00:00Z"}}


def finalized(finalizer: str) -> dict[str, Any]:
    return made(metadata={"finalizers": [finalizer]})


def cluster(monkeypatch: pytest.MonkeyPatch, *answers: Mapping[str, Any]) -> list[str]:
    """A cluster that has these objects, by the paths of their lists: one answer after the other, the last for ever.

    Returns the paths that were asked for.
    """
    asked: list[str] = []
    states = iter(answers)
    now: list[Mapping[str, Any]] = []

    def kubectl(kubeconfig: str, *arguments: str) -> str:
        path = arguments[-1]
        if path == SERVICES:  # the first question of a round
            now[:] = [next(states, now[0] if now else {})]
        asked.append(path)
        if path in (GATEWAYS, BINDINGS, AUTO_BINDINGS) and path not in now[0]:
            raise KubectlError(NOT_FOUND)
        return json.dumps({"items": now[0].get(path, [])})

    monkeypatch.setattr(left_on_aws, "kubectl", kubectl)
    return asked


def wait(seconds: float = 60) -> None:
    asyncio.run(wait_until_gone("kubeconfig", seconds, pause=0))


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({SERVICES: [LOAD_BALANCER]}, r"- Service ingress/web, web\.elb\.amazonaws\.com\n"),
        ({SERVICES: [finalized("service.eks.amazonaws.com/resources")]}, "- Service ingress/web\n"),
        ({INGRESSES: [finalized("ingress.k8s.aws/resources")]}, "- Ingress ingress/web\n"),
        ({INGRESSES: [finalized("group.ingress.k8s.aws/shared")]}, "- Ingress ingress/web\n"),
        ({GATEWAYS: [finalized("gateway.k8s.aws/alb")]}, "- Gateway ingress/web\n"),
        ({BINDINGS: [finalized("elbv2.k8s.aws/resources")]}, "- TargetGroupBinding ingress/web\n"),
        ({AUTO_BINDINGS: [finalized("elbv2.eks.amazonaws.com/resources")]}, "- TargetGroupBinding ingress/web\n"),
        ({VOLUMES: [volume()], CLAIMS: [CLAIM]}, "- PersistentVolume pvc-1 of the claim data/db, vol-1\n"),
    ],
)
def test_what_nobody_deletes_is_listed_at_once(
    monkeypatch: pytest.MonkeyPatch, left: Mapping[str, Any], said: str
) -> None:
    asked = cluster(monkeypatch, left)
    with pytest.raises(pulumi.RunError, match=rf"made for these objects:\n  {said}Delete these objects with kubectl"):
        wait()
    assert len(asked) == len(BALANCED) + 2


@pytest.mark.parametrize(
    "left",
    [
        {SERVICES: [made(spec={"type": "ClusterIP"})]},
        {INGRESSES: [made(status={"loadBalancer": {"ingress": [{"hostname": "nginx.example"}]}})]},
        {VOLUMES: [volume("Retain")], CLAIMS: [CLAIM]},
        {VOLUMES: [volume(made_by=None)], CLAIMS: [CLAIM]},
    ],
    ids=["a Service inside", "an Ingress of nginx", "a volume that stays", "a volume that a person made"],
)
def test_what_does_not_go_with_its_object_stops_nothing(monkeypatch: pytest.MonkeyPatch, left: Any) -> None:
    cluster(monkeypatch, left)
    wait()


@pytest.mark.parametrize(
    "left",
    [
        {SERVICES: [made(spec={"type": "LoadBalancer"}, **DELETED)]},
        {VOLUMES: [volume()]},
        {VOLUMES: [volume()], CLAIMS: [{"metadata": {**CLAIM["metadata"], **DELETED["metadata"]}}]},
    ],
    ids=["a deleted Service", "a volume without its claim", "a volume whose claim is deleted"],
)
def test_what_is_being_deleted_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, left: Any
) -> None:
    asked = cluster(monkeypatch, left, left, left, {})
    wait()
    assert asked.count(SERVICES) == 4
    cluster(monkeypatch, left)
    with pytest.raises(pulumi.RunError, match=r"\(being deleted\)\n.*remove the object's finalizers"):
        wait(seconds=0)


def test_only_a_cluster_that_the_stack_deletes_is_waited_for() -> None:
    for recording, hooks in ((provision(), ["left-on-aws"]), (adopt("1.36"), [])):
        assert [*recording.resource(PROVIDER, "prod-eu").request.hooks.before_delete] == hooks


def test_a_cluster_that_does_not_answer_stops_its_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    def kubectl(kubeconfig: str, *arguments: str) -> str:
        raise KubectlError("dial tcp: i/o timeout")

    monkeypatch.setattr(left_on_aws, "kubectl", kubectl)
    urn = "urn:pulumi:prod-eu::saas-in-eks::pulumi:providers:kubernetes::prod-eu"
    args = pulumi.ResourceHookArgs(urn, "id", "prod-eu", PROVIDER, old_inputs={"kubeconfig": "{}"})
    with pytest.raises(pulumi.RunError, match=rf"does not tell .*i/o timeout\n.*pulumi state delete '{urn}'"):
        asyncio.run(left_on_aws._wait(args))
