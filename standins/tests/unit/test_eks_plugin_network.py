"""Network requests of the pulumi-eks stand-in, and the AWS profile in its kubeconfig."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from standins.eks import network
from standins.eks.kubeconfig import kubeconfig

ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123"
CLOSED = "127.0.0.1:9"


def self_signed(path: Path) -> str:
    """Write a key with its certificate. Returns the certificate in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_text(private.decode() + pem)
    return pem


@dataclass
class Server:
    """A TLS server that answers /healthz with the given codes, repeating the last."""

    address: str
    certificate: str
    codes: list[int] = field(default_factory=lambda: [200])
    asked: list[str] = field(default_factory=list)

    @property
    def authority(self) -> str:
        return base64.b64encode(self.certificate.encode()).decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    pem = self_signed(tmp_path / "server.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(made.codes.pop(0) if len(made.codes) > 1 else made.codes[0])
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    made = Server(f"127.0.0.1:{listening.server_port}", pem)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield made
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Records the pauses between attempts, without waiting."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(network.asyncio, "sleep", sleep)
    monkeypatch.setattr(network.pulumi.log, "info", lambda *args, **kwargs: None)
    return made


def test_an_endpoint_that_cannot_be_reached_is_waited_for_five_minutes(pauses: list[float]) -> None:
    endpoint = f"https://{CLOSED}"
    assert asyncio.run(network.wait_for_endpoint(endpoint)) == endpoint
    assert sum(pauses) == 300


def test_an_endpoint_is_ready_when_its_health_check_answers_200(server: Server, pauses: list[float]) -> None:
    server.codes = [500, 503, 200]
    asyncio.run(network.wait_for_endpoint(f"https://{server.address}"))
    assert server.asked == ["/healthz"] * 3
    assert pauses == [5, 5]


def test_an_issuer_that_cannot_be_reached_is_an_error_after_a_minute(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(network.ISSUER_ADDRESS, CLOSED)
    authority = base64.b64encode(self_signed(tmp_path / "other.pem").encode()).decode()
    with pytest.raises(RuntimeError, match=f"Cannot retrieve the certificate fingerprint at the issuer URL: {ISSUER}"):
        asyncio.run(network.thumbprint(ISSUER, authority))
    assert sum(pauses) == 60


def test_an_issuer_with_an_untrusted_certificate_is_an_error(
    server: Server, pauses: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(network.ISSUER_ADDRESS, server.address)
    authority = base64.b64encode(self_signed(tmp_path / "other.pem").encode()).decode()
    with pytest.raises(RuntimeError, match="Cannot retrieve the certificate fingerprint"):
        asyncio.run(network.thumbprint(ISSUER, authority))


def test_a_thumbprint_is_the_sha1_of_the_ca(
    server: Server, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(network.ISSUER_ADDRESS, server.address)
    der = ssl.PEM_cert_to_DER_cert(server.certificate)
    expected = hashlib.sha1(der).hexdigest()
    assert asyncio.run(network.thumbprint(ISSUER, server.authority)) == expected
    assert pauses == []


def test_a_profile_is_an_argument_of_the_command_for_tokens() -> None:
    def arguments(profile: str | None) -> list[str]:
        return kubeconfig("prod", "https://x", "eu-west-1", "Q0E=", profile=profile)["users"][0]["user"]["exec"]["args"]

    assert arguments("alice") == [*arguments(None), "--profile", "alice"]
