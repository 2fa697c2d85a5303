"""What the stand-in for the Kubernetes provider does, asked as the engine asks it, on a real API server."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from standins.codec import UNKNOWN, Secret, from_struct, get, plain, to_struct
from tests.platform import Platform

Object = dict[str, Any]

NAMESPACE = "plugin-test"


class Plugin:
    """A running provider process, and requests to it in the engine's order: check, then the operation."""

    def __init__(self, platform: Platform, **config: Any) -> None:
        folder = platform.home.pulumi_home / f"plugins/resource-kubernetes-v{metadata.version('pulumi-kubernetes')}"
        self.process = subprocess.Popen(
            [folder / "pulumi-resource-kubernetes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        channel = grpc.insecure_channel(f"127.0.0.1:{self.process.stdout.readline().strip()}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(channel)
        args = to_struct({"kubeconfig": str(platform.home.kubeconfig), **config})
        self.stub.Configure(provider_pb2.ConfigureRequest(args=args))

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate()

    def check(self, item: Object, old: Object | None = None) -> Object:
        request = provider_pb2.CheckRequest(urn=urn(item), news=to_struct(item), olds=to_struct(old or {}))
        return from_struct(self.stub.Check(request).inputs)

    def create(self, item: Object, *, preview: bool = False, timeout: float = 0) -> Object:
        properties = to_struct(self.check(item))
        request = provider_pb2.CreateRequest(urn=urn(item), properties=properties, preview=preview, timeout=timeout)
        return from_struct(self.stub.Create(request).properties)

    def diff(self, old: Object, new: Object) -> provider_pb2.DiffResponse:
        old, new = self.check(old), self.check(new, old)
        return self.stub.Diff(
            provider_pb2.DiffRequest(id=identify(old), urn=urn(old), old_inputs=to_struct(old), news=to_struct(new))
        )

    def update(self, state: Object, new: Object, *, preview: bool = False) -> Object:
        request = provider_pb2.UpdateRequest(
            id=identify(new), urn=urn(new), olds=to_struct(state), news=to_struct(self.check(new)), preview=preview
        )
        return from_struct(self.stub.Update(request).properties)

    def read(self, item: Object, state: Object | None = None) -> provider_pb2.ReadResponse:
        inputs = to_struct(self.check(item) if state else {})
        return self.stub.Read(
            provider_pb2.ReadRequest(id=identify(item), urn=urn(item), inputs=inputs, properties=to_struct(state or {}))
        )

    def delete(self, item: Object, *, timeout: float = 60) -> None:
        request = provider_pb2.DeleteRequest(
            id=identify(item), urn=urn(item), old_inputs=to_struct(item), timeout=timeout
        )
        self.stub.Delete(request)


def urn(item: Object) -> str:
    group, _, version = item["apiVersion"].rpartition("/")
    name = item["metadata"].get("name", "autonamed")
    return f"urn:pulumi:test::test::kubernetes:{group or 'core'}/{version}:{item['kind']}::{name}"


def identify(item: Object) -> str:
    namespace = item["metadata"].get("namespace")
    return f"{namespace}/{item['metadata']['name']}" if namespace else item["metadata"]["name"]


def config_map(name: str, **data: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": data,
    }


def definition(plural: str, kind: str) -> Object:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "required": ["path"], "properties": {}}}}
    schema["properties"]["spec"]["properties"] = {"path": {"type": "string"}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.test.example.org"},
        "spec": {
            "group": "test.example.org",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def custom(kind: str, **spec: Any) -> Object:
    return {
        "apiVersion": "test.example.org/v1",
        "kind": kind,
        "metadata": {"name": "one", "namespace": NAMESPACE},
        "spec": spec,
    }


def deployment(name: str, image: str = "example.org/none:1") -> Object:
    """One whose pod can't run: no node has the label that it asks for."""
    container = {"name": "main", "image": image, "resources": {"limits": {"cpu": "1000m"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"nodeSelector": {"no": "such-node"}, "containers": [container]},
            },
        },
    }


@pytest.fixture(scope="module")
def plugin(platform: Platform) -> Iterator[Plugin]:
    plugin = Plugin(platform, upsertExistingObjects="true", enableConfigMapMutable="true", enableSecretMutable="true")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    plugin.create(namespace)
    yield plugin
    plugin.delete(namespace, timeout=120)
    plugin.stop()


def message(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    assert isinstance(error.value, grpc.Call)
    return str(error.value.details())


def test_creating_applies_the_object_and_keeps_what_the_server_made_of_it(platform: Platform, plugin: Plugin) -> None:
    state = plugin.create(config_map("plain", a="1"))
    live = platform.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/plain")
    assert live
    assert live["data"] == {"a": "1"}
    assert get(state, "metadata", "uid") == live["metadata"]["uid"]


def test_a_field_that_the_program_drops_is_dropped_from_the_object(platform: Platform, plugin: Plugin) -> None:
    state = plugin.create(config_map("dropping", a="1", b="2"))
    plugin.update(state, config_map("dropping", a="1"))
    live = platform.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/dropping")
    assert live
    assert live["data"] == {"a": "1"}


def test_an_object_without_a_name_gets_one_and_keeps_it(plugin: Plugin) -> None:
    nameless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": NAMESPACE}}
    named = plugin.check(nameless)
    assert get(named, "metadata", "name").startswith("autonamed-")
    assert plugin.check(nameless, named) == named


def test_secrets_stay_secret_in_what_goes_into_state(plugin: Plugin) -> None:
    item = config_map("half-secret", open="yes", hidden=Secret("s3cr3t-value"))
    state = plugin.create(item)
    assert get(state, "data", "hidden") == Secret("s3cr3t-value")
    assert get(state, "data", "open") == "yes"
    password = {**config_map("password"), "kind": "Secret", "data": {}, "stringData": {"key": "s3cr3t-value"}}
    state = plugin.create(password)
    assert isinstance(state["data"], Secret)
    assert plain(state["data"]) == {"key": "czNjcjN0LXZhbHVl"}
    assert "s3cr3t-value" not in repr(state)


def test_an_error_does_not_repeat_a_secret(plugin: Plugin) -> None:
    item = config_map("leaky")
    item["metadata"]["labels"] = {"team": Secret("not a valid label: s3cr3t")}
    with pytest.raises(grpc.RpcError) as error:
        plugin.create(item)
    assert "[secret]" in message(error)
    assert "s3cr3t" not in message(error)


def test_a_preview_asks_the_server_and_changes_nothing(platform: Platform, plugin: Plugin) -> None:
    planned = plugin.create(config_map("planned", a="1"), preview=True)
    assert get(planned, "data", "a") == "1"
    assert get(planned, "metadata", "uid") is None
    assert platform.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/planned") is None
    with pytest.raises(grpc.RpcError) as error:
        plugin.create({**config_map("planned"), "dat": {}}, preview=True)
    assert "dat" in message(error)


def test_a_preview_tolerates_what_does_not_exist_yet(plugin: Plugin) -> None:
    unknown = config_map("later", a=UNKNOWN)
    assert get(plugin.create(unknown, preview=True), "data", "a") is UNKNOWN
    elsewhere = config_map("later", a="1")
    elsewhere["metadata"]["namespace"] = "not-made-yet"
    plugin.create(elsewhere, preview=True)
    plugin.create(custom("NotMadeYet", path="x"), preview=True)


def test_an_object_can_follow_its_definition_at_once(plugin: Plugin) -> None:
    plugin.create(definition("quicks", "Quick"))
    plugin.create(custom("Quick", path="x"))
    with pytest.raises(grpc.RpcError) as error:
        plugin.create(custom("Quick", path=5), preview=True)
    assert "spec.path" in message(error)
    plugin.delete(custom("Quick"))
    plugin.delete(definition("quicks", "Quick"))


def test_a_kind_that_nobody_defines_is_an_error_that_says_so(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as error:
        plugin.create(custom("Nowhere", path="x"))
    assert "Is its CRD installed?" in message(error)


@pytest.mark.parametrize(
    ("kind", "change", "replaced"),
    [
        pytest.param("ConfigMap", {"data": {"a": "2"}}, [], id="data of a ConfigMap: in place"),
        pytest.param("Namespace", {"metadata": {"name": "other"}}, ["metadata.name"], id="another name"),
        pytest.param(
            "RoleBinding", {"roleRef": {"kind": "ClusterRole", "name": "edit"}}, ["roleRef.name"], id="another role"
        ),
    ],
)
def test_what_the_server_forbids_to_change_is_replaced(
    plugin: Plugin, kind: str, change: Object, replaced: list[str]
) -> None:
    version = "rbac.authorization.k8s.io/v1" if kind == "RoleBinding" else "v1"
    old = {**config_map("changing"), "apiVersion": version, "kind": kind, "data": {"a": "1"}}
    old["roleRef"] = {"kind": "ClusterRole", "name": "view"}
    new = {**old, **change}
    answer = plugin.diff(old, new)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == replaced
    assert answer.deleteBeforeReplace == (replaced == ["roleRef.name"])


def test_config_maps_and_secrets_are_replaced_unless_the_provider_may_change_them(platform: Platform) -> None:
    cautious = Plugin(platform)
    try:
        answer = cautious.diff(config_map("careful", a="1"), config_map("careful", a="2"))
        assert list(answer.replaces) == ["data.a"]
    finally:
        cautious.stop()


def test_an_existing_object_is_adopted_only_if_the_provider_may(platform: Platform, plugin: Plugin) -> None:
    plugin.create(config_map("taken", a="1"))
    cautious = Plugin(platform)
    try:
        with pytest.raises(grpc.RpcError) as error:
            cautious.create(config_map("taken", a="1"))
        assert "exists already" in message(error)
    finally:
        cautious.stop()
    plugin.create(config_map("taken", a="1"))


def test_a_conflict_names_the_other_owner_and_force_takes_over(platform: Platform, plugin: Plugin) -> None:
    state = plugin.create(config_map("contested", a="1"))
    platform.kubectl("patch", "configmap", "contested", "-n", NAMESPACE, "--type=merge", '--patch={"data":{"a":"x"}}')
    with pytest.raises(grpc.RpcError) as error:
        plugin.update(state, config_map("contested", a="2"))
    assert "kubectl-patch" in message(error)
    assert "pulumi.com/patchForce" in message(error)
    forced = config_map("contested", a="2")
    forced["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    assert get(plugin.update(state, forced), "data", "a") == "2"


def test_a_refresh_shows_what_others_changed_and_not_what_the_server_normalised(
    platform: Platform, plugin: Plugin
) -> None:
    item = deployment("drifting")
    item["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    state = plugin.create(item)
    inputs = from_struct(plugin.read(item, state).inputs)
    assert inputs == plugin.check(item)
    platform.kubectl("set", "image", "deployment/drifting", "main=example.org/other:2", "-n", NAMESPACE)
    inputs = from_struct(plugin.read(item, state).inputs)
    assert get(inputs, "spec", "template", "spec", "containers", 0, "image") == "example.org/other:2"
    assert get(inputs, "spec", "template", "spec", "containers", 0, "resources", "limits", "cpu") == "1000m"
    plugin.delete(item)
    assert plugin.read(item, state).id == ""


def test_an_import_reads_inputs_that_change_nothing(plugin: Plugin) -> None:
    state = plugin.create(config_map("imported", a="1"))
    inputs = from_struct(plugin.read(config_map("imported")).inputs)
    assert get(inputs, "data") == {"a": "1"}
    assert get(inputs, "metadata", "uid") is None
    plugin.update(state, inputs)


def test_a_deployment_that_does_not_come_up_fails_but_is_kept_in_state(plugin: Plugin) -> None:
    item = deployment("hopeless")
    with pytest.raises(grpc.RpcError) as error:
        plugin.create(item, timeout=2)
    assert "hopeless was not ready within 2 s" in message(error)
    assert "can't be scheduled" in message(error)
    assert isinstance(error.value, grpc.Call)
    trailing = {entry.key: entry.value for entry in error.value.trailing_metadata()}
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    kept = provider_pb2.ErrorResourceInitFailed()
    status.details[0].Unpack(kept)
    assert kept.id == f"{NAMESPACE}/hopeless"
    assert get(from_struct(kept.properties), "metadata", "uid")
    plugin.delete(item)


def test_waiting_for_a_condition_ends_when_it_holds(platform: Platform, plugin: Plugin) -> None:
    item = config_map("awaited", phase="Pending")
    item["metadata"]["annotations"] = {"pulumi.com/waitFor": "jsonpath={.data.phase}=Ready"}
    patch = ["patch", "configmap", "awaited", "-n", NAMESPACE, "--type=merge", '--patch={"data":{"phase":"Ready"}}']

    def make_ready() -> None:
        while platform.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/awaited") is None:
            threading.Event().wait(0.1)
        platform.kubectl(*patch)

    with ThreadPoolExecutor() as pool:
        readiness = pool.submit(make_ready)
        state = plugin.create(item, timeout=30)
        readiness.result()
    assert get(state, "data", "phase") == "Ready"


def test_deleting_waits_until_the_object_is_gone_and_says_what_holds_it(platform: Platform, plugin: Plugin) -> None:
    item = config_map("held")
    item["metadata"]["finalizers"] = ["test.example.org/hold"]
    plugin.create(item)
    with pytest.raises(grpc.RpcError) as error:
        plugin.delete(item, timeout=1)
    assert "test.example.org/hold" in message(error)
    platform.kubectl(
        "patch", "configmap", "held", "-n", NAMESPACE, "--type=merge", '--patch={"metadata":{"finalizers":null}}'
    )
    plugin.delete(item)
    assert platform.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/held") is None


def test_deleting_what_is_gone_already_succeeds(plugin: Plugin) -> None:
    plugin.delete(config_map("never-there"))
    plugin.delete(custom("NeverDefined"))


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"kubeconfig": "elsewhere"}, []),
        ({"kubeconfig": UNKNOWN}, []),
        ({"clusterIdentifier": "other"}, ["clusterIdentifier"]),
    ],
)
def test_only_another_cluster_identifier_replaces_the_provider(
    plugin: Plugin, change: Object, replaces: list[str]
) -> None:
    old = {"kubeconfig": "here", "clusterIdentifier": "one"}
    request = provider_pb2.DiffRequest(old_inputs=to_struct(old), news=to_struct({**old, **change}))
    answer = plugin.stub.DiffConfig(request)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == replaces


def test_a_preview_works_before_the_cluster_exists(platform: Platform) -> None:
    early = Plugin(platform, kubeconfig=UNKNOWN)
    try:
        assert get(early.create(config_map("early", a="1"), preview=True), "data", "a") == "1"
        with pytest.raises(grpc.RpcError) as error:
            early.create(config_map("early", a="1"))
        assert "not known before the cluster exists" in message(error)
    finally:
        early.stop()
