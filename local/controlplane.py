"""A Kubernetes control plane on this machine: etcd, API server, controller manager, scheduler, and simulated nodes.

Every server listens on loopback and has a TLS certificate that its clients verify. Each component has its own identity.
Tenants' pods do not run: kwok simulates their nodes, by the stages in `local/kwok/`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from local import files, pki, processes
from local.access import (
    ADMINISTRATOR,
    ADMINISTRATORS,
    administrator,
    apply_rbac,
    authority,
    connect,
    kubeconfig,
    server_url,
)
from local.home import Home
from local.kubeapi import Api

__all__ = ["COMPONENTS", "ZONES", "administrator", "down", "server_url", "up"]

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
"""The processes, in the order in which they start."""

ZONES = ("local-a", "local-b", "local-c")
"""Each has a simulated node."""

KWOK = Path(__file__).parent / "kwok"
STAGES = sorted((KWOK / "stages").glob("*.yaml"))
PREFIX = "registry/saas-in-eks-local"
"""The API server's prefix in etcd."""

SERVICE_RANGE = "10.96.0.0/16"
STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kubernetes.io/no-provisioner",
}
"""The cluster's default class, so that claims need not name one. Nothing makes volumes here: they stay pending."""

START_TIMEOUT = 60.0
"""Seconds until a component has to serve. On an idle machine, all of them together take about 5."""


def up(home: Home, tools: Mapping[str, Path]) -> None:
    """Start every component that does not run yet, with the data of earlier runs.

    `tools` maps COMPONENTS to programs. Raises processes.ProcessError, with the end of its log, if one does not start.
    """
    home.create()
    kubeconfig(home, ADMINISTRATOR, groups=ADMINISTRATORS, path=home.kubeconfig)
    _start_etcd(home, tools["etcd"])
    api = _start_api_server(home, tools["kube-apiserver"])
    for node in map(_node, ZONES):
        if api.get(f"/api/v1/nodes/{node['metadata']['name']}") is None:
            api.create("/api/v1/nodes", node)
    apply_rbac(api, KWOK / "rbac.yaml")
    if api.get(f"{STORAGE_CLASSES}/{STORAGE_CLASS['metadata']['name']}") is None:
        api.create(STORAGE_CLASSES, STORAGE_CLASS)
    rest = {
        "kube-controller-manager": _start_controller_manager,
        "kube-scheduler": _start_scheduler,
        "kwok": _start_kwok,
    }
    with ThreadPoolExecutor() as pool:
        for started in [pool.submit(start, home, tools[name], api) for name, start in rest.items()]:
            started.result()


def down(home: Home) -> None:
    """Stop all components, in reverse order. Data stays."""
    for name in reversed(COMPONENTS):
        processes.stop(home, name, grace=20.0)


def _start_etcd(home: Home, program: Path) -> None:
    # Its own certificate authority: clients of the API server must not be able to bypass it.
    etcd = _etcd_authority(home)
    server, client = etcd.server("etcd", also_client=True), etcd.client("kube-apiserver")
    url, peer = f"https://127.0.0.1:{home.port('etcd')}", f"https://127.0.0.1:{home.port('etcd-peer')}"
    data = home.path / "etcd"
    data.mkdir(mode=0o700, exist_ok=True)
    argv = [
        program,
        "--name=local",
        f"--data-dir={data}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=local={peer}",
        "--log-level=warn",
    ]
    for role in ("", "peer-"):
        argv += [
            f"--{role}cert-file={server}",
            f"--{role}key-file={server}",
            f"--{role}trusted-ca-file={etcd.certificate}",
            f"--{role}client-cert-auth=true",
        ]
    health = Api.connect(home.port("etcd"), etcd.certificate, client)
    _start(home, "etcd", argv, lambda: health.answers("/health"))


def _start_api_server(home: Home, program: Path) -> Api:
    etcd = _etcd_authority(home)
    clients = authority(home)
    private, public = _service_account_key(home)
    argv = [
        program,
        f"--etcd-servers=https://127.0.0.1:{home.port('etcd')}",
        f"--etcd-cafile={etcd.certificate}",
        f"--etcd-certfile={etcd.client('kube-apiserver')}",
        f"--etcd-keyfile={etcd.client('kube-apiserver')}",
        f"--etcd-prefix=/{PREFIX}",
        *_serving(home, "kube-apiserver"),
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # loopback addresses are refused as endpoints, and no pod needs them
        f"--client-ca-file={clients.certificate}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={private}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged=true",
        "--profiling=false",
    ]
    api = administrator(home)
    _start(home, "kube-apiserver", argv, lambda: api.answers("/readyz"))
    return api


