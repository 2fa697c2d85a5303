"""A project folder, a server that answers /version, and a small Flux manifest."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime.proto import source_pb2

from components.kubectl import KubectlError, kubectl
from tests.program import recorder
from tests.program.recorder import Github, Recording

TENANTS = """\
defaults: {prune: true, role: admin}
tenants:
  - name: alpha
    source: {url: "ssh://git@github.com/acme/product", branch: main, path: ./kustomize, private: true}
  - name: beta
    source: {url: "https://github.com/stefanprodan/podinfo", branch: master, path: ./kustomize}
"""

UID = "c0ffee00-0000-4000-8000-000000000000"
"""Of the namespace kube-system."""
CONFIG = {"cluster": "eu", "owner": "acme", "fluxManifest": "install.yaml"}


@pytest.fixture(autouse=True, scope="session")
def no_stack_traces() -> Iterator[None]:
    """Without the stack trace that the SDK adds to each registration: no test reads it, and it costs a seventh."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pulumi.runtime.resource._get_stack_trace", source_pb2.StackTrace)
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[Callable[..., str]]:
    """Kubeconfigs of servers with a given version and given objects by their paths."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(version: str, objects: Mapping[str, Any] | None = None) -> str:
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                system = {"metadata": {"name": "kube-system", "uid": UID}}
                found = {"/api/v1/namespaces": {"items": [system]}, **(objects or {})}
                body = json.dumps(found.get(self.path.partition("?")[0], {"gitVersion": version})).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "it",
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "users": [{"name": "it", "user": {}}],
            }
        )

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture(scope="session")
def modern_cluster(cluster: Callable[..., str]) -> str:
    return cluster("v1.36.4")


@pytest.fixture(autouse=True, scope="session")
def kubectl_once(modern_cluster: str) -> Iterator[None]:
    """The same question to a cluster that never changes is asked once: kubectl costs as much as the program itself."""

    @functools.cache
    def answer(kubeconfig: str, *arguments: str) -> str | KubectlError:
        try:
            return kubectl(kubeconfig, *arguments)
        except KubectlError as error:
            return error

    def ask(kubeconfig: str, *arguments: str) -> str:
        path = Path(kubeconfig) if len(kubeconfig) < 1000 else None
        text = path.read_text() if path and path.is_file() else kubeconfig
        if arguments[0] != "get" or not (text == modern_cluster or recorder.EKS_ENDPOINT in text):
            return kubectl(kubeconfig, *arguments)
        found = answer(text, *arguments)
        if isinstance(found, KubectlError):
            raise found
        return found

    with pytest.MonkeyPatch.context() as patch:
        for module in ("cluster", "preflight", "product.moves", "tenant.pods", "tenant.volumes"):
            patch.setattr(f"components.{module}.kubectl", ask)
        yield


@pytest.fixture(scope="session")
def manifest() -> str:
    return (Path(__file__).parent / "install.yaml").read_text()


Run = Callable[..., Recording]


@pytest.fixture(scope="session")
def image_manifest(manifest: str) -> str:
    """The manifest with both of Flux's image controllers, of which the sample has one."""
    writer = [part for part in manifest.split("---\n") if "image-automation-controller" in part]
    scanner = [part.replace("image-automation", "image-reflector").replace("imageupdateautom", "x") for part in writer]
    return "---\n".join([manifest, *scanner[1:]])


@pytest.fixture(scope="session")
def recordings() -> dict[str, Recording]:
    """Earlier runs of the program by what it was given."""
    return {}


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    modern_cluster: str,
    manifest: str,
    recordings: dict[str, Recording],
) -> Run:
    """Runs the program: run(tenants=…, preview=…, github=…, config={…}, secrets={…}).

    The same arguments give the same recording, without another run. A test that replaces something in the program, or
    reads its log, runs it anew.
    """
    fresh = {"monkeypatch", "caplog", "capsys", "capfd"} & set(request.fixturenames)

    def call(
        tenants: str = TENANTS,
        *,
        config: dict[str, Any] | None = None,
        preview: bool = False,
        github: Github | None = None,
        stack_name: str = "test",
        kubeconfig: str = modern_cluster,
        files: dict[str, str] | None = None,
        answers: dict[str, Any] | None = None,
        earlier: dict[str, Any] | None = None,
        secrets: dict[str, str] | None = None,
    ) -> Recording:
        key = repr((tenants, config, preview, github, stack_name, kubeconfig, files, secrets))
        anew = fresh or answers is not None or earlier is not None
        if key in recordings and not anew:
            return recordings[key]
        folder = recorder.project(tmp_path, tenants, manifest, kubeconfig)
        for name, content in (files or {}).items():
            (folder / name).write_text(content)
        given = {"kubeconfig": str(folder / "kubeconfig"), **CONFIG, **(config or {})}
        recording = recorder.run(
            folder,
            config=given,
            preview=preview,
            github=github,
            stack_name=stack_name,
            answers=answers,
            earlier=earlier,
            secrets=secrets,
        )
        if not anew:
            recordings[key] = recording
        return recording

    return call
