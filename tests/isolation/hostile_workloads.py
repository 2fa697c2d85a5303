"""What a hostile tenant's product runs: pods, their share of the nodes, and the traffic that is led to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.isolation import objects as of
from tests.isolation.hostile import ADMISSION, BASIC, FORBIDDEN, NEIGHBOUR, OWN, RBAC, SPACE, Attack
from tests.isolation.hostile_objects import evil, pods_of


def _pods() -> Iterator[Attack]:
    promise = "A tenant's pods share nothing with the node that they run on, nor take others' place there."
    away = frozenset({ADMISSION})
    pods = f"/api/v1/namespaces/{OWN}/pods?labelSelector=app%3Dattack"
    root = [{"name": "node", "hostPath": {"path": "/"}}]
    for what, reason, policy, level, changes in (
        ("is root on its node", "is root on its node", "nodes", True, _container(privileged=True)),
        ("mounts the node's root", "hostPath volumes are folders", "nodes", True, {"volumes": root}),
        ("has the node's network", "Leave out: hostNetwork", "nodes", True, {"hostNetwork": True}),
        ("sees the node's processes", "Leave out: hostPID", "nodes", True, {"hostPID": True}),
        ("chooses its node", "nodeName goes around", "placement", False, {"nodeName": "simulated-a"}),
        (
            "pushes others off their node",
            "may not have the PriorityClass",
            "priority",
            False,
            {"priorityClassName": "system-node-critical"},
        ),
        (
            "runs on every tainted node",
            "tolerates every taint",
            "placement",
            False,
            {"tolerations": [{"operator": "Exists"}]},
        ),
    ):
        deployment = pods_of(**changes)
        needed = away | {SPACE} if level or "priority" in policy else away
        proof = "" if "priority" in policy else pods
        yield Attack(
            f"a Deployment {what}",
            promise,
            reason,
            f"admission: saas-tenant-{policy}",
            needed if proof else away,
            objects=(deployment,),
            proof=proof,
        )
        if level:
            yield Attack(
                f"a Deployment {what}, and no admission policy is there",
                promise,
                'violates PodSecurity "baseline:latest"',
                "Pod Security: baseline",
                needed,
                away,
                objects=(deployment,),
                seen_at="event",
                proof=pods,
            )
    capable = pods_of(**_container(capabilities={"add": ["SYS_ADMIN"]}))
    yield Attack(
        "a Deployment has the capability to administer its node",
        promise,
        'violates PodSecurity "baseline:latest"',
        "Pod Security: baseline",
        frozenset({SPACE}),
        objects=(capable,),
        seen_at="event",
        proof=pods,
    )
    promise = "No tenant takes more than its share of the cluster."
    huge = of.claim(OWN, resources={"requests": {"storage": "100Ti"}})
    large = pods_of(container={"resources": {"limits": {"memory": "32Gi"}}})
    many = pods_of(container={"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "64Mi"}}})
    many["spec"]["replicas"] = 30
    away = frozenset({SPACE})
    yield Attack(
        "a claim beyond the quota of storage",
        promise,
        "exceeded quota: tenant",
        "ResourceQuota",
        away,
        objects=(evil(huge),),
    )
    yield Attack(
        "more pods than the quota has",
        promise,
        "exceeded quota: tenant",
        "ResourceQuota",
        away,
        objects=(many,),
        seen_at="event",
        proof=f"/api/v1/namespaces/{OWN}/pods?labelSelector=app%3Dattack&at-least=30",
    )
    yield Attack(
        "a container larger than the limits allow",
        promise,
        "maximum memory usage per Container is 4Gi",
        "LimitRange",
        away,
        objects=(large,),
        seen_at="event",
        proof=pods,
    )
    agent = evil(of.daemon_set(OWN))
    yield Attack("an agent on every node", promise, FORBIDDEN, RBAC, frozenset({RBAC}), objects=(agent,))
    taken = evil(of.claim(OWN, volumeName="neighbours"))
    yield Attack(
        "a claim takes a neighbour's volume",
        "A tenant gets new volumes, and takes none that was made for another.",
        "names its volume",
        "admission: saas-tenant-volumes",
        frozenset({ADMISSION}),
        objects=(taken,),
    )


def _container(**security: Any) -> dict[str, Any]:
    return {"container": {"securityContext": {"allowPrivilegeEscalation": True, **security}}}


def _traffic() -> Iterator[Attack]:
    promise = "A tenant takes no traffic that is meant for others."
    own, theirs = f"{OWN}.example.com", f"{NEIGHBOUR}.example.com"
    snippet = {"nginx.ingress.kubernetes.io/configuration-snippet": "return 200;"}
    for what, reason, policy, manifest in (
        ("an Ingress takes a neighbour's host name", theirs, "hosts", of.ingress(OWN, theirs)),
        ("an Ingress takes every host name", "answer for everybody's", "hosts", of.ingress(OWN, None)),
        (
            "an Ingress configures the controller for all",
            "snippets are configuration",
            "routing",
            of.ingress(OWN, own, annotations=snippet),
        ),
        ("a Service opens a port of every node", "type NodePort", "services", of.service(OWN, type="NodePort")),
        ("a Service takes an address", "externalIPs take", "services", of.service(OWN, externalIPs=["10.0.0.10"])),
        (
            "a Service leads the ingress controller to a neighbour",
            "ExternalName",
            "services",
            of.service(OWN, type="ExternalName", externalName=f"product.{NEIGHBOUR}.svc.cluster.local"),
        ),
    ):
        # The quota of node ports is a second refusal.
        away = frozenset({ADMISSION, SPACE} if "NodePort" in reason else {ADMISSION})
        defence = f"admission: saas-tenant-{policy}"
        yield Attack(what, promise, reason, defence, away, tenant=BASIC, objects=(evil(manifest),))


ATTACKS = (*_pods(), *_traffic())
