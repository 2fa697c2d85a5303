"""Attacks by Flux objects that refer to a neighbour's objects: every field that can name another namespace.

Where neither the role nor an admission policy keeps a tenant from making such objects, as in a cluster whose tenants
are administrators, Flux's lockdown is the second line of defence, which these attacks test.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import ADMIN, BASIC, GIT, NEIGHBOUR, OWN, WEB, Attack, Submodule, commit, request
from tests.isolation.attacks.flux import MORE, made, neighbours, own_kustomization
from tests.isolation.defences import ADMISSION, LOCKDOWN, ROLE, admission_policy
from tests.platform import eventually

CONTROLLER = "notification-controller"
"""This controller reports refusals in its log only."""
SECOND = "What a tenant's Flux objects refer to is in its own namespace."

CROSS_NAMESPACE = {
    "Kustomization": ("spec.dependsOn", "spec.healthChecks", "spec.sourceRef", "spec.targetNamespace"),
    "HelmRelease": (
        "spec.chart.spec.sourceRef",
        "spec.chartRef",
        "spec.dependsOn",
        "spec.storageNamespace",
        "spec.targetNamespace",
    ),
    "Alert": ("spec.eventSources",),
    "Receiver": ("spec.resources",),
    "ExternalArtifact": ("spec.sourceRef",),
}
"""The fields of each installed kind that can name another namespace. All others refer to their own namespace. A test
compares this with the CRDs."""


def _second_line() -> Iterator[Attack]:
    gone = ADMISSION
    both = gone | {LOCKDOWN}

    def tries(name: str, reason: str, defence: str, away: frozenset[str], manifest: Manifest, **how: Any) -> Attack:
        return commit(
            f"a Kustomization {name}, and no admission policy is there",
            SECOND,
            reason,
            defence,
            away,
            gone,
            **{"tenant": ADMIN, "objects": (manifest,), "files": MORE, "seen_at": "Kustomization attack", **how},
        )

    yield tries(
        "takes a neighbour's source",
        "cross-namespace references have been blocked",
        "Flux: --no-cross-namespace-refs",
        both,
        own_kustomization(sourceRef=neighbours("GitRepository"), targetNamespace=OWN),
    )
    cluster_role = {"apiVersion": f"{of.RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": f"more-{OWN}"}}
    yield tries(
        "names no account, to act as Flux itself",
        f'User "system:serviceaccount:{OWN}:default" cannot',
        "Flux: --default-service-account",
        both,
        own_kustomization(serviceAccountName=None),
        files={"/more/more.yaml": str(cluster_role).replace("'", '"')},
        proof=f"/apis/{of.RBAC}/v1/clusterroles/more-{OWN}",
    )
    yield tries(
        "has a neighbour's namespace as its target",
        f'"system:serviceaccount:{OWN}:{OWN}" cannot',
        ROLE,
        gone | {ROLE},
        own_kustomization(targetNamespace=NEIGHBOUR),
    )
    yield tries(
        "acts as an account of the neighbour's name",
        f'"system:serviceaccount:{OWN}:{NEIGHBOUR}" cannot',
        "Flux: an account is looked for in the Kustomization's own namespace",
        gone | {ROLE},
        own_kustomization(serviceAccountName=NEIGHBOUR),
    )
    health = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "product", "namespace": NEIGHBOUR}
    yield tries(
        "watches the health of a neighbour's objects",
        f'"system:serviceaccount:{OWN}:{OWN}" cannot',
        ROLE,
        gone | {ROLE},
        own_kustomization(healthChecks=[health]),
    )
    for what, changes in (
        ("decrypts with a neighbour's key", {"decryption": {"provider": "sops", "secretRef": _secret()}}),
        ("goes where a neighbour's kubeconfig leads", {"kubeConfig": {"secretRef": _secret()}}),
        (
            "fills in values of a neighbour's Secret",
            {"postBuild": {"substituteFrom": [{"kind": "Secret", **_secret()}]}},
        ),
    ):
        yield tries(
            what,
            "field not declared in schema",
            "Kubernetes: the definition has no field for another namespace",
            frozenset(),
            own_kustomization(**changes),
            seen_at="Kustomization",
        )
    yield tries(
        "takes its source from a neighbour by a path out of its own",
        "not found",
        "Flux: paths stay in the source's folder",
        frozenset(),
        own_kustomization(path="./../../../gitrepository/neighbour/neighbour"),
    )
    expression = "dep.spec.path == './kustomize' && dep.status.conditions.size() > 0"
    waits = own_kustomization(dependsOn=[{"name": NEIGHBOUR, "namespace": NEIGHBOUR, "readyExpr": expression}])
    policy = "admission: saas-tenant-flux (Flux's lockdown does not cover dependsOn)"
    yield commit(
        "a Kustomization reads a neighbour's by what it depends on",
        SECOND,
        "are the platform's. Take this out",
        policy,
        gone,
        tenant=ADMIN,
        objects=(waits,),
        files=MORE,
        proof=f"/api/v1/namespaces/{OWN}/configmaps/more",
    )
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "interactiveMode": "Never",
            "command": "touch",
            "args": ["/tmp/attack"],
        }
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    secret = of.make("Secret", OWN, name="attack", stringData={"value": str(config)})
    yield tries(
        "runs a program in Flux's controller",
        "connect: connection refused",
        "Flux: programs in a kubeconfig are left out (--insecure-kubeconfig-exec is off)",
        frozenset(),
        own_kustomization(kubeConfig={"secretRef": {"name": "attack"}}),
        objects=(secret, own_kustomization(kubeConfig={"secretRef": {"name": "attack"}})),
    )


def _notifications() -> Iterator[Attack]:
    gone = ADMISSION
    both = gone | {LOCKDOWN}
    flag = "Flux: --no-cross-namespace-refs"
    provider = made("Provider", "notification", "v1beta3", type="generic", address=f"{WEB}/events")
    events = [{"kind": "Kustomization", "name": "*", "namespace": NEIGHBOUR}]
    alert = made("Alert", "notification", "v1beta3", providerRef={"name": "attack"}, eventSources=events)
    yield commit(
        "an Alert sends a neighbour's events to the tenant, and no admission policy is there",
        SECOND,
        "cross-namespace references have been blocked",
        flag,
        both,
        gone,
        ADMIN,
        objects=(provider, alert),
        then=listen,
    )
    token = of.make("Secret", OWN, name="attack", stringData={"token": "known"})
    resources = [neighbours("GitRepository")]
    receiver = made("Receiver", "notification", "v1", type="generic", secretRef={"name": "attack"}, resources=resources)
    yield commit(
        "a Receiver has a neighbour's source fetched, and no admission policy is there",
        SECOND,
        "cross-namespace references are not allowed",
        flag,
        both,
        gone,
        ADMIN,
        objects=(token, receiver),
        then=ring,
    )


def listen(on: Any, tenant: str) -> tuple[bool, str]:
    """Post events of the neighbour, as Flux' controllers do, until the alert was sent or refused."""
    log, port = on.log_size(CONTROLLER), on.platform.home.port("service-notification-controller")
    for number in range(50):
        message = f"heard by {tenant} {time.time_ns()}"
        event = {
            "involvedObject": {**neighbours("Kustomization"), "apiVersion": "kustomize.toolkit.fluxcd.io/v1"},
            "severity": "info",
            "timestamp": f"2026-01-01T00:00:{number:02}Z",
            "message": message,
            "reason": "Test",
            "reportingController": "kustomize-controller",
        }
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", json.dumps(event).encode(), timeout=5).close()
        time.sleep(0.3)
        if any(message in item for item in on.received):
            return True, f"the tenant was told: {message}"
        why = "cross-namespace references have been blocked"
        if blocked := on.logged_error(CONTROLLER, log, why, f"'{tenant}/attack'"):
            return False, blocked
    return False, "nobody was told"


