"""Behaviour of the official Kubernetes provider that the program relies on, with the program's settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local import pulumi
from local.home import PROJECT
from tests.engine.conftest import BroughtUp
from tests.platform import Platform, eventually

Object = dict[str, Any]

NAMESPACE = "provider-test"
PROGRAM = """
import json
import pulumi
from components.cluster import cluster_provider
from components.objects import KubernetesObject

parent = pulumi.ComponentResource("test:index:Objects", "objects")
provider = cluster_provider("provider", "provider-test", ".local/kubeconfig", parent)
made = {}
for item in json.load(open("objects.json")):
    name = f"{item['kind']}-{item['metadata']['name']}"
    after = [made[other] for other in item.pop("after", [])]
    force = item.pop("force", True)
    made[name] = KubernetesObject(name, item, pulumi.ResourceOptions(provider=provider, depends_on=after), force=force)
"""


class Sample:
    """A program that registers given objects, in a stack of its own."""

    def __init__(self, platform: Platform, folder: Path, stack: str) -> None:
        self.platform, self.folder, self.stack = platform, folder, stack
        options = "{toolchain: pip, virtualenv: .venv}"
        (folder / "Pulumi.yaml").write_text(f"name: sample\nruntime: {{name: python, options: {options}}}\n")
        (folder / "__main__.py").write_text(PROGRAM)
        for name in ("components", "model", ".venv"):
            (folder / name).symlink_to(PROJECT / name)
        (folder / ".local").symlink_to(platform.home.path)
        pulumi.ensure_stack(platform.home, stack, cwd=folder)

    def write(self, *objects: Object) -> None:
        (self.folder / "objects.json").write_text(json.dumps(objects))

    def run(self, command: str, *options: str, check: bool = True, **extra: str) -> str:
        arguments = [command, "--stack", self.stack, *options]
        done = pulumi.run(self.platform.home, arguments, cwd=self.folder, stream=False, check=check, extra=extra)
        said = done.stdout + done.stderr
        assert check or done.returncode != 0, said
        return said

    def up(self, *objects: Object) -> None:
        self.write(*objects)
        self.run("up", "--yes", "--skip-preview")

    def steps(self, *objects: Object) -> dict[str, str]:
        """Resource -> step of a preview, without unchanged ones."""
        self.write(*objects)
        steps = json.loads(self.run("preview", "--json"))["steps"]
        return {step["urn"].rpartition("::")[2]: step["op"] for step in steps if step["op"] != "same"}

    def live(self, kind: str, name: str) -> Object:
        return json.loads(self.platform.kubectl("get", kind, name, "-n", NAMESPACE, "-o", "json"))


@pytest.fixture
def sample(platform: Platform, tmp_path: Path, request: pytest.FixtureRequest):
    sample = Sample(platform, tmp_path, request.node.name.removeprefix("test_")[:40].strip("_"))
    yield sample
    sample.run("destroy", "--yes", "--skip-preview")


NAMESPACE_OBJECT = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def item(kind: str, name: str, after: list[str] | None = None, **content: Any) -> Object:
    """An object in the tests' namespace, created after the namespace and `after`."""
    version = "rbac.authorization.k8s.io/v1" if kind == "RoleBinding" else "v1"
    head = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}}
    return head | {"after": [f"Namespace-{NAMESPACE}", *(after or [])]} | content


def binding(role: str) -> Object:
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    return item("RoleBinding", "binding", roleRef=reference, subjects=[subject])


def test_a_preview_fails_if_the_api_server_refuses_an_object(brought_up: BroughtUp, sample: Sample) -> None:
    kustomization = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "without-prune", "namespace": "default"},
        "spec": {"interval": "1m"},
    }
    misnamed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not_A_Name", "namespace": "default"}}
    for refused, reasons in ((kustomization, ("spec.prune", "spec.sourceRef")), (misnamed, ("Not_A_Name",))):
        sample.write(refused)
        said = sample.run("preview", check=False)
        assert [reason for reason in reasons if reason not in said] == []
    # A namespace of the same update does not exist yet, which must not fail the preview of its objects.
    assert set(sample.steps(NAMESPACE_OBJECT, item("ConfigMap", "later")).values()) == {"create"}


def test_config_maps_and_secrets_change_in_place(sample: Sample) -> None:
    def objects(word: str, **more: str) -> list[Object]:
        return [
            NAMESPACE_OBJECT,
            item("ConfigMap", "settings", data={"word": word, **more}),
            item("Secret", "key", stringData={"word": word}),
        ]

    sample.up(*objects("first", dropped="later"))
    before = {kind: sample.live(kind, name)["metadata"]["uid"] for kind, name in NAMES.items()}
    assert sample.steps(*objects("second")) == {"ConfigMap-settings": "update", "Secret-key": "update"}
    sample.up(*objects("second"))
    after = {kind: sample.live(kind, name) for kind, name in NAMES.items()}
    assert after["ConfigMap"]["data"] == {"word": "second"}
    assert after["Secret"]["data"] == {"word": "c2Vjb25k"}
    assert {kind: live["metadata"]["uid"] for kind, live in after.items()} == before
    sample.run("preview", "--expect-no-changes")


