"""Certificate authorities, certificates and keys of one platform.

A certificate and its private key are in one file: Go programs read both from it, and a kill -9 can't separate them.
Certificates live as long as their authority. Renewing them would gain nothing: they give access to loopback ports only,
and only the owner of the platform's folder can read them.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from filelock import FileLock

from local.files import write_atomically

LIFETIME = datetime.timedelta(days=3650)
LOOPBACK = ("127.0.0.1", "localhost")
"""Host names of servers."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority, created when first used. `folder` holds its files and all certificates it issued."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """The authority's certificate, without its key, for those who trust it."""
        path = self.folder / "ca.crt"
        if not path.exists():
            with _lock(self.folder):
                certificate, _ = split(self._bundle().read_text())
                write_atomically(path, certificate, mode=0o644)
        return path

    def client(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Certificate and key of a user in `groups`."""
        name = user.replace(":", "_")
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        names.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        return self._issue(f"client-{name}", x509.Name(names), ExtendedKeyUsageOID.CLIENT_AUTH)

    def server(self, name: str, hosts: Sequence[str] = LOOPBACK, *, also_client: bool = False) -> Path:
        """Certificate and key of a server at `hosts`; `also_client` for members of an etcd cluster."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] + [ExtendedKeyUsageOID.CLIENT_AUTH] * also_client
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._issue(f"server-{name}", subject, *usages, hosts=hosts)

    def _issue(self, name: str, subject: x509.Name, *usages: x509.ObjectIdentifier, hosts: Sequence[str] = ()) -> Path:
        path = self.folder / f"{name}.pem"
        if not path.exists():
            with _lock(self.folder):
                if not path.exists():
                    self._sign(path, subject, usages, hosts)
        return path

    def _sign(
        self, path: Path, subject: x509.Name, usages: Sequence[x509.ObjectIdentifier], hosts: Sequence[str]
    ) -> None:
        authority = self._bundle().read_bytes()
        issuer = x509.load_pem_x509_certificate(authority)
        issuer_key = serialization.load_pem_private_key(authority, password=None)
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, issuer.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
                critical=False,
            )
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        _write(path, builder.sign(issuer_key, hashes.SHA256()), key)

    def _bundle(self) -> Path:
        path = self.folder / "ca.pem"
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"saas-in-eks-local-{self.folder.name}")])
            usage = dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
                False,
            )
            usage |= {"key_cert_sign": True, "crl_sign": True, "encipher_only": False, "decipher_only": False}
            certificate = (
                _builder(name, name, key)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(x509.KeyUsage(**usage), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256())
            )
            _write(path, certificate, key)
        return path


def split(bundle: str) -> tuple[str, str]:
    """Split a file's content into certificate and private key."""
    certificate, end, key = bundle.partition("-----END CERTIFICATE-----\n")
    return certificate + end, key


def signing_key(path: Path) -> tuple[Path, Path]:
    """The files of a key pair that signs tokens, created when first used: private key, public key."""
    private, public = path.with_suffix(".key"), path.with_suffix(".pub")
    with _lock(path.parent):
        if not private.exists():
            write_atomically(private, _pem(ec.generate_private_key(ec.SECP256R1())))
        if not public.exists():
            key = serialization.load_pem_private_key(private.read_bytes(), password=None).public_key()
            pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            write_atomically(public, pem.decode(), mode=0o644)
    return private, public


def _lock(folder: Path) -> FileLock:
    """Held while files of a folder are created, so that two concurrent `up`s do not create them twice."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return FileLock(folder / "lock")


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks get set back
        .not_valid_after(now + LIFETIME)
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _write(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write_atomically(path, certificate.public_bytes(serialization.Encoding.PEM).decode() + _pem(key))
