"""The agent, with the real Flux controllers of the install manifest."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local import agent, controlplane, processes, toolchain
from local.home import PROJECT, Home
from local.toolchain import manifest
from model.config.names import CONTROLLERS
from tests.platform import eventually


class Platform:
    """A control plane with an agent, still empty."""

    def __init__(self, home: Home, tools: dict[str, Path]) -> None:
        self.home, self.tools = home, tools

    def kubectl(self, *arguments: str, kubeconfig: Path | None = None, stdin: str | None = None) -> str:
        command = [PROJECT / ".venv" / "bin" / "kubectl", "--kubeconfig", kubeconfig or self.home.kubeconfig]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, input=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def flux(self, *arguments: str) -> str:
        return self.kubectl("--namespace=flux-system", *arguments)

    def rolled_out(self, name: str) -> None:
        self.flux("rollout", "status", f"deployment/{name}", "--timeout=120s")

    def add_argument(self, name: str, argument: str) -> None:
        """Add an argument to a controller's Deployment."""
        operation = {"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": argument}
        self.flux("patch", f"deployment/{name}", "--type=json", "--patch", json.dumps([operation]))

    def pods(self, app: str) -> list[dict[str, Any]]:
        return json.loads(self.flux("get", "pods", f"--selector=app={app}", "--output=json"))["items"]

    def pod(self, app: str) -> dict[str, Any]:
        (pod,) = self.pods(app)
        return pod

    def process(self, app: str) -> psutil.Process:
        (pid,) = [pid for pod, pid in agent.programs(self.home).items() if pod.startswith(app)]
        return psutil.Process(pid)


def container(pod: dict[str, Any]) -> dict[str, Any]:
    """The state of a pod's only container."""
    return (pod["status"].get("containerStatuses") or [{"ready": False, "state": {}, "restartCount": 0}])[0]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(Home(tmp_path_factory.mktemp("platform") / "home"), toolchain.ensure())
    try:
        controlplane.up(platform.home, platform.tools)
        agent.start(platform.home, platform.tools)
        yield platform
    finally:
        agent.stop(platform.home)
        controlplane.down(platform.home)


@pytest.fixture(scope="module")
def platform(empty: Platform) -> Platform:
    assert agent.programs(empty.home) == {}, "a Flux controller runs before Flux is installed"
    empty.kubectl("apply", "--server-side", "--filename", str(manifest.install_manifest()))
    for name in CONTROLLERS:
        empty.rolled_out(name)
    return empty


def test_a_controller_is_ready_when_its_program_runs(platform: Platform) -> None:
    for name in CONTROLLERS:
        assert container(platform.pod(name))["ready"]
        assert Path(platform.process(name).exe()).name == name
    assert len(agent.programs(platform.home)) == len(CONTROLLERS)


def test_a_second_start_leaves_agent_and_programs_alone(platform: Platform) -> None:
    before = processes.running(platform.home), agent.programs(platform.home)
    agent.start(platform.home, platform.tools)
    assert (processes.running(platform.home), agent.programs(platform.home)) == before


def test_a_program_acts_as_the_service_account_of_its_pod(platform: Platform) -> None:
    kubeconfig = Path(platform.process("kustomize-controller").environ()["KUBECONFIG"])
    who = json.loads(platform.kubectl("auth", "whoami", "--output=json", kubeconfig=kubeconfig))["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:flux-system:kustomize-controller"
    assert who["extra"]["authentication.kubernetes.io/pod-name"] == [
        platform.pod("kustomize-controller")["metadata"]["name"]
    ]


def test_a_program_listens_on_loopback_only(platform: Platform) -> None:
    for name in CONTROLLERS:
        connections = platform.process(name).net_connections()
        assert {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_a_changed_argument_rolls_the_program_over(platform: Platform) -> None:
    before = platform.process("kustomize-controller")
    platform.add_argument("kustomize-controller", "--concurrent=7")
    platform.rolled_out("kustomize-controller")
    eventually(lambda: len(platform.pods("kustomize-controller")) == 1)
    assert "--concurrent=7" in platform.process("kustomize-controller").cmdline()
    assert not before.is_running()


def test_a_service_keeps_its_port_when_the_pod_changes(platform: Platform) -> None:
    def answers(service: str) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{agent.service_port(platform.home, service)}/", timeout=5)
        except urllib.error.HTTPError:
            return True  # any answer will do
        except OSError:
            return False
        return True

    for name, services in {
        "source-controller": ["source-controller"],
        "notification-controller": ["notification-controller", "webhook-receiver"],
    }.items():
        before = platform.process(name).pid
        assert all(map(answers, services))
        platform.flux("rollout", "restart", f"deployment/{name}")
        platform.rolled_out(name)
        eventually(lambda name=name: len(platform.pods(name)) == 1)
        assert platform.process(name).pid != before
        assert all(map(answers, services))


def test_a_shard_of_a_controller_runs_with_its_own_service(platform: Platform) -> None:
    name = "source-controller-shard1"
    for kind in ("deployment", "service"):
        shard = json.loads(platform.flux("get", kind, "source-controller", "--output=json"))
        shard["metadata"] = {"name": name, "namespace": "flux-system"}
        if kind == "deployment":
            shard["spec"]["selector"]["matchLabels"] = shard["spec"]["template"]["metadata"]["labels"] = {"app": name}
        else:
            shard["spec"] = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]}
        platform.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(shard))
    platform.rolled_out(name)
    assert processes.http_ok(f"http://127.0.0.1:{agent.service_port(platform.home, name)}/")
    assert "HelmRepository" in processes.log_tail(processes.log_path(platform.home, name))
    platform.flux("delete", f"deployment/{name}", f"service/{name}")
    eventually(lambda: not platform.pods(name))
    assert len(agent.programs(platform.home)) == len(CONTROLLERS)


