"""The engine with the program: true previews, and updates that touch nothing but changes."""

from __future__ import annotations

import base64
import json

from local import pulumi
from tests.engine.conftest import BroughtUp
from tests.platform import PRIVATE, PUBLIC, Stack, deploy_keys


def test_the_first_preview_shows_what_the_first_update_creates(brought_up: BroughtUp) -> None:
    assert sorted(map(repr, brought_up.first_preview)) == sorted(map(repr, brought_up.first_up))
    assert {step.op for step in brought_up.first_up} == {"create"}


def test_a_second_update_changes_nothing(stack: Stack) -> None:
    stack.run("preview", "--expect-no-changes")
    assert stack.up() == []


def test_a_refresh_finds_no_drift(stack: Stack) -> None:
    stack.run("refresh", "--preview-only", "--expect-no-changes")


def test_a_tenant_is_added_and_removed_without_touching_others(stack: Stack) -> None:
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC, "gamma": PUBLIC})
    steps = stack.up()
    assert {(step.op, step.of) for step in steps} == {("create", "gamma")}
    assert len(steps) == 10
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC})
    steps = stack.up()
    assert {(step.op, step.of) for step in steps} == {("delete", "gamma")}
    kinds = [step.type.split(":")[-1] for step in steps]
    assert kinds.index("Kustomization") < kinds.index("GitRepository") < kinds.index("Namespace")


def test_changes_are_in_place_and_as_the_preview_says(stack: Stack) -> None:
    stack.tenants({"alpha": PRIVATE, "beta": {**PUBLIC, "path": "./"}}, interval="3s")
    steps = stack.up()
    assert {step.op for step in steps} == {"update"}
    assert {step.type.split(":")[-1] for step in steps} == {"GitRepository", "Kustomization"}

    stack.tenants({"alpha": {**PRIVATE, "path": "./"}, "delta": PRIVATE}, role="edit")
    stack.configure(fluxLockdown=False)
    preview = stack.preview()
    assert {step.op for step in preview} >= {"create", "update", "delete"}
    assert sorted(map(repr, preview)) == sorted(map(repr, stack.up()))


def test_a_changed_role_is_another_binding_and_changes_nothing_else(stack: Stack) -> None:
    for role in ("edit", "view"):
        stack.tenants({"alpha": PRIVATE, "beta": PUBLIC}, role=role)
        steps = stack.preview()
        assert {step.type.split(":")[-1] for step in steps} == {"RoleBinding"}
        # The rights are never missing: the new binding comes before the old one goes.
        assert sorted(step.op for step in steps) == ["create", "create", "delete", "delete"]
        assert sorted(map(repr, steps)) == sorted(map(repr, stack.up()))


def test_a_deploy_key_whose_creation_was_interrupted_is_adopted(stack: Stack) -> None:
    """GitHub refuses a key that is in use: the next update must neither fail on it nor leave it behind."""
    (file,) = stack.platform.home.backend.rglob(f"stacks/*/{stack.name}.json")
    state = json.loads(file.read_text())
    latest = state["checkpoint"]["latest"]
    resources = latest["resources"]
    key = next(r for r in resources if r["type"].endswith("RepositoryDeployKey") and r["urn"].endswith("::alpha"))
    latest["resources"] = [r for r in resources if r is not key]
    for resource in resources:
        if key["urn"] in resource.get("dependencies", []):
            resource["dependencies"].remove(key["urn"])
    cut_short = {name: value for name, value in key.items() if name not in ("id", "outputs")}
    latest["pending_operations"] = [{"resource": cut_short, "type": "creating"}]
    file.write_text(json.dumps(state))
    said = pulumi.recover(stack.platform.home, stack.name, cwd=stack.platform.project)
    assert said == ["Cleared up 1 operations that were cut short: alpha."]
    stack.up()
    stack.run("preview", "--expect-no-changes")
    assert deploy_keys(stack.platform, "product").count("flux-engine-alpha") == 1


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
    before = ids(stack)
    stack.tenants({"Alpha": PRIVATE, "kube-x": PUBLIC})
    done = stack.run("up", "--yes", "--skip-preview", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "2 problems; nothing was changed." in said
    assert "tenants-engine.yaml:6: tenants[0].name" in said
    assert "Traceback" not in said
    assert ids(stack) == before


def test_the_outputs_name_every_tenant(stack: Stack) -> None:
    outputs = stack.outputs()
    assert set(outputs["tenants"]) == {"alpha", "beta"}
    assert outputs["tenants"]["alpha"]["source"] == "ssh://git@github.com/acme/product"


def ids(stack: Stack) -> dict[str, str]:
    """The resources of the state; without ciphertexts, which differ at each write."""
    return {resource["urn"]: resource.get("id", "") for resource in stack.exported()["deployment"]["resources"]}
