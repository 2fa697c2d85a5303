"""The real control plane."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local import access, controlplane, pki, processes, status, toolchain
from local.home import PROJECT, Home
from local.kubeapi import Api, ApiError
from tests.platform import eventually


@pytest.fixture(scope="module")
def tools() -> dict[str, Path]:
    return toolchain.ensure(controlplane.COMPONENTS)


@pytest.fixture(scope="module")
def home(tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("platform") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ETCD_UNSAFE_NO_FSYNC", raising=False)  # etcd as users have it: these tests kill it
        try:
            controlplane.up(home, tools)
            yield home
        finally:
            controlplane.down(home)


@pytest.fixture
def api(home: Home) -> Api:
    return controlplane.administrator(home)


def kubectl(home: Home, *arguments: str) -> str:
    command = [PROJECT / ".venv" / "bin" / "kubectl", "--kubeconfig", home.kubeconfig, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_second_up_changes_nothing(home: Home, tools: dict[str, Path]) -> None:
    before, kubeconfig = processes.running(home), home.kubeconfig.stat().st_mtime_ns
    controlplane.up(home, tools)
    assert processes.running(home) == before
    assert set(before) == set(controlplane.COMPONENTS)
    assert home.kubeconfig.stat().st_mtime_ns == kubeconfig


def test_everything_listens_on_loopback_only(home: Home) -> None:
    for pid in processes.running(home).values():
        listening = [c.laddr.ip for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert set(listening) <= {"127.0.0.1"}


def test_keys_are_readable_by_their_owner_only(home: Home) -> None:
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    secret = [home.kubeconfig, *home.path.glob("pki/**/*.pem"), *home.path.glob("kubeconfigs/*")]
    assert len(secret) > 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


def test_another_certificate_authority_is_not_trusted(home: Home, tmp_path: Path) -> None:
    stranger = pki.Authority(tmp_path)
    api = Api.connect(home.port("kube-apiserver"), stranger.certificate, stranger.client("admin"))
    with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        api.get("/version")
    assert isinstance(getattr(caught.value.__cause__, "reason", None), ssl.SSLCertVerificationError)


def test_clients_of_the_api_server_can_not_use_etcd(home: Home) -> None:
    authority = access.authority(home)
    admin = authority.client(access.ADMINISTRATOR, access.ADMINISTRATORS)
    etcd = pki.Authority(home.path / "pki" / "etcd")
    assert Api.connect(home.port("etcd"), etcd.certificate, etcd.client("kube-apiserver")).answers("/health")
    assert not Api.connect(home.port("etcd"), etcd.certificate, admin).answers("/health")


def test_kwok_can_not_read_secrets(home: Home) -> None:
    authority = access.authority(home)
    kwok = Api.connect(home.port("kube-apiserver"), authority.certificate, authority.client("kwok"))
    assert kwok.get("/api/v1/pods") is not None
    with pytest.raises(ApiError, match='User "kwok" cannot list resource "secrets"'):
        kwok.get("/api/v1/secrets")


def test_a_deployment_becomes_available_on_nodes_of_three_zones(home: Home, api: Api) -> None:
    kubectl(home, "create", "namespace", "shop")
    kubectl(home, "--namespace=shop", "create", "deployment", "web", "--image=web", "--replicas=3")
    kubectl(home, "--namespace=shop", "wait", "--for=condition=Available", "deployment/web", "--timeout=120s")
    nodes = json.loads(kubectl(home, "get", "nodes", "--output=json"))["items"]
    assert {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes} == set(controlplane.ZONES)
    pods = api.get("/api/v1/namespaces/shop/pods")
    assert pods is not None
    assert {pod["spec"]["nodeName"] for pod in pods["items"]} <= {node["metadata"]["name"] for node in nodes}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job"])
def test_status_says_why_no_pod_can_be_created(home: Home, api: Api, kind: str) -> None:
    namespace = f"limited-{kind.lower()}"
    kubectl(home, "create", "namespace", namespace)
    limits = {"type": "Container", "default": {"memory": "1Gi"}}
    limit_range = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "memory", "namespace": namespace}}
    api.create(f"/api/v1/namespaces/{namespace}/limitranges", {**limit_range, "spec": {"limits": [limits]}})
    container = {"name": "web", "image": "web", "resources": {"requests": {"memory": "2Gi"}}}
    template: dict[str, Any] = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    group, spec = "apps", {"selector": {"matchLabels": {"app": "web"}}, "serviceName": "web", "template": template}
    if kind == "Job":
        template["spec"]["restartPolicy"] = "Never"
        group, spec = "batch", {"template": template}
    elif kind == "Deployment":
        del spec["serviceName"]
    path = f"/apis/{group}/v1/namespaces/{namespace}/{kind.lower()}s"
    api.create(path, {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec})
    reason = eventually(lambda: status.workloads(api)[namespace].reason)
    assert reason.startswith("ReplicaSet web-" if kind == "Deployment" else f"{kind} web")
    assert "must be less than or equal to memory limit" in reason
    found = status.workloads(api)[namespace]
    assert (found.available, found.desired) == (0, 1)


def test_a_job_completes(home: Home) -> None:
    kubectl(home, "create", "job", "once", "--image=once")
    kubectl(home, "wait", "--for=condition=Complete", "job/once", "--timeout=120s")


def test_a_deleted_namespace_is_removed_with_its_objects(home: Home, api: Api) -> None:
    kubectl(home, "create", "namespace", "brief")
    kubectl(home, "--namespace=brief", "create", "configmap", "settings")
    kubectl(home, "delete", "namespace", "brief", "--timeout=120s")
    assert api.get("/api/v1/namespaces/brief/configmaps/settings") is None


def test_pods_in_flux_system_are_not_simulated(home: Home, api: Api) -> None:
    kubectl(home, "create", "namespace", "flux-system")
    kubectl(home, "--namespace=flux-system", "create", "deployment", "real", "--image=real")
    kubectl(home, "create", "deployment", "witness", "--image=witness")

    def pod(namespace: str) -> dict[str, Any] | None:
        pods = api.get(f"/api/v1/namespaces/{namespace}/pods?fieldSelector=spec.nodeName!=")
        return next(iter((pods or {})["items"]), None)

    eventually(lambda: pod("flux-system"))
    # Once a later pod runs, kwok has had its chance with this pod.
    kubectl(home, "wait", "--for=condition=Available", "deployment/witness", "--timeout=120s")
    real = pod("flux-system")
    assert real is not None
    assert real["status"]["phase"] == "Pending"


def test_data_survives_the_kill_of_every_process(home: Home, tools: dict[str, Path], api: Api) -> None:
    kubectl(home, "create", "configmap", "survivor", "--from-literal=key=value")
    before = processes.running(home)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    for pid in before.values():
        psutil.Process(pid).wait(10)
    controlplane.up(home, tools)
    survivor = api.get("/api/v1/namespaces/default/configmaps/survivor")
    assert survivor is not None
    assert survivor["data"] == {"key": "value"}
    kubectl(home, "create", "deployment", "later", "--image=later")
    kubectl(home, "wait", "--for=condition=Available", "deployment/later", "--timeout=120s")


def test_down_ends_everything_and_up_brings_the_data_back(home: Home, tools: dict[str, Path], api: Api) -> None:
    kubectl(home, "create", "configmap", "kept")
    before = processes.running(home)
    controlplane.down(home)
    assert not [pid for pid in before.values() if psutil.pid_exists(pid)]
    assert processes.running(home) == {}
    controlplane.up(home, tools)
    assert api.get("/api/v1/namespaces/default/configmaps/kept") is not None