def test_a_preview_cannot_replace_a_binding_whose_role_changes(sample: Sample) -> None:
    """Why the program gives another role another binding: see model/kubernetes/manifests.py."""
    sample.up(NAMESPACE_OBJECT, binding("view"))
    sample.write(NAMESPACE_OBJECT, binding("edit"))
    assert "cannot change roleRef" in sample.run("preview", check=False)


NAMES = {"ConfigMap": "settings", "Secret": "key"}


def test_the_next_update_adopts_objects_of_a_killed_update(sample: Sample) -> None:
    """The next update adopts an object whose creation was cut short, but the field manager of the first one stays.

    The provider invents a field manager for each creation and notes it in the state. So a later change of the field
    would conflict with a manager that no state knows any more, unless the program forces its value.
    """
    waiting = item("ConfigMap", "waiting", data={"phase": "Pending"})
    waiting["metadata"]["annotations"] = {"pulumi.com/waitFor": "jsonpath={.metadata.labels.ready}=yes"}
    follower = item("ConfigMap", "follower", ["ConfigMap-waiting"])
    sample.write(NAMESPACE_OBJECT, waiting, follower)
    home = sample.platform.home
    command = [str(home.bin / "pulumi"), "up", "--yes", "--skip-preview", "--non-interactive", "--stack", sample.stack]
    with subprocess.Popen(
        command, cwd=sample.folder, env=pulumi.environment(home), start_new_session=True, stdout=subprocess.DEVNULL
    ) as update:
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/"
        try:
            eventually(lambda: sample.platform.get(path + "waiting") or update.poll() is not None)
        finally:
            os.killpg(update.pid, signal.SIGKILL)
    assert update.returncode == -signal.SIGKILL, "the update was over before it could be killed"
    assert sample.platform.get(path + "follower") is None, "it was made before what it depends on was ready"
    assert pulumi.recover(home, sample.stack, cwd=sample.folder)

    sample.platform.kubectl("label", "configmap", "waiting", "-n", NAMESPACE, "ready=yes")
    sample.up(NAMESPACE_OBJECT, waiting, follower)
    sample.run("preview", "--expect-no-changes")
    sample.write(NAMESPACE_OBJECT, waiting | {"data": {"phase": "Running"}}, follower)
    with subprocess.Popen(
        command, cwd=sample.folder, env=pulumi.environment(home), stdout=subprocess.DEVNULL
    ) as update:

        def labelled_until_it_ends() -> bool:
            # A forced patch drops the label that the object waits for.
            sample.platform.kubectl("label", "configmap", "waiting", "-n", NAMESPACE, "ready=yes", "--overwrite")
            return update.poll() is not None

        eventually(labelled_until_it_ends)
    assert update.returncode == 0
    assert sample.live("ConfigMap", "waiting")["data"] == {"phase": "Running"}


def test_an_existing_object_is_adopted_and_its_value_changed_by_force_only(sample: Sample) -> None:
    sample.up(NAMESPACE_OBJECT)
    kubectl = sample.platform.kubectl
    for name in ("agreed", "contested"):
        kubectl("create", "configmap", name, "-n", NAMESPACE, "--from-literal=word=theirs")
    sample.up(NAMESPACE_OBJECT, item("ConfigMap", "agreed", data={"word": "theirs"}))
    contested = item("ConfigMap", "contested", data={"word": "ours"})
    sample.write(NAMESPACE_OBJECT, contested | {"force": False})
    said = sample.run("up", "--yes", "--skip-preview", check=False)
    assert "kubectl-create" in said
    assert sample.live("ConfigMap", "contested")["data"] == {"word": "theirs"}
    sample.up(NAMESPACE_OBJECT, contested)
    assert sample.live("ConfigMap", "contested")["data"] == {"word": "ours"}
    sample.up(NAMESPACE_OBJECT)


def test_removal_waits_until_an_object_is_gone(sample: Sample) -> None:
    """Flux removes what it applied while its Kustomization has a finalizer: the namespace must not go first."""
    held = item("ConfigMap", "held")
    held["metadata"]["finalizers"] = ["test.example.org/hold"]
    sample.up(NAMESPACE_OBJECT, held)
    sample.write()
    home = sample.platform.home
    path = f"/api/v1/namespaces/{NAMESPACE}"
    command = [str(home.bin / "pulumi"), "up", "--yes", "--skip-preview", "--non-interactive", "--stack", sample.stack]
    with subprocess.Popen(
        command, cwd=sample.folder, env=pulumi.environment(home), stdout=subprocess.PIPE, text=True
    ) as update:

        def asked_to_go() -> bool:
            return "deletionTimestamp" in sample.live("ConfigMap", "held")["metadata"]

        eventually(asked_to_go)
        assert sample.platform.get(path)["metadata"].get("deletionTimestamp") is None  # type: ignore[index]
        patch = '{"metadata":{"finalizers":null}}'
        sample.platform.kubectl("patch", "configmap", "held", "-n", NAMESPACE, "--type=merge", "-p", patch)
        said, _ = update.communicate(timeout=120)
    assert update.returncode == 0, said
    assert sample.platform.get(path) is None
