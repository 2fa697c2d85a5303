"""Admission of values that SOPS has encrypted: in Secrets, ConfigMaps, and in the spec of any other kind."""

from __future__ import annotations

from base64 import b64encode

from model.kubernetes.admission.policy import TENANTS_USER, Check, Policy, Rule

CIPHERTEXT = "ENC[AES256_GCM,"
"""The beginning of each value that SOPS encrypts."""


def _encoded(text: str) -> tuple[str, ...]:
    """Parts of base64 of which one is in every encoded value that contains a text, by its place modulo three."""
    shifted = (b64encode(b"\0" * place + text.encode()).decode() for place in range(3))
    # The characters before share bits with the bytes before. Ten are enough, and CEL's costs grow with them.
    return tuple(whole[start : start + 10] for start, whole in zip((0, 2, 3), shifted, strict=True))


def _none_contains(field: str, texts: tuple[str, ...]) -> str:
    found = " || ".join(f"dyn(object).{field}[key].contains('{text}')" for text in texts)
    return f"!dyn(object).?{field}.orValue({{}}).exists(key, {found})"


DISABLED = "kustomize.toolkit.fluxcd.io/decrypt"
"""Flux's annotation for objects that stay encrypted."""

REMEDY = (
    "it would be used as it is, because Flux decrypts nothing here. Read the secret with the tenant's AWS role, or let "
    f"the platform team create it; if the product decrypts it itself, annotate it with {DISABLED}: disabled."
)

ENCRYPTED = Policy(
    name="saas-tenant-encrypted",
    promise="No password of a tenant is the ciphertext of one.",
    rules=(Rule("*", ("*",)),),
    conditions={
        "tenants-user": TENANTS_USER,
        # What an earlier release let in stays as it is.
        "changed": "request.operation == 'CREATE' || "
        + " || ".join(f"dyn(object).?{field} != dyn(oldObject).?{field}" for field in ("data", "binaryData", "spec")),
        "to-be-decrypted": f"object.metadata.?annotations[?'{DISABLED}'].orValue('') != 'disabled'",
    },
    checks=(
        Check(
            f"request.resource.resource != 'secrets' || {_none_contains('data', _encoded(CIPHERTEXT))}",
            f"the Secret is encrypted by SOPS: {REMEDY}",
        ),
        Check(
            f"request.resource.resource != 'configmaps' || {_none_contains('data', (CIPHERTEXT,))}",
            f"the ConfigMap is encrypted by SOPS: {REMEDY}",
        ),
        Check(
            f"request.resource.resource != 'configmaps' || {_none_contains('binaryData', _encoded(CIPHERTEXT))}",
            f"the ConfigMap is encrypted by SOPS: {REMEDY}",
        ),
        Check(
            # As text: values may be anywhere, such as in a container's variables or in the values of a release.
            f"!'%s'.format([dyn(object).?spec.orValue('')]).contains('{CIPHERTEXT}')",
            f"the spec has a value that is encrypted by SOPS: {REMEDY}",
        ),
    ),
)
