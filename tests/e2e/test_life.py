"""A tenant's life, end to end: added, suspended, resumed, leaving, purged. Its product tries to run on all the time."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.home import PROJECT
from model.kubernetes.manifests import Manifest
from standins.github.store import Store
from tests.e2e.conftest import applied
from tests.isolation import objects as of
from tests.platform import PRIVATE, PUBLIC, Platform, Stack, eventually

NAME = "omega"
RECONCILER = f"--as=system:serviceaccount:{NAME}:{NAME}"
NEIGHBOURS = ("alpha", "beta", "gamma")
CREATED_ONCE = {"annotations": {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}}


def named(manifest: Manifest, name: str, **metadata: Any) -> Manifest:
    """A workload under a name of its own, which is also its pods' label."""
    labels = {"app": name}
    template = {**manifest["spec"]["template"], "metadata": {"labels": labels}}
    spec = {**manifest["spec"], "selector": {"matchLabels": labels}, "template": template}
    return {**manifest, "metadata": {**manifest["metadata"], "name": name, **metadata}, "spec": spec}


def product(*more: Manifest) -> dict[str, str | None]:
    """A product that loses its data when it is scaled down, and with a Deployment that Flux does not change."""
    usual, database, claim = of.deployment(NAME), of.stateful_set(NAME), of.claim(NAME, storageClassName="standard")
    usual["spec"]["replicas"] = 2
    database["spec"] |= {
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim["spec"]}],
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
    }
    escaping = named(of.deployment(NAME), "escaping", **CREATED_ONCE)
    manifests = [named(usual, "usual"), named(database, "database"), escaping, of.cron_job(NAME), *more]
    return {
        "kustomize/kustomization.yaml": "resources: [all.yaml]\n",
        "kustomize/all.yaml": yaml.safe_dump_all(manifests),
    }


@pytest.fixture(scope="module")
def life(article: Stack, platform: Platform) -> Iterator[Stack]:
    """The article's stack, with a volume and a repository for one more tenant."""
    Store(platform.home.git).create("acme", "leaver", {"private": True})
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "leavers"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/data"},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "standard",
        },
    }
    platform.kubectl("apply", "-f", "-", stdin=json.dumps(volume))
    article.tenants({"alpha": PRIVATE, "beta": PRIVATE, "gamma": PUBLIC})
    yield article
    platform.kubectl("delete", "persistentvolume", "leavers", "--wait=false")


def saas(stack: Stack, *arguments: str, refused: bool = False) -> str:
    """Run `./saas tenant …` twice on the stack's tenants, which is the same as once."""
    command = [PROJECT / "saas", "tenant", *arguments, "--file", stack.platform.project / stack.tenants_file]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))
    assert [bool(done.returncode) for done in (first, second)] == [refused] * 2, first.stdout + first.stderr
    assert refused or "nothing to change" in second.stdout
    return second.stdout + second.stderr


def pods(platform: Platform, namespace: str = NAME) -> dict[str, str]:
    """The uids of a namespace's pods, and whether they run."""
    found = platform.get(f"/api/v1/namespaces/{namespace}/pods") or {"items": []}
    return {item["metadata"]["uid"]: item["status"]["phase"] for item in found["items"]}


def replicas(platform: Platform) -> dict[str, tuple[int, int]]:
    """The replicas of the product's workloads: wanted and ready."""
    lists = [platform.get(f"/apis/apps/v1/namespaces/{NAME}/{kind}") for kind in ("deployments", "statefulsets")]
    return {
        f"{item['spec']['selector']['matchLabels']['app']}": (
            item["spec"]["replicas"],
            item["status"].get("readyReplicas", 0),
        )
        for found in lists
        if found
        for item in found["items"]
    }


def kept(platform: Platform) -> dict[str, str]:
    """The uids of everything that suspension must not touch."""
    template = '{range .items[*]}{.kind}/{.metadata.name}={.metadata.uid}{"\\n"}{end}'
    kinds = (
        "persistentvolumeclaims,deployments,statefulsets,cronjobs,resourcequotas,limitranges,serviceaccounts,secrets"
    )
    lines = platform.kubectl("-n", NAME, "get", kinds, "-o", f"jsonpath={template}").split()
    namespace = platform.get(f"/api/v1/namespaces/{NAME}")
    assert namespace
    return {**dict(line.split("=") for line in lines), "Namespace": namespace["metadata"]["uid"]}


def policies(platform: Platform) -> dict[str, Any]:
    found = platform.get(f"/apis/networking.k8s.io/v1/namespaces/{NAME}/networkpolicies")
    assert found
    return {item["metadata"]["name"]: item["spec"] for item in found["items"]}


def volume(platform: Platform) -> dict[str, Any]:
    found = platform.get("/api/v1/persistentvolumes/leavers")
    assert found
    return found