def ring(on: Any, tenant: str) -> tuple[bool, str]:
    """Call the tenant's webhook, as its Git server would."""
    log, port = on.log_size(CONTROLLER), on.platform.home.port("service-webhook-receiver")
    path = f"/apis/notification.toolkit.fluxcd.io/v1/namespaces/{tenant}/receivers/attack"
    webhook = eventually(lambda: ((on.get(path) or {}).get("status") or {}).get("webhookPath"))
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{webhook}", b"{}", timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        why = "cross-namespace references are not allowed"
        return False, eventually(lambda: on.logged_error(CONTROLLER, log, why, tenant))
    return True, "the neighbour's source was asked to fetch"


def _secret() -> dict[str, str]:
    return {"name": NEIGHBOUR, "namespace": NEIGHBOUR}


def event(namespace: str, **changes: Any) -> Manifest:
    """An Event of a tenant, in the group that controllers write today."""
    content = {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/product",
        "reportingInstance": "product-0",
        "action": "Test",
        "reason": "Test",
        "type": "Warning",
        "note": "Pay here.",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "name": "product", "namespace": namespace},
        **changes,
    }
    return of.make("Event", namespace, version="events.k8s.io/v1", **content)


def old_event(namespace: str, **changes: Any) -> Manifest:
    """An Event of a tenant, in the core group."""
    about = {"apiVersion": "v1", "kind": "Pod", "name": "product", "namespace": namespace}
    content = {"reason": "Test", "type": "Warning", "message": "Pay here.", "involvedObject": about, **changes}
    return of.make("Event", namespace, **content)


