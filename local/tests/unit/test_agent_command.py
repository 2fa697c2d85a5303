"""Translating a pod into a command: the pod's own arguments, with paths, ports and addresses of this machine."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from local.agent.command import Command, Host, UnsupportedError, memory_limit, program_of, translate

FOLDER = Path("/home/someone/.local/agent/pods/1")
SERVICES = {"10.0.0.17": "source-controller", "10.0.0.18": "notification-controller"}
PORTS = {"source-controller": 7001, "notification-controller": 7002}
OWN = "127.64.1.1"
API_SERVER = "127.0.0.1:6443"
PROBE = {"httpGet": {"port": "healthz", "path": "/readyz"}}
HEALTH_PORT = {"name": "healthz", "containerPort": 9440}


def container(program: str, *args: str, **more: Any) -> dict[str, Any]:
    image = f"ghcr.io/fluxcd/{program}:v1.2.3"
    base = {"name": "manager", "image": image, "args": list(args), "ports": [HEALTH_PORT], "readinessProbe": PROBE}
    return base | more


def command(of: dict[str, Any], *volumes: dict[str, Any], folder: Path = FOLDER, **spec: Any) -> Command:
    pod = {
        "metadata": {"name": "pod-1", "namespace": "flux-system", "uid": "1"},
        "spec": {
            "nodeName": "simulated-a",
            "serviceAccountName": "flux",
            "containers": [of],
            "volumes": list(volumes),
            **spec,
        },
    }
    free = itertools.count(9001)
    return translate(pod, Host(folder, OWN, SERVICES, API_SERVER, PORTS.__getitem__, lambda: next(free)))


@pytest.mark.parametrize(
    ("image", "program"),
    [
        ("source-controller", "source-controller"),
        ("fluxcd/source-controller:v1.9.3", "source-controller"),
        ("registry.example:5000/fluxcd/source-controller", "source-controller"),
        ("ghcr.io/fluxcd/source-controller:v1.9.3@sha256:0123", "source-controller"),
    ],
)
def test_the_program_has_the_name_of_the_image(image: str, program: str) -> None:
    assert program_of(image) == program


def test_arguments_stay_except_where_the_program_listens() -> None:
    result = command(container("kustomize-controller", "--watch-all-namespaces", "--no-remote-bases=true"))
    assert result.arguments == [
        "--watch-all-namespaces",
        "--no-remote-bases=true",
        "--metrics-addr=127.0.0.1:9001",
        "--health-addr=127.0.0.1:9002",
    ]
    assert result.ports == {8080: "127.0.0.1:9001", 9440: "127.0.0.1:9002", "healthz": "127.0.0.1:9002"}
    assert result.readiness == "http://127.0.0.1:9002/readyz"


def test_a_changed_port_is_mapped_and_a_closed_one_is_not() -> None:
    changed = {"name": "healthz", "containerPort": 9555}
    result = command(container("kustomize-controller", "--health-addr", ":9555", "--metrics-addr=0", ports=[changed]))
    assert result.arguments == ["--metrics-addr=0", "--health-addr=127.0.0.1:9001"]
    assert result.ports == {9555: "127.0.0.1:9001", "healthz": "127.0.0.1:9001"}


def test_a_controller_without_own_flags_listens_like_all_controllers() -> None:
    result = command(container("image-automation-controller"))
    assert result.arguments == ["--metrics-addr=127.0.0.1:9001", "--health-addr=127.0.0.1:9002"]


def test_a_default_path_leads_to_the_pods_volume() -> None:
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    reflector = container("image-reflector-controller", **mounts)
    result = command(reflector, {"name": "data", "emptyDir": {}})
    assert f"--storage-path={FOLDER}/volumes/data" in result.arguments


def test_the_pods_own_address_is_not_localhost() -> None:
    own = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    result = command(container("kustomize-controller", "--metrics-addr=[$(POD_IP)]:8080", env=[own]))
    assert f"--metrics-addr={OWN}:9001" in result.arguments
    assert result.ports == {8080: f"{OWN}:9001", 9440: "127.0.0.1:9002", "healthz": "127.0.0.1:9002"}


def test_host_aliases_lead_to_the_service_with_that_address() -> None:
    environment = [{"name": "SOURCE", "value": "hidden"}, {"name": "NO_PROXY", "value": "hidden,hidden-not,a.hidden"}]
    aliases = [{"ip": "10.0.0.17", "hostnames": ["hidden"]}]
    result = command(container("kustomize-controller", env=environment), hostAliases=aliases)
    assert result.environment["SOURCE"] == "127.0.0.1:7001"
    assert result.environment["NO_PROXY"] == "127.0.0.1:7001,hidden-not,a.hidden"
    with pytest.raises(UnsupportedError, match=r"10\.0\.0\.19, which is not the address of a Service"):
        command(container("kustomize-controller"), hostAliases=[{"ip": "10.0.0.19", "hostnames": ["x"]}])


def test_the_namespaces_domain_means_all_services() -> None:
    environment = [{"name": "NO_PROXY", "value": ".flux-system.svc.cluster.local"}]
    result = command(container("kustomize-controller", env=environment))
    assert result.environment["NO_PROXY"] == "0.0.0.0:7001,0.0.0.0:7002"


def test_names_of_services_become_addresses_of_this_machine() -> None:
    namespace = {"name": "RUNTIME_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    result = command(
        container(
            "source-controller",
            "--events-addr=http://notification-controller.$(RUNTIME_NAMESPACE).svc.cluster.local./",
            "--storage-adv-addr=source-controller.$(RUNTIME_NAMESPACE).svc.cluster.local.",
            env=[namespace],
        )
    )
    assert "--events-addr=http://0.0.0.0:7002/" in result.arguments
    assert "--storage-adv-addr=0.0.0.0:7001" in result.arguments
    assert result.environment["RUNTIME_NAMESPACE"] == "flux-system"


def test_addresses_of_other_hosts_stay() -> None:
    url = "--events-addr=http://notification-controller.other.svc.cluster.local./"
    assert url in command(container("helm-controller", url)).arguments


def test_paths_in_volumes_are_moved_and_paths_in_urls_are_not() -> None:
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "temp", "mountPath": "/tmp"}]
    environment = [
        {"name": "TUF_ROOT", "value": "/tmp/.sigstore"},
        {"name": "OTHER", "value": "https://example.com/data"},
    ]
    result = command(
        container("source-controller", "--storage-path=/data", env=environment, volumeMounts=mounts),
        {"name": "data", "emptyDir": {}},
        {"name": "temp", "emptyDir": {}},
    )
    assert f"--storage-path={FOLDER}/volumes/data" in result.arguments
    assert result.environment["TUF_ROOT"] == f"{FOLDER}/volumes/temp/.sigstore"
    assert result.environment["OTHER"] == "https://example.com/data"
    assert result.environment["TMPDIR"] == f"{FOLDER}/volumes/temp"


def test_a_path_is_moved_once_even_if_the_platform_is_below_a_mount_path() -> None:
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "temp", "mountPath": "/tmp"}]
    result = command(
        container("source-controller", "--storage-path=/data/x", volumeMounts=mounts),
        {"name": "data", "emptyDir": {}},
        {"name": "temp", "emptyDir": {}},
        folder=Path("/tmp/pods/1"),
    )
    assert "--storage-path=/tmp/pods/1/volumes/data/x" in result.arguments


def test_a_python_program_reads_its_service_account_and_config_map() -> None:
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    watchdog = container("x", f"--service-account={account}", "--health-addr=:9440")
    watchdog |= {
        "image": "docker.io/library/python:3.13-alpine@sha256:0123",
        "command": ["python3", "-I", "/watchdog/watchdog.py"],
        "volumeMounts": [{"name": "program", "mountPath": "/watchdog"}, {"name": "token", "mountPath": account}],
    }
    result = command(watchdog, {"name": "program", "configMap": {"name": "w"}}, {"name": "token", "projected": {}})
    assert result.arguments == [
        "-I",
        f"{FOLDER}/volumes/program/watchdog.py",
        f"--service-account={FOLDER}/serviceaccount",
        "--health-addr=127.0.0.1:9001",
    ]
    assert result.environment["KUBERNETES_SERVICE_HOST"] == "127.0.0.1"
    assert result.environment["KUBERNETES_SERVICE_PORT"] == "6443"


def test_a_memory_limit_is_a_number_of_bytes() -> None:
    assert memory_limit(container("x", resources={"limits": {"memory": "256Mi"}})) == 2**28
    assert memory_limit(container("x")) is None


def test_resource_limits_are_resolved_as_a_kubelet_does() -> None:
    environment = [
        {"name": "GOMEMLIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
        {"name": "GOMAXPROCS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ]
    limits = {"limits": {"memory": "1Gi", "cpu": "1500m"}}
    result = command(container("helm-controller", env=environment, resources=limits))
    assert result.environment["GOMEMLIMIT"] == str(2**30)
    assert result.environment["GOMAXPROCS"] == "2"


def test_leader_election_is_left_out() -> None:
    result = command(container("helm-controller", "--enable-leader-election", "--concurrent=4"))
    assert result.arguments[0] == "--concurrent=4"


@pytest.mark.parametrize(
    ("more", "volumes", "message"),
    [
        ({"command": ["sh"]}, [], "command is not supported"),
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, [], "envFrom is not supported"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}, [], "variable A comes from"),
        ({"volumeMounts": [{"name": "s", "mountPath": "/s"}]}, [{"name": "s", "secret": {}}], "volume s"),
        ({"readinessProbe": {"exec": {"command": ["true"]}}}, [], "readinessProbe has to be an httpGet"),
        ({"readinessProbe": {"httpGet": {"port": 9999}}}, [], "readinessProbe has to be an httpGet"),
    ],
)
def test_unsupported_fields_are_refused_by_name(
    more: dict[str, Any], volumes: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(UnsupportedError, match=message):
        command(container("helm-controller", **more), *volumes)


def test_a_second_container_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="only pods of one container"):
        command(container("helm-controller"), initContainers=[{"name": "first"}])
