"""The engine with the program: true previews, and updates that touch nothing but changes."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from local import pulumi
from standins.github.store import Store
from tests.engine.conftest import BroughtUp
from tests.platform import PRIVATE, PUBLIC, Stack, deploy_keys, eventually


def test_the_first_preview_shows_what_the_first_update_creates(brought_up: BroughtUp) -> None:
    assert sorted(map(repr, brought_up.first_preview)) == sorted(map(repr, brought_up.first_up))
    assert {step.op for step in brought_up.first_up} == {"create"}


def test_a_second_update_changes_nothing(stack: Stack) -> None:
    stack.run("preview", "--expect-no-changes")
    assert stack.up() == []


def test_a_refresh_finds_no_drift(stack: Stack) -> None:
    stack.run("refresh", "--preview-only", "--expect-no-changes")


@contextmanager
def departed_forgotten(stack: Stack) -> Iterator[None]:
    """The tenants' file as somebody leaves it who only deletes an entry."""
    path = stack.platform.project / stack.tenants_file
    text = path.read_text()
    path.write_text(text.partition("departed:")[0])
    yield
    path.write_text(text)


def test_a_tenant_is_added_and_removed_without_touching_others(stack: Stack) -> None:
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC, "gamma": PUBLIC})
    steps = stack.up()
    assert {(step.op, step.of) for step in steps} == {("create", "gamma")}
    assert len(steps) == 10
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC})
    with departed_forgotten(stack):
        # Its namespace would go with all volumes.
        for command in (["preview"], ["up", "--yes", "--skip-preview"]):
            done = stack.run(*command, check=False)
            assert done.returncode
            assert "gamma was deployed by the last update and is neither in tenants nor in departed" in done.stdout
        assert stack.platform.get("/api/v1/namespaces/gamma")
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


def test_a_repaired_product_is_applied_long_before_the_next_interval(reused: Stack) -> None:
    none = {"quota": {"count/deployments.apps": "0"}, "retryInterval": "2s"}
    reused.tenants({"alpha": PRIVATE, "beta": PUBLIC, "gamma": PUBLIC}, entries={"gamma": none})
    reused.up()
    path = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/gamma/kustomizations/gamma"

    def ready() -> dict[str, str]:
        conditions = (reused.platform.get(path) or {}).get("status", {}).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == "Ready"), {})

    eventually(lambda: "exceeded quota" in ready().get("message", ""))
    patch = '{"spec":{"hard":{"count/deployments.apps":"5"}}}'
    reused.platform.kubectl("patch", "resourcequota", "tenant", "-n", "gamma", "--type=merge", "-p", patch)
    eventually(lambda: ready().get("status") == "True")


def test_a_namespace_of_others_is_refused_or_adopted_and_then_kept(stack: Stack) -> None:
    platform = stack.platform
    kubectl, theirs = platform.kubectl, "/api/v1/namespaces/monitoring/configmaps/theirs"
    kubectl("create", "namespace", "monitoring")
    kubectl("create", "configmap", "theirs", "-n", "monitoring", "--from-literal=word=kept")
    kubectl("create", "serviceaccount", "monitoring", "-n", "monitoring")
    before = ids(stack)
    sources = {"alpha": PRIVATE, "beta": PUBLIC, "monitoring": PUBLIC}

    def refused(**entry: object) -> str:
        stack.tenants(sources, entries={"monitoring": entry})
        done = stack.run("preview", check=False)
        assert done.returncode
        return done.stdout + done.stderr

    assert "tenants[2].name: the namespace monitoring exists already, and this stack did not make it" in refused()
    assert stack.run("up", "--yes", "--skip-preview", check=False).returncode
    assert "ServiceAccount monitoring exists already in the namespace monitoring" in refused(adopt=True)
    assert ids(stack) == before
    kubectl("delete", "serviceaccount", "monitoring", "-n", "monitoring")

    stack.tenants(sources, entries={"monitoring": {"adopt": True}})
    assert {(step.op, step.of) for step in stack.up()} == {("create", "monitoring")}
    assert platform.get(theirs)
    assert "Keep `adopt: true`." in refused()

    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC})
    assert {(step.op, step.of) for step in stack.up()} == {("delete", "monitoring")}
    assert platform.get(theirs)
    left = "quota,limitrange,networkpolicy,gitrepository,kustomization,serviceaccount/monitoring"
    found = [kubectl("get", kind, "-n", "monitoring", "-o", "name", check=False) for kind in left.split(",")]
    assert [line for line in found if line and "not found" not in line.lower() and "No resources" not in line] == []
    kubectl("delete", "namespace", "monitoring")


def test_the_next_update_wins_over_a_change_by_kubectl(stack: Stack) -> None:
    patch = '{"spec":{"hard":{"persistentvolumeclaims":"7"}}}'
    stack.platform.kubectl("patch", "resourcequota", "tenant", "-n", "beta", "--type=merge", "-p", patch)
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC}, quota={"persistentvolumeclaims": "9"})
    assert {step.type.split(":")[-1] for step in stack.up()} == {"ResourceQuota"}
    quota = stack.platform.get("/api/v1/namespaces/beta/resourcequotas/tenant")
    assert quota is not None
    assert quota["spec"]["hard"]["persistentvolumeclaims"] == "9"


