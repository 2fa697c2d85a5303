"""The stand-in for pulumi-resource-tls, called as by the engine."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from pulumi.runtime.proto import provider_pb2 as wire

from standins import tls
from standins.codec import UNKNOWN, Secret, from_struct, to_struct
from standins.protocol import Engine
from standins.provider import Servicer

URN = "urn:pulumi:s::p::tls:index/privateKey:PrivateKey::key"
DEFAULTS = {"ecdsaCurve": "P224", "rsaBits": 2048}


@pytest.fixture
def plugin() -> Servicer:
    return Servicer(tls.stand_in(), Engine())


def create(plugin: Servicer, preview: bool = False, **inputs: object) -> dict:
    request = wire.CreateRequest(urn=URN, properties=to_struct({**DEFAULTS, **inputs}), preview=preview)
    return from_struct(plugin.Create(request, None).properties)


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        ({"algorithm": "ECDSA", "ecdsaCurve": "P256"}, "ecdsa-sha2-nistp256"),
        ({"algorithm": "ECDSA", "ecdsaCurve": "P384"}, "ecdsa-sha2-nistp384"),
        ({"algorithm": "ECDSA", "ecdsaCurve": "P521"}, "ecdsa-sha2-nistp521"),
        ({"algorithm": "RSA"}, "ssh-rsa"),
        ({"algorithm": "ED25519"}, "ssh-ed25519"),
    ],
)
def test_each_form_of_a_key_is_the_same_key(plugin: Servicer, inputs: dict, kind: str) -> None:
    key = create(plugin, **inputs)
    assert key["publicKeyOpenssh"].startswith(kind + " ")
    assert key["publicKeyFingerprintSha256"].startswith("SHA256:")
    loaded = [
        serialization.load_pem_private_key(key["privateKeyPem"].value.encode(), None),
        serialization.load_pem_private_key(key["privateKeyPemPkcs8"].value.encode(), None),
        serialization.load_ssh_private_key(key["privateKeyOpenssh"].value.encode(), None),
    ]
    pem, info = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    assert {each.public_key().public_bytes(pem, info).decode() for each in loaded} == {key["publicKeyPem"]}
    assert key["privateKeyPemPkcs8"].value.startswith("-----BEGIN PRIVATE KEY-----")


def test_private_forms_are_secret_and_public_ones_are_not(plugin: Servicer) -> None:
    key = create(plugin, algorithm="ED25519")
    assert {name for name, value in key.items() if isinstance(value, Secret)} == {
        "privateKeyPem",
        "privateKeyPemPkcs8",
        "privateKeyOpenssh",
    }


def test_the_default_curve_has_no_ssh_form(plugin: Servicer) -> None:
    key = create(plugin, algorithm="ECDSA")
    assert (key["publicKeyOpenssh"], key["privateKeyOpenssh"].value) == ("", "")


def test_a_preview_makes_no_key(plugin: Servicer) -> None:
    key = create(plugin, preview=True, algorithm="ED25519")
    assert key["publicKeyOpenssh"] is UNKNOWN
    assert key["privateKeyPem"] == Secret(UNKNOWN)


def test_another_curve_replaces_the_key(plugin: Servicer) -> None:
    old = {**DEFAULTS, "algorithm": "ECDSA", "ecdsaCurve": "P256", "publicKeyPem": "..."}
    new = {**DEFAULTS, "algorithm": "ECDSA", "ecdsaCurve": "P384"}
    answer = plugin.Diff(wire.DiffRequest(urn=URN, id="1", olds=to_struct(old), news=to_struct(new)), None)
    assert list(answer.replaces) == ["ecdsaCurve"]
    same = plugin.Diff(wire.DiffRequest(urn=URN, id="1", olds=to_struct(old), news=to_struct(old)), None)
    assert same.changes == wire.DiffResponse.DIFF_NONE


@pytest.mark.parametrize(
    "inputs", [{}, {"algorithm": "DSA"}, {"algorithm": "ECDSA", "ecdsaCurve": "P-384"}, {"algorithm": "RSA", "bits": 1}]
)
def test_inputs_that_the_official_provider_refuses_are_refused(plugin: Servicer, inputs: dict) -> None:
    answer = plugin.Check(wire.CheckRequest(urn=URN, news=to_struct(inputs)), None)
    assert len(answer.failures) == 1
