"""The parts of the Kubernetes stand-in that need no API server."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from standins.codec import (
    UNKNOWN,
    Secret,
    from_struct,
    has_unknown,
    mark_secrets,
    parse_path,
    path_text,
    plain,
    redact,
    secret_texts,
    to_struct,
)
from standins.kubernetes import identity, jsonpath, kubeconfig, readiness
from standins.kubernetes.api import Api
from standins.kubernetes.changes import difference, drift

texts = st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts | st.just(UNKNOWN)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4) | st.builds(Secret, inner),
    max_leaves=10,
)
objects = st.dictionaries(texts, values, max_size=4)


@given(objects)
def test_values_survive_the_protocol(item: dict[str, Any]) -> None:
    assert from_struct(to_struct(item)) == item


@given(st.lists(st.integers(0, 99) | texts, min_size=1).map(tuple).filter(lambda path: isinstance(path[0], str)))
def test_paths_survive_being_written(path: tuple[str | int, ...]) -> None:
    assert parse_path(path_text(path)) == path


@given(objects)
def test_an_object_does_not_differ_from_itself(item: dict[str, Any]) -> None:
    assert has_unknown(item) == bool(difference(item, item))


@given(objects)
def test_marking_secrets_again_restores_them(item: dict[str, Any]) -> None:
    assert plain(mark_secrets(plain(item), item)) == plain(item)
    assert set(secret_texts(mark_secrets(plain(item), item))) == set(secret_texts(item))


def test_no_part_of_an_overlapping_secret_is_left() -> None:
    assert redact("key is abcdef", ["abcd", "abcdef"]) == "key is [secret]"


def test_differences_name_the_smallest_part_that_changed() -> None:
    old = {"spec": {"containers": [{"image": "a", "args": ["x"]}], "gone": 1}}
    new = {"spec": {"containers": [{"image": "b", "args": ["x", "y"]}], "labels": {"app.kubernetes.io/name": "n"}}}
    assert {path_text(path): change for path, change in difference(old, new).items()} == {
        "spec.containers[0].image": "UPDATE",
        "spec.containers[0].args[1]": "ADD",
        "spec.labels": "ADD",
        "spec.gone": "DELETE",
    }


def test_drift_is_what_changed_since_the_object_was_last_seen() -> None:
    inputs = {"cpu": "1000m", "image": "a", "labels": {"x": "1"}, "args": ["p", "q"]}
    seen = {"cpu": "1", "image": "a", "labels": {"x": "1"}, "args": ["p", "q"], "default": True}
    live = {"cpu": "1", "image": "b", "labels": {"y": "2"}, "args": ["p", "z"], "default": False}
    assert drift(inputs, seen, live) == {"cpu": "1000m", "image": "b", "labels": {}, "args": ["p", "z"]}
    assert drift(inputs, seen, seen) == inputs


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("kubernetes:core/v1:Namespace", ("v1", "Namespace")),
        ("kubernetes:apps/v1:Deployment", ("apps/v1", "Deployment")),
        ("kubernetes:source.toolkit.fluxcd.io/v1:GitRepository", ("source.toolkit.fluxcd.io/v1", "GitRepository")),
    ],
)
def test_a_type_leads_to_its_kind(token: str, expected: tuple[str, str]) -> None:
    assert identity.group_version_kind(token) == expected


@pytest.mark.parametrize(
    "token", ["kubernetes:helm.sh/v3:Release", "kubernetes:core/v1:PodList", "kubernetes:yaml/v2:ConfigGroup2:x"]
)
def test_what_is_no_single_object_is_refused(token: str) -> None:
    with pytest.raises(identity.UnsupportedTypeError, match="official provider"):
        identity.group_version_kind(token)


@pytest.mark.parametrize(
    ("expression", "ready"),
    [
        ("condition=Ready", True),
        ("condition=Stalled", False),
        ("condition=Stalled=False", True),
        ("jsonpath={.status.phase}=Running", True),
        ("jsonpath={.status.phase}=Pending", False),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.missing}", False),
        ('jsonpath={.status.conditions[?(@.type=="Ready")].status}=True', True),
        ("jsonpath={.status.conditions[1].status}=False", True),
        ('["condition=Ready", "jsonpath={.status.replicas}=3"]', True),
        ('["condition=Ready", "jsonpath={.status.replicas}=4"]', False),
    ],
)
def test_a_wait_annotation_is_read_as_kubectl_reads_it(expression: str, ready: bool) -> None:
    item = {
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {"annotations": {readiness.WAIT_FOR: expression}},
        "status": {
            "phase": "Running",
            "replicas": 3,
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Stalled", "status": "False"}],
        },
    }
    check = readiness.check_for(item)
    assert check
    assert (check(Mock(spec=Api), item) is None) == ready


@pytest.mark.parametrize("expression", ["Ready", "jsonpath={.a[}", "[]"])
def test_a_malformed_wait_annotation_is_an_error(expression: str) -> None:
    with pytest.raises(ValueError, match=r"waitFor|JSONPath"):
        readiness.check_for({"metadata": {"annotations": {readiness.WAIT_FOR: expression}}})


def test_jsonpath_finds_every_value() -> None:
    steps, wanted = jsonpath.parse("{.items[*].name}")
    assert wanted is None
    assert jsonpath.find({"items": [{"name": "a"}, {"name": "b"}, {}]}, steps) == ["a", "b"]


def config(user: dict[str, Any], **cluster: Any) -> str:
    return yaml.safe_dump(
        {
            "current-context": "one",
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "me", "namespace": "mine"}}],
            "clusters": [{"name": "one", "cluster": {"server": "http://127.0.0.1:1/", **cluster}}],
            "users": [{"name": "me", "user": user}],
        }
    )


def test_a_kubeconfig_may_be_text_or_a_path(tmp_path: Path) -> None:
    text = config({"token": "t0ken"})
    (tmp_path / "config").write_text(text)
    for given_config in (text, "config", str(tmp_path / "config")):
        cluster = kubeconfig.load(given_config, tmp_path)
        assert (cluster.server, cluster.namespace) == ("http://127.0.0.1:1", "mine")
        assert cluster.headers() == {"Authorization": "Bearer t0ken"}


def test_credentials_may_come_from_a_file_or_a_program(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    assert kubeconfig.load(config({"tokenFile": "token"}), tmp_path).headers() == {"Authorization": "Bearer from-file"}
    answer = json.dumps({"kind": "ExecCredential", "status": {"token": "from-program"}})
    program = {"command": sys.executable, "args": ["-c", f"print({answer!r})"]}
    cluster = kubeconfig.load(config({"exec": program}), tmp_path)
    assert cluster.headers() == {"Authorization": "Bearer from-program"}
    basic = kubeconfig.load(config({"username": "u", "password": "p"}), tmp_path).headers()["Authorization"]
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"u:p"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Config\nclusters: []\n", "no current-context"),
        ("nonsense:\n  [\n", "not YAML"),
        ("just: text\nand: more\n", "no clusters"),
        ("no-such-file", "can't read"),
        (config({"exec": {"command": "no-such-program"}}), "did not run"),
        (config({"tokenFile": "no-such-file"}), "tokenFile"),
    ],
)
def test_an_unusable_kubeconfig_is_an_error_that_says_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(kubeconfig.KubeconfigError, match=said):
        kubeconfig.load(text, tmp_path)