def test_a_deploy_key_whose_creation_was_interrupted_is_adopted(stack: Stack) -> None:
    """GitHub refuses a key that is in use: the next update must neither fail on it nor leave it behind."""
    (file,) = stack.platform.home.backend.rglob(f"stacks/*/{stack.name}.json")
    state = json.loads(file.read_text())
    latest = state["checkpoint"]["latest"]
    resources = latest["resources"]
    key = next(r for r in resources if r["type"].endswith("RepositoryDeployKey") and r["urn"].endswith("::alpha/acme"))
    latest["resources"] = [r for r in resources if r is not key]
    for resource in resources:
        if key["urn"] in resource.get("dependencies", []):
            resource["dependencies"].remove(key["urn"])
    cut_short = {name: value for name, value in key.items() if name not in ("id", "outputs")}
    latest["pending_operations"] = [{"resource": cut_short, "type": "creating"}]
    file.write_text(json.dumps(state))
    said = pulumi.recover(stack.platform.home, stack.name, cwd=stack.platform.project)
    assert said == ["Cleared up 1 operations that were cut short: alpha/acme."]
    stack.up()
    stack.run("preview", "--expect-no-changes")
    assert deploy_keys(stack.platform, "product").count("flux-engine-alpha") == 1


def test_a_source_that_moves_to_another_owner_gets_a_key_there_and_loses_the_old_one(stack: Stack) -> None:
    store = Store(stack.platform.home.git)
    store.create("globex", "product", {"private": True})

    title = "flux-engine-alpha"
    assert title in deploy_keys(stack.platform, "product")
    stack.tenants({"alpha": {**PRIVATE, "url": "ssh://git@github.com/globex/product"}, "beta": PUBLIC})
    preview = stack.preview()
    keys = {(step.op, step.name) for step in preview if step.type.endswith("RepositoryDeployKey")}
    assert keys == {("create", "alpha/globex"), ("delete", "alpha/acme")}
    assert sorted(map(repr, preview)) == sorted(map(repr, stack.up()))
    assert title not in deploy_keys(stack.platform, "product")
    assert deploy_keys(stack.platform, "product", owner="globex") == [title]
    stack.run("preview", "--expect-no-changes")


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
    lines = (stack.platform.project / stack.tenants_file).read_text().splitlines()
    assert f"tenants-engine.yaml:{lines.index('- name: Alpha') + 1}: tenants[0].name" in said
    assert "Traceback" not in said
    assert ids(stack) == before


def test_the_outputs_name_every_tenant(stack: Stack) -> None:
    outputs = stack.outputs()
    assert set(outputs["tenants"]) == {"alpha", "beta"}
    assert outputs["tenants"]["alpha"]["source"] == "ssh://git@github.com/acme/product"


def test_upgrading_flux_changes_its_objects_in_place(stack: Stack) -> None:
    manifest = (stack.platform.home.manifest).read_text()
    assert "v2.9.2" in manifest
    (stack.platform.project / "next.yaml").write_text(manifest.replace("v2.9.2", "v2.9.3"))
    stack.configure(fluxManifest="next.yaml")
    for command in stored_in_a_dropped_version(stack):
        path = f"{stack.platform.home.bin}:/usr/bin:/bin"
        environment = {"PATH": path, "KUBECONFIG": str(stack.platform.home.kubeconfig)}
        # kubectl has its cache below the folder, as there is no HOME.
        folder = stack.platform.project
        subprocess.run(command, shell=True, env=environment, cwd=folder, check=True, capture_output=True)
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


def stored_in_a_dropped_version(stack: Stack) -> list[str]:
    """Store a Bucket in a version that the manifest lacks. Returns the commands by which the refused preview helps."""
    name, kubectl = "buckets.source.toolkit.fluxcd.io", stack.platform.kubectl
    definition = json.loads(kubectl("get", "crd", name, "-o", "json"))
    (version,) = definition["spec"]["versions"]
    definition["spec"]["versions"] = [version, {**version, "name": "v1beta2", "storage": False}]
    kubectl("replace", "-f", "-", stdin=json.dumps(definition))
    status = json.dumps({"status": {"storedVersions": ["v1beta2", "v1"]}})
    kubectl("patch", "crd", name, "--subresource=status", "--type=merge", "-p", status)
    bucket = {"bucketName": "b", "endpoint": "s3.example.com", "interval": "1h", "suspend": True}
    metadata = {"name": "stored", "namespace": "default"}
    item = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "Bucket", "metadata": metadata, "spec": bucket}
    kubectl("apply", "-f", "-", stdin=json.dumps(item))
    done = stack.run("preview", check=False)
    assert done.returncode
    said = " ".join((done.stdout + done.stderr).split())
    assert "fluxManifest: objects of buckets.source.toolkit.fluxcd.io may be stored as v1beta2, which the new" in said
    return re.findall(r"`(kubectl .*?)`", said)


def ids(stack: Stack) -> dict[str, str]:
    """The resources of the state; without ciphertexts, which differ at each write."""
    return {resource["urn"]: resource.get("id", "") for resource in stack.exported()["deployment"]["resources"]}
