"""The registry: a real one, with the releases of earlier runs."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import processes, registry, toolchain
from local.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home").create()
    registry.start(home, toolchain.ensure())
    try:
        yield home
    finally:
        registry.stop(home)


def get(home: Home, path: str) -> tuple[dict[str, str], dict[str, object]]:
    """Headers, by lower-case name, and content of an answer."""
    with urllib.request.urlopen(f"http://127.0.0.1:{home.port('registry')}/v2/{path}") as answer:
        return {name.lower(): value for name, value in answer.headers.items()}, json.load(answer)


def tags(home: Home) -> object:
    return get(home, "product/tags/list")[1]["tags"]


def test_a_release_is_an_image_with_its_digest(home: Home) -> None:
    assert tags(home) == ["1.0.0"]
    digest = registry.push(home, "product", "1.1.0")
    assert tags(home) == ["1.0.0", "1.1.0"]
    headers, manifest = get(home, "product/manifests/1.1.0")
    assert headers["docker-content-digest"] == digest
    config = manifest["config"]
    assert isinstance(config, dict)
    assert get(home, f"product/blobs/{config['digest']}")[1]["config"] == {
        "Labels": {"org.opencontainers.image.version": "1.1.0"}
    }


def test_releases_survive_a_restart_with_their_digests(home: Home) -> None:
    digest = registry.push(home, "product", "1.1.0")
    registry.stop(home)
    registry.start(home, toolchain.ensure())
    assert tags(home) == ["1.0.0", "1.1.0"]
    assert get(home, "product/manifests/1.1.0")[0]["docker-content-digest"] == digest


def test_a_deleted_tag_stays_deleted(home: Home) -> None:
    registry.delete(home, "product", "1.0.0")
    registry.push(home, "product", "1.1.0")
    registry.stop(home)
    registry.start(home, toolchain.ensure())
    assert tags(home) == ["1.1.0"]


def test_the_registry_listens_on_loopback_only(home: Home) -> None:
    import psutil

    process = psutil.Process(processes.running(home)["registry"])
    assert {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