def _events() -> Iterator[Attack]:
    policy = (admission_policy("events"),)
    pod = {"apiVersion": "v1", "kind": "Pod", "name": "product", "namespace": NEIGHBOUR}
    space = {"apiVersion": "v1", "kind": "Namespace", "name": NEIGHBOUR, "namespace": BASIC}
    node = {"apiVersion": "v1", "kind": "Node", "name": "simulated-a", "namespace": BASIC}
    for what, about, said in (
        ("neighbour's pod", pod, "Pod neighbour/product"),
        ("neighbour's namespace", space, "Namespace basic/neighbour"),
        ("node", node, "Node basic/simulated-a"),
    ):
        reason = f"is about {said}"
        yield request(f"an Event is about a {what}", policy, reason, event(BASIC, regarding=about), verb="create")
        if about is not pod:  # Kubernetes itself compares the namespaces in this group
            name = f"an Event of the core group is about a {what}"
            yield request(name, policy, reason, old_event(BASIC, involvedObject=about), verb="create")
        name = f"an Event says that its object has to do with a {what}"
        yield request(name, policy, reason, event(BASIC, related=about), verb="create")
        given = old_event(BASIC)
        given["metadata"]["name"] = f"of-{about['kind'].lower()}"
        changed = {**given, "related": about}
        name = f"an Event is changed to have to do with a {what}"
        yield request(name, policy, reason, changed, verb="merge", given=(given,))


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{0:064}\nsize 12\n"
"""What Git holds of a file in Git LFS."""


def _git() -> Iterator[Attack]:
    """What Git clients fetch for a repository from elsewhere: source-controller fetches the one repository only."""
    promise = "Flux fetches nothing for a tenant from inside the cluster."
    yield commit(
        "a base is in a submodule from a server in the cluster",
        promise,
        "no such file or directory",
        "Flux: submodules are fetched where a source has recurseSubmodules, which is the platform's",
        files={"/more": Submodule(f"{GIT}/acme/hostile", "elsewhere")},
        kustomization={"resources": ["../more/kustomize"]},
    )
    yield commit(
        "a base is a file in Git LFS on a server in the cluster",
        promise,
        "missing Resource metadata",
        "Flux: source-controller reads no Git LFS, and leaves the pointer in place",
        files={
            "lfs.yaml": POINTER,
            "/.gitattributes": "lfs.yaml filter=lfs diff=lfs merge=lfs -text\n",
            "/.lfsconfig": f"[lfs]\n\turl = {WEB}/lfs\n",
        },
        kustomization={"resources": ["lfs.yaml"]},
    )


ATTACKS = (*_second_line(), *_notifications(), *_events(), *_git())
