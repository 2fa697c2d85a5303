"""What the engine does with the program: previews that tell the truth, updates that touch what changed and no more."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from tests.platform import PRIVATE, PUBLIC, Stack


def test_the_first_preview_tells_what_the_first_update_creates(stack: Stack) -> None:
    preview, update = stack.first_preview, stack.first_up  # type: ignore[attr-defined]
    assert sorted(map(repr, preview)) == sorted(map(repr, update))
    assert {step.op for step in update} == {"create"}


def test_a_second_update_changes_nothing(stack: Stack) -> None:
    stack.run("preview", "--expect-no-changes")
    assert stack.up() == []


def test_a_refresh_finds_nothing_that_drifted(stack: Stack) -> None:
    stack.run("refresh", "--preview-only", "--expect-no-changes")


def test_adding_a_tenant_creates_only_its_resources(stack: Stack) -> None:
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC, "gamma": PUBLIC})
    steps = stack.up()
    assert {step.op for step in steps} == {"create"}
    assert {step.name for step in steps} == {"gamma"}
    assert len(steps) == 6


def test_removing_a_tenant_deletes_only_its_resources(stack: Stack) -> None:
    stack.tenants({"alpha": PRIVATE})
    steps = stack.up()
    assert {(step.op, step.name) for step in steps} == {("delete", "beta")}
    kinds = [step.type.split(":")[-1] for step in steps]
    assert kinds.index("Kustomization") < kinds.index("GitRepository") < kinds.index("Namespace")


def test_a_changed_source_updates_in_place(stack: Stack) -> None:
    stack.tenants({"alpha": PRIVATE, "beta": {**PUBLIC, "path": "./"}}, interval="3s")
    steps = stack.up()
    assert {step.op for step in steps} == {"update"}
    assert {step.type.split(":")[-1] for step in steps} == {"GitRepository", "Kustomization"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda stack: stack.tenants({"alpha": PRIVATE}), id="remove a tenant"),
        pytest.param(lambda stack: stack.tenants({"alpha": PRIVATE, "beta": PRIVATE}), id="make a source private"),
        pytest.param(lambda stack: stack.tenants({"alpha": PRIVATE, "beta": PUBLIC}, role="edit"), id="change a role"),
        pytest.param(lambda stack: stack.configure(fluxLockdown=False), id="switch the lockdown off"),
    ],
)
def test_a_preview_tells_what_the_update_then_does(stack: Stack, change: Callable[[Stack], None]) -> None:
    change(stack)
    preview = stack.preview()
    assert preview, "the change changes nothing"
    assert sorted(map(repr, preview)) == sorted(map(repr, stack.up()))


def test_a_changed_role_replaces_the_binding_and_nothing_else(stack: Stack) -> None:
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC}, role="edit")
    assert {step.type.split(":")[-1] for step in stack.preview()} == {"RoleBinding"}


def test_upgrading_flux_changes_its_objects_in_place(stack: Stack) -> None:
    manifest = (stack.platform.home.manifest).read_text()
    assert "v2.9.2" in manifest
    (stack.platform.project / "next.yaml").write_text(manifest.replace("v2.9.2", "v2.9.3"))
    stack.configure(fluxManifest="next.yaml")
    preview = stack.preview()
    assert {step.op for step in preview} == {"update"}, [step for step in preview if step.op != "update"]
    touched = {step.type.split(":")[-1] for step in preview}
    assert touched >= {"CustomResourceDefinition", "Deployment", "RepositoryFile"}
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gitrepositories.source.toolkit.fluxcd.io"
    before = stack.platform.get(definition)
    stack.up()
    after = stack.platform.get(definition)
    assert before is not None
    assert after is not None
    assert before["metadata"]["uid"] == after["metadata"]["uid"]
    assert after["metadata"]["labels"]["app.kubernetes.io/version"] == "v2.9.3"


def test_a_changed_kubeconfig_replaces_nothing(stack: Stack) -> None:
    moved = stack.platform.project / "moved-kubeconfig"
    moved.write_text(stack.platform.home.kubeconfig.read_text())
    stack.configure(kubeconfig="moved-kubeconfig")
    steps = stack.preview()
    assert [step for step in steps if step.op != "update"] == []
    assert {step.type for step in steps} <= {"pulumi:providers:kubernetes"}


def test_no_key_is_in_plain_text_in_state_or_output(stack: Stack) -> None:
    for tenant in ("alpha", "flux-system"):
        secret = stack.platform.get(f"/api/v1/namespaces/{tenant}/secrets/{tenant}")
        assert secret is not None
        private = base64.b64decode(secret["data"]["identity"]).decode()
        assert private.startswith("-----BEGIN PRIVATE KEY-----")
        body = private.splitlines()[1]
        state = json.dumps(stack.exported())
        assert body not in state
        assert secret["data"]["identity"] not in state
        stored = "".join(p.read_text() for p in stack.platform.home.backend.rglob("*.json"))
        assert body not in stored
        assert secret["data"]["identity"] not in stored


def test_mistakes_stop_the_update_before_anything_is_touched(stack: Stack) -> None:
    before = stack.exported()["deployment"]["resources"]
    stack.tenants({"Alpha": PRIVATE, "kube-x": PUBLIC})
    done = stack.run("up", "--yes", "--skip-preview", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "2 mistakes; nothing was changed." in said
    assert "tenants-engine.yaml:8: tenants[0].name" in said
    assert "Traceback" not in said
    assert stack.exported()["deployment"]["resources"] == before


def test_the_outputs_name_every_tenant(stack: Stack) -> None:
    outputs = stack.outputs()
    assert set(outputs["tenants"]) == {"alpha", "beta"}
    assert outputs["tenants"]["alpha"]["source"] == "ssh://git@github.com/acme/product"
