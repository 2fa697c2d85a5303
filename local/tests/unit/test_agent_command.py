"""What the agent makes of a pod: the pod's own arguments, with paths, ports and addresses of this machine."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from local.agent.command import Command, Place, UnsupportedError, program_of, tag_of, translate

FOLDER = Path("/home/someone/.local/agent/pods/1")
SERVICES = {"source-controller": 7001, "notification-controller": 7002, "webhook-receiver": 7003}


def container(program: str, *args: str, **more: Any) -> dict[str, Any]:
    return {"name": "manager", "image": f"ghcr.io/fluxcd/{program}:v1.2.3", "args": list(args), **more}


OWN = "127.64.1.1"


def command(of: dict[str, Any], *volumes: dict[str, Any], folder: Path = FOLDER, **spec: Any) -> Command:
    pod = {
        "metadata": {"name": "pod-1", "namespace": "flux-system", "uid": "1"},
        "spec": {"nodeName": "simulated-a", "serviceAccountName": "flux", "volumes": list(volumes), **spec},
    }
    free = itertools.count(9001)
    addresses = {"10.0.0.17": "source-controller"}
    return translate(pod, of, Place(folder, folder / "kubeconfig", SERVICES, lambda: next(free), OWN, addresses))


@pytest.mark.parametrize(
    ("image", "program", "tag"),
    [
        ("source-controller", "source-controller", ""),
        ("fluxcd/source-controller:v1.9.3", "source-controller", "v1.9.3"),
        ("registry.example:5000/fluxcd/source-controller", "source-controller", ""),
        ("ghcr.io/fluxcd/source-controller:v1.9.3@sha256:0123", "source-controller", "v1.9.3"),
    ],
)
def test_an_image_stands_for_the_program_of_its_name(image: str, program: str, tag: str) -> None:
    assert (program_of(image), tag_of(image)) == (program, tag)


def test_arguments_are_the_pods_own_but_for_where_it_listens() -> None:
    result = command(container("kustomize-controller", "--watch-all-namespaces", "--no-remote-bases=true"))
    assert result.arguments == [
        "--watch-all-namespaces",
        "--no-remote-bases=true",
        "--metrics-addr=127.0.0.1:9001",
        "--health-addr=127.0.0.1:9002",
    ]
    assert result.ports == {8080: "127.0.0.1:9001", 9440: "127.0.0.1:9002"}


def test_a_port_that_the_pod_has_changed_is_the_one_that_is_mapped() -> None:
    result = command(container("kustomize-controller", "--health-addr", ":9555", "--metrics-addr=0"))
    assert result.arguments == ["--metrics-addr=0", "--health-addr=127.0.0.1:9001"]
    assert result.ports == {9555: "127.0.0.1:9001"}


def test_who_listens_at_the_pods_own_address_only_does_not_listen_at_everybodys() -> None:
    own = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    result = command(container("kustomize-controller", "--metrics-addr=[$(POD_IP)]:8080", env=[own]))
    assert f"--metrics-addr={OWN}:9001" in result.arguments
    assert result.ports == {8080: f"{OWN}:9001", 9440: "127.0.0.1:9002"}


def test_names_in_the_hosts_file_lead_to_the_service_of_their_address() -> None:
    environment = [{"name": "SOURCE", "value": "hidden"}, {"name": "NO_PROXY", "value": "hidden,hidden-not,a.hidden"}]
    aliases = [{"ip": "10.0.0.17", "hostnames": ["hidden"]}]
    result = command(container("kustomize-controller", env=environment), hostAliases=aliases)
    assert result.environment["SOURCE"] == "127.0.0.1:7001"
    assert result.environment["NO_PROXY"] == "127.0.0.1:7001,hidden-not,a.hidden"
    with pytest.raises(UnsupportedError, match=r"10\.0\.0\.18, which is the address of no Service"):
        command(container("kustomize-controller"), hostAliases=[{"ip": "10.0.0.18", "hostnames": ["x"]}])


def test_a_domain_of_services_stands_for_all_of_them() -> None:
    environment = [{"name": "NO_PROXY", "value": ".flux-system.svc.cluster.local"}]
    result = command(container("kustomize-controller", env=environment))
    assert result.environment["NO_PROXY"] == "0.0.0.0:7001,0.0.0.0:7002,0.0.0.0:7003"


def test_in_cluster_addresses_of_services_become_addresses_of_this_machine() -> None:
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


def test_source_controllers_storage_is_advertised_where_others_reach_it_even_if_the_pod_does_not_say() -> None:
    assert "--storage-adv-addr=0.0.0.0:7001" in command(container("source-controller")).arguments


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


def test_a_path_is_moved_once_even_if_the_platform_itself_is_below_a_mount_path() -> None:
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "temp", "mountPath": "/tmp"}]
    result = command(
        container("source-controller", "--storage-path=/data/x", volumeMounts=mounts),
        {"name": "data", "emptyDir": {}},
        {"name": "temp", "emptyDir": {}},
        folder=Path("/tmp/pods/1"),
    )
    assert "--storage-path=/tmp/pods/1/volumes/data/x" in result.arguments


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
    ],
)
def test_what_the_agent_can_not_give_is_refused_by_name(
    more: dict[str, Any], volumes: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(UnsupportedError, match=message):
        command(container("helm-controller", **more), *volumes)
