"""Stand-in for pulumi-resource-tls: generates real private keys. Run as `python -m standins.tls`."""

from __future__ import annotations

if __name__ == "__main__":
    import standins.without_sdk  # noqa: F401 - before anything else: see there

# isort: split
import base64
import hashlib
from collections.abc import Iterable

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from standins.provider import Kind, Property, StandIn, Values, serve

VERSION = "5.6.2"
_CURVES = {"P224": ec.SECP224R1, "P256": ec.SECP256R1, "P384": ec.SECP384R1, "P521": ec.SECP521R1}
_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class PrivateKey(Kind):
    """A key pair, kept only in Pulumi's state; any change replaces it."""

    token = "tls:index/privateKey:PrivateKey"  # noqa: S105 - a type's name
    properties = {
        "algorithm": Property(required=True, replaces=True, choices=("RSA", "ECDSA", "ED25519")),
        "ecdsaCurve": Property(replaces=True, default="P224", choices=tuple(_CURVES)),
        "rsaBits": Property(int, replaces=True, default=2048),
    }
    secret_outputs = ("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh")
    outputs = (
        *secret_outputs,
        "publicKeyPem",
        "publicKeyOpenssh",
        "publicKeyFingerprintMd5",
        "publicKeyFingerprintSha256",
    )

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        bits = inputs["rsaBits"]
        if isinstance(bits, int) and not 1024 <= bits <= 16384:
            yield "rsaBits", f"an RSA key of {bits} bits can't be used: take 2048 or more"

    def create(self, inputs: Values) -> tuple[str, Values]:
        key = _generate(inputs)
        der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        # The id is the one that the official provider gives.
        return hashlib.sha1(der.strip(), usedforsecurity=False).hexdigest(), {**inputs, **_described(key)}

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        # There is nothing outside the state to read, hence nothing to import either.
        return (identifier, state) if state.get("publicKeyPem") else None

    def delete(self, identifier: str, state: Values) -> None:
        pass


def _generate(inputs: Values) -> _Key:
    if inputs["algorithm"] == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=inputs["rsaBits"])
    if inputs["algorithm"] == "ECDSA":
        return ec.generate_private_key(_CURVES[inputs["ecdsaCurve"]]())
    return ed25519.Ed25519PrivateKey.generate()


def _described(key: _Key) -> Values:
    """The official provider's outputs of a key. OpenSSH has no P-224, so there the SSH forms are empty."""
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    pkcs8 = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode()
    public = key.public_key()
    state = {
        "privateKeyPem": pkcs8,
        "privateKeyPemPkcs8": pkcs8,
        "privateKeyOpenssh": "",
        "publicKeyPem": public.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode(),
        "publicKeyOpenssh": "",
        "publicKeyFingerprintMd5": "",
        "publicKeyFingerprintSha256": "",
    }
    if not isinstance(key, ed25519.Ed25519PrivateKey):  # which has no older form
        traditional = serialization.PrivateFormat.TraditionalOpenSSL
        state["privateKeyPem"] = key.private_bytes(pem, traditional, plain).decode()
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP224R1):
        return state
    openssh = serialization.PrivateFormat.OpenSSH
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    blob = base64.b64decode(line.split()[1])
    md5 = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return state | {
        "privateKeyOpenssh": key.private_bytes(pem, openssh, plain).decode(),
        "publicKeyOpenssh": line + "\n",
        "publicKeyFingerprintMd5": ":".join(md5[at : at + 2] for at in range(0, len(md5), 2)),
        "publicKeyFingerprintSha256": "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("="),
    }


def stand_in() -> StandIn:
    return StandIn("tls", VERSION, "private keys only", kinds={PrivateKey.token: PrivateKey()})


if __name__ == "__main__":
    serve(stand_in())