def _start_controller_manager(home: Home, program: Path, api: Api) -> None:
    config = kubeconfig(home, "system:kube-controller-manager")
    argv = [
        program,
        *_client(config),
        *_serving(home, "kube-controller-manager"),
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={_service_account_key(home)[0]}",
        f"--root-ca-file={authority(home).certificate}",
        # With the default of 20 requests a second, many new tenants at once would have to wait.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]
    health = connect(home, "kube-controller-manager")

    def ready() -> bool:
        namespace = "/api/v1/namespaces/default"
        return (
            health.answers("/healthz")
            and api.get(f"{namespace}/serviceaccounts/default") is not None
            and api.get(f"{namespace}/configmaps/kube-root-ca.crt") is not None
        )

    _start(home, "kube-controller-manager", argv, ready)


def _start_scheduler(home: Home, program: Path, api: Api) -> None:
    config = kubeconfig(home, "system:kube-scheduler")
    settings = home.path / "kubeconfigs" / "scheduler-configuration.yaml"
    content = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(config), "qps": 200, "burst": 400},
        "leaderElection": {"leaderElect": False},
    }
    files.write_atomically(settings, yaml.safe_dump(content))
    argv = [
        program,
        f"--config={settings}",
        *_client(config)[1:],
        *_serving(home, "kube-scheduler"),
        "--profiling=false",
    ]
    health = connect(home, "kube-scheduler")
    _start(home, "kube-scheduler", argv, lambda: health.answers("/readyz"))


def _start_kwok(home: Home, program: Path, api: Api) -> None:
    argv = [
        program,
        f"--kubeconfig={kubeconfig(home, 'kwok')}",
        *(f"--config={stage}" for stage in STAGES),
        "--manage-all-nodes=true",
        # No leases: only one kwok runs, and after a power cut it would wait until its own old lease expires.
        "--node-lease-duration-seconds=0",
        "--node-ip=127.0.0.1",
        "--cidr=10.244.0.0/16",
        f"--server-address=127.0.0.1:{home.port('kwok')}",
    ]

    health = f"http://127.0.0.1:{home.port('kwok')}/healthz"

    def ready() -> bool:
        if not processes.http_ok(health):
            return False
        nodes = [api.get(f"/api/v1/nodes/{_node_name(zone)}") or {} for zone in ZONES]
        return all(
            any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in node.get("status", {}).get("conditions", [])
            )
            for node in nodes
        )

    _start(home, "kwok", argv, ready)


def _start(home: Home, name: str, argv: Sequence[str | Path], ready: Callable[[], bool]) -> None:
    # Not the user's environment, with a kubeconfig, proxies or a kwok configuration.
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home.path), "TMPDIR": str(home.path)}
    # Tests have the Go runtime collect less often, and etcd not wait for the disk.
    env |= {name: os.environ[name] for name in ("GOGC", "GOMEMLIMIT", "ETCD_UNSAFE_NO_FSYNC") if name in os.environ}
    processes.start(home, name, argv, env=env, ready=ready, timeout=START_TIMEOUT)


def _etcd_authority(home: Home) -> pki.Authority:
    return pki.Authority(home.path / "pki" / "etcd")


def _service_account_key(home: Home) -> tuple[Path, Path]:
    return pki.signing_key(home.path / "pki" / "service-accounts")


def _serving(home: Home, name: str) -> list[str]:
    certificate = authority(home).server(name)
    return [
        "--bind-address=127.0.0.1",
        f"--secure-port={home.port(name)}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={certificate}",
    ]


def _client(config: Path) -> list[str]:
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
    ]


def _node_name(zone: str) -> str:
    return f"simulated-{zone.removeprefix('local-')}"


def _node(zone: str) -> dict:
    """A node as a kubelet registers it, so large that only quotas limit tenants."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    size = {"cpu": "512", "memory": "2Ti", "ephemeral-storage": "8Ti", "pods": "4000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": _node_name(zone),
            "labels": {
                "kubernetes.io/arch": architecture,
                "kubernetes.io/hostname": _node_name(zone),
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": "simulated",
                "topology.kubernetes.io/region": "local",
                "topology.kubernetes.io/zone": zone,
                "type": "kwok",
            },
        },
        "status": {"allocatable": size, "capacity": size},
    }