def test_a_crashed_program_restarts_and_the_crash_is_counted(platform: Platform) -> None:
    before = container(platform.pod("helm-controller"))["restartCount"]
    platform.process("helm-controller").kill()
    after = eventually(
        lambda: next(
            (c for c in [container(platform.pod("helm-controller"))] if c["ready"] and c["restartCount"] > before), None
        )
    )
    assert after["restartCount"] == before + 1
    assert after["lastState"]["terminated"]["exitCode"] == 137


def test_a_crash_loop_has_a_reason_and_the_old_pod_stays(platform: Platform) -> None:
    old = platform.pod("helm-controller")["metadata"]["name"]
    platform.add_argument("helm-controller", "--no-such-flag")

    def crashing() -> dict[str, Any] | None:
        states = {pod["metadata"]["name"]: container(pod) for pod in platform.pods("helm-controller")}
        assert states.pop(old)["ready"]
        return next((s for s in states.values() if s["state"].get("waiting", {}).get("message")), None)

    state = eventually(crashing)
    assert state["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert "unknown flag: --no-such-flag" in state["state"]["waiting"]["message"]
    assert not state["ready"]
    platform.flux("rollout", "undo", "deployment/helm-controller")
    platform.rolled_out("helm-controller")
    eventually(lambda: len(platform.pods("helm-controller")) == 1)
    assert platform.pod("helm-controller")["metadata"]["name"] == old


def test_a_program_above_its_memory_limit_is_killed(platform: Platform) -> None:
    platform.flux("set", "resources", "deployment/helm-controller", "--limits=memory=16Mi", "--requests=memory=16Mi")

    def killed() -> dict[str, Any] | None:
        ended = [container(pod).get("lastState", {}).get("terminated") for pod in platform.pods("helm-controller")]
        return next((state for state in ended if state and state["reason"] == "OOMKilled"), None)

    assert eventually(killed)["exitCode"] == 137
    platform.flux("rollout", "undo", "deployment/helm-controller")
    platform.rolled_out("helm-controller")
    eventually(lambda: len(platform.pods("helm-controller")) == 1)


def test_image_id_names_the_version_that_runs(platform: Platform) -> None:
    image = "manager=ghcr.io/fluxcd/helm-controller:v0.0.1"
    platform.flux("set", "image", "deployment/helm-controller", image)
    platform.rolled_out("helm-controller")
    eventually(lambda: len(platform.pods("helm-controller")) == 1)
    for name in ("helm-controller", "source-controller"):
        status = container(platform.pod(name))
        assert re.fullmatch(rf"local://{name}@v\d+\.\d+\.\d+", status["imageID"])
        same = status["imageID"].rpartition("@")[2] == status["image"].rpartition(":")[2]
        assert same == (name == "source-controller")


def test_an_image_without_a_program_stays_pending(platform: Platform) -> None:
    platform.flux("create", "deployment", "stranger", "--image=example.com/stranger:v1")
    message = eventually(
        lambda: next((container(p)["state"].get("waiting", {}).get("message") for p in platform.pods("stranger")), None)
    )
    assert "no program for image example.com/stranger:v1" in message
    assert all(name in message for name in CONTROLLERS)
    assert platform.pod("stranger")["status"]["phase"] == "Pending"
    platform.flux("delete", "deployment", "stranger")
    eventually(lambda: not platform.pods("stranger"))


def test_a_killed_agent_takes_its_programs_along_and_is_replaced(platform: Platform) -> None:
    programs = [psutil.Process(pid) for pid in agent.programs(platform.home).values()]
    assert len(programs) == len(CONTROLLERS)
    os.kill(processes.running(platform.home)["agent"], signal.SIGKILL)
    eventually(lambda: not [p for p in programs if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], 30)
    agent.start(platform.home, platform.tools)
    eventually(lambda: all(container(platform.pod(name))["ready"] for name in CONTROLLERS))
    assert len(agent.programs(platform.home)) == len(CONTROLLERS)


def test_a_stopped_agent_leaves_no_program_and_no_ready_pod(platform: Platform) -> None:
    programs = [psutil.Process(pid) for pid in agent.programs(platform.home).values()]
    agent.stop(platform.home)
    assert not [program for program in programs if program.is_running()]
    assert not [name for name in CONTROLLERS if container(platform.pod(name))["ready"]]
    agent.start(platform.home, platform.tools)
    eventually(lambda: all(container(platform.pod(name))["ready"] for name in CONTROLLERS))


def test_a_removed_installation_leaves_nothing(platform: Platform) -> None:
    programs = [psutil.Process(pid) for pid in agent.programs(platform.home).values()]
    platform.kubectl("delete", "namespace", "flux-system", "--timeout=120s")
    assert not [program for program in programs if program.is_running()]
    eventually(lambda: not list(agent.folder(platform.home).glob("pods/*")))
    assert processes.http_ok(f"http://127.0.0.1:{platform.home.port('agent')}/healthz")