def as_the_product(platform: Platform, *arguments: str, stdin: str | None = None) -> str:
    """What kubectl says to the tenant's reconciler."""
    return platform.kubectl("-n", NAME, *arguments, RECONCILER, stdin=stdin, check=False)


def test_a_tenant_is_suspended_resumed_kept_and_purged(life: Stack, platform: Platform, tmp_path: Path) -> None:
    platform.push("acme/leaver", product(), tmp_path)
    neighbours = {name: pods(platform, name) for name in NEIGHBOURS}

    # Added
    source = ("--url", "ssh://git@github.com/acme/leaver", "--branch", "main", "--private", "--path", "./kustomize")
    source += ("--set", "interval=10s")  # Flux applies its product all the time
    saas(life, "add", NAME, *source)
    life.up()
    running = {"usual": (2, 2), "database": (1, 1), "escaping": (1, 1)}
    eventually(lambda: replicas(platform) == running, 120)
    everything, network = kept(platform), policies(platform)

    # Suspended
    saas(life, "suspend", NAME, "--reason", "invoice 4711 is not paid")
    life.up()
    eventually(lambda: pods(platform) == {})
    assert kept(platform) == everything
    assert replicas(platform) == {"usual": (0, 0), "database": (0, 0), "escaping": (1, 0)}
    assert policies(platform) == {"default-deny": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
    assert volume(platform)["status"]["phase"] == "Bound"
    cron_job = platform.get(f"/apis/batch/v1/namespaces/{NAME}/cronjobs/product")
    assert cron_job
    assert cron_job["spec"]["suspend"] is True

    # It tries to run all the same
    more = ("--type=merge", '--patch={"spec": {"replicas": 2}}')
    assert "patched" in as_the_product(platform, "patch", "deployment/escaping", *more)
    another = named(of.deployment(NAME), "another", **CREATED_ONCE)
    commit = platform.push("acme/leaver", product(another), tmp_path)
    eventually(lambda: applied(platform, NAME) == commit)
    assert replicas(platform)["another"] == (0, 0)
    refused = "exceeded quota: tenant, requested: pods=1"
    eventually(lambda: refused in platform.kubectl("-n", NAME, "get", "deployment/escaping", "-o", "json"))
    assert "forbidden" in as_the_product(platform, "delete", "resourcequota/tenant").lower()
    assert "forbidden" in as_the_product(platform, "delete", "networkpolicy/default-deny").lower()
    assert pods(platform) == {}
    platform.push("acme/leaver", product(), tmp_path)

    # Resumed
    saas(life, "resume", NAME)
    life.up()
    eventually(lambda: replicas(platform) == {**running, "escaping": (2, 2)}, 240)
    assert kept(platform) == everything
    assert policies(platform) == network

    # Leaving
    saas(life, "leave", NAME, "--keep", "0d")
    life.up()
    summary = life.outputs()["tenants"][NAME]
    assert (summary["state"], summary["until"]) == ("leaving", datetime.now(UTC).date().isoformat())
    eventually(lambda: pods(platform) == {})
    assert kept(platform) == everything
    found = volume(platform)
    assert found["metadata"]["labels"]["saas-in-eks.io/kept-for"] == NAME
    assert found["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert "no backup of its data is recorded" in saas(life, "purge", NAME, "--confirm", NAME, refused=True)

    # Purged
    kubeconfig = ("--kubeconfig", str(platform.home.kubeconfig))
    saas(life, "backup", NAME, "--to", str(tmp_path / "omega.json"), *kubeconfig)
    backup = json.loads((tmp_path / "omega.json").read_text())
    claims = [item for item in backup["objects"] if item["kind"] == "PersistentVolumeClaim"]
    assert [claim["spec"]["volumeName"] for claim in claims] == ["leavers"]
    assert [each["volume"] for each in backup["volumes"]] == ["leavers"]
    assert "its backup was never restored" in saas(life, "purge", NAME, "--confirm", NAME, refused=True)
    restore = ("check-backup", NAME, "--from", str(tmp_path / "omega.json"), *kubeconfig)
    assert "has volumes, which the file does not have: leavers" in saas(life, *restore, refused=True)
    saas(life, *restore, "--volumes-restored")
    left = platform.kubectl("get", "namespaces", "--selector", "saas-in-eks.io/restore-test", "-o", "name")
    assert (left, kept(platform)) == ("", everything)
    saas(life, "purge", NAME, "--confirm", NAME)
    kinds = [step.type.rpartition(":")[2] for step in life.up()]
    assert kinds.index("Kustomization") < kinds.index("GitRepository") < kinds.index("Namespace")
    assert platform.get(f"/api/v1/namespaces/{NAME}") is None
    assert volume(platform)["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    assert "has departed" in saas(life, "add", NAME, *source, refused=True)
    # An autoscaler may have added pods.
    assert all(before.items() <= pods(platform, name).items() for name, before in neighbours.items())
