"""Values that SOPS has encrypted, which a product would use as passwords."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

from tests.isolation import objects as of
from tests.isolation.attack import BASIC, OWN, WIDE, Attack, commit, request
from tests.isolation.defences import ADMISSION, admission_policy

VALUE = "ENC[AES256_GCM,data:CwE4O1s=,iv:2k2c0uU=,tag:QmFzZTY0,type:str]"
POLICY = admission_policy("encrypted")
IN_SPEC = "the spec has a value that is encrypted by SOPS"


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _requests() -> Iterator[Attack]:
    # Each place of the ciphertext modulo three looks different in base64.
    for place, before in enumerate(("", "p: ", "pw: \n", "pwd: ")):
        secret = of.make("Secret", BASIC, name="attack", data={"file": encoded(before + VALUE)})
        yield request(f"a Secret holds a ciphertext of SOPS ({place})", (POLICY,), "the Secret is encrypted", secret)
    plain = of.make("ConfigMap", BASIC, name="attack", data={"settings.yaml": f"a: b\npassword: {VALUE}\n"})
    yield request("a ConfigMap holds a ciphertext of SOPS", (POLICY,), "the ConfigMap is encrypted", plain)
    binary = of.make("ConfigMap", BASIC, name="attack", binaryData={"settings": encoded(f"x{VALUE}")})
    yield request("a ConfigMap's binary data holds a ciphertext", (POLICY,), "the ConfigMap is encrypted", binary)
    pods = of.deployment(BASIC, container={"env": [{"name": "PASSWORD", "value": VALUE}]})
    yield request("a Deployment's variable is a ciphertext of SOPS", (POLICY,), IN_SPEC, pods)
    values = {"database": {"users": [{"password": VALUE}]}}
    yield request("a release's values hold a ciphertext", (POLICY,), IN_SPEC, of.release(WIDE, values=values), WIDE)


def _commits() -> Iterator[Attack]:
    promise = "A product that needs a decrypted password is not ready without it."
    reason, defence = "the Secret is encrypted by SOPS: it would be used as it is", f"admission: {POLICY}"
    yield commit(
        "a Secret is generated of a file that SOPS encrypted",
        promise,
        reason,
        defence,
        ADMISSION,
        files={"password.enc": f'{{"data": "{VALUE}", "sops": {{"version": "3.11.0"}}}}'},
        kustomization={"secretGenerator": [{"name": "attack", "files": ["password.enc"]}]},
    )
    secret = of.make("Secret", OWN, name="attack", stringData={"password": VALUE}, sops={"version": "3.11.0"})
    yield commit("a Secret is encrypted by SOPS", promise, reason, defence, ADMISSION, objects=(secret,))


ATTACKS = (*_requests(), *_commits())
