"""The embedded platform's OCI registry on loopback: go-containerregistry's `registry`, and images pushed to it.

It replaces a cloud registry: manifests and tenants.yaml use that registry's name, which `mirror` maps to this one. The
server keeps everything in memory, so what `push` pushed is recorded, and pushed again when it starts. The same
repository and tag give the same bytes, and so the same digest.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local import files, processes
from local.home import Home

NAME = "registry"
HOST = "registry.acme.example"
"""The registry's name for the program and for the products' manifests."""

FIRST_RELEASES = {"product": ["1.0.0"]}
"""What is there from the start: the sample product's image, which its manifests name."""

MEDIA_TYPE = "application/vnd.oci.image"
READY_SECONDS = 30.0


class RegistryError(RuntimeError):
    """The registry refuses a request. The message says which."""


def start(home: Home, tools: Mapping[str, Path]) -> None:
    """Start the registry unless it runs, with all images that were pushed to it before."""
    running = NAME in processes.running(home)
    # Without the user's environment; it listens on localhost only.
    processes.start(
        home,
        NAME,
        [tools[NAME], f"-port={home.port(NAME)}"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home.path)},
        ready=lambda: processes.http_ok(f"http://127.0.0.1:{home.port(NAME)}/v2/"),
        timeout=READY_SECONDS,
    )
    if not running:
        for repository, tags in releases(home).items():
            for tag in tags:
                _upload(home, repository, tag)


def stop(home: Home) -> None:
    """Stop the registry."""
    processes.stop(home, NAME)


def mirror(home: Home) -> dict[str, str]:
    """The entry of the mirrors file that leads from the registry's name to this one."""
    return {"prefix": f"oci://{HOST}/", "url": f"http://127.0.0.1:{home.port(NAME)}/"}


def releases(home: Home) -> dict[str, list[str]]:
    """Tags by repository, in the order in which they were pushed."""
    record = _record(home)
    return json.loads(record.read_text()) if record.exists() else FIRST_RELEASES


def push(home: Home, repository: str, tag: str) -> str:
    """Push an image of a few bytes, which nothing runs here, and return its digest. Raises RegistryError."""
    digest = _upload(home, repository, tag)
    pushed = releases(home)
    tags = [*(known for known in pushed.get(repository, []) if known != tag), tag]
    files.write_atomically(_record(home), json.dumps({**pushed, repository: tags}, indent=1))
    return digest


def delete(home: Home, repository: str, tag: str) -> None:
    """Remove a tag, as a careless clean-up would. Raises RegistryError."""
    _request(home, "DELETE", f"/v2/{repository}/manifests/{tag}", expected=202)
    left = {
        name: [known for known in tags if (name, known) != (repository, tag)] for name, tags in releases(home).items()
    }
    files.write_atomically(_record(home), json.dumps(left, indent=1))


def _record(home: Home) -> Path:
    return home.path / "releases.json"


@dataclass(frozen=True)
class Image:
    """An image of a few bytes: its manifest, and the blobs that this names, by media type."""

    manifest: bytes
    blobs: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """The manifest's digest, which names the image."""
        return _digest(self.manifest)


def image(repository: str, tag: str) -> Image:
    """The image of a release: uncompressed and of one architecture, so that each machine makes the same digest."""
    layer = _layer(f"{repository} {tag}\n")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {"org.opencontainers.image.version": tag}},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs = {f"{MEDIA_TYPE}.config.v1+json": json.dumps(config).encode(), f"{MEDIA_TYPE}.layer.v1.tar": layer}
    described = [{"mediaType": kind, "size": len(blob), "digest": _digest(blob)} for kind, blob in blobs.items()]
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA_TYPE}.manifest.v1+json",
        "config": described[0],
        "layers": described[1:],
    }
    return Image(json.dumps(manifest).encode(), blobs)


def _upload(home: Home, repository: str, tag: str) -> str:
    made = image(repository, tag)
    for blob in made.blobs.values():
        _request(home, "POST", f"/v2/{repository}/blobs/uploads/?digest={_digest(blob)}", blob, expected=201)
    kind = f"{MEDIA_TYPE}.manifest.v1+json"
    _request(home, "PUT", f"/v2/{repository}/manifests/{tag}", made.manifest, kind=kind, expected=201)
    return made.digest


def _layer(text: str) -> bytes:
    """A tar archive of one file, without times and owners."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("version")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    return archive.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _request(
    home: Home, method: str, path: str, body: bytes = b"", *, kind: str = "application/octet-stream", expected: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", home.port(NAME), timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        if answer.status != expected:
            raise RegistryError(f"the registry answers {method} {path} with {answer.status}: {answer.read().decode()}")
    except OSError as error:
        raise RegistryError(f"the registry does not answer: {error}. Start the platform with `make up`.") from error
    finally:
        connection.close()
