"""A higher generation of keys: the new key is in use before the old one can go."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from components.flux import deploy_key
from model.config.keys import fingerprint
from tests.program.conftest import TENANTS, Run
from tests.program.recorder import ProgramError, Recording, Registration
from tests.program.test_image_automation import KEY, PRIVATE_KEY
from tests.program.test_image_automation import SHOP as AUTOMATED
from tests.program.test_product_space import SHOP
from tests.program.test_product_webhook import HOOK, RECEIVER, WAY_IN
from tests.program.test_tenant_space import SECRET

ALPHA_TWO = TENANTS.replace("- name: alpha", "- name: alpha\n    keyGeneration: 2")
NEW = "alpha/acme/product/flux-eu-alpha#2"
"""The second key pair of the tenant alpha."""
KNOWN = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
OFFERED: dict[str, Any] = {"generation": 1, "toRegister": 2}


def by_hand(**numbers: int) -> str:
    """A tenant whose key is registered with another server than GitHub."""
    source = {"url": "ssh://git@git.example.com/a/b", "branch": "main", "private": True, "knownHosts": KNOWN}
    return yaml.safe_dump({"tenants": [{"name": "alpha", "source": source, **numbers}]})


def urns(recording: Recording) -> set[str]:
    return {urn for urn in recording.registrations if "tls:index/privateKey" not in urn}


def keys(recording: Recording) -> set[str]:
    return {key.name for key in recording.of(PRIVATE_KEY)}


def created_first(resource: Registration) -> bool:
    request = resource.request
    return request.deleteBeforeReplaceDefined and not request.deleteBeforeReplace


def test_a_new_key_is_registered_before_the_secret_gets_it(run: Run) -> None:
    before, after = run(TENANTS), run(ALPHA_TWO)
    # Registration and Secret change; only the key pair is another resource, and no other key is.
    assert urns(before) == urns(after)
    assert (keys(before) - keys(after), keys(after) - keys(before)) == ({"alpha/acme"}, {NEW})
    key, registered = after.resource(PRIVATE_KEY, NEW), after.resource(KEY, "alpha/acme")
    secret = after.resource(SECRET, "alpha")
    assert registered.inputs["title"] == "flux-eu-alpha#2"
    assert key.urn in registered.depends_on
    assert {key.urn, registered.urn} <= secret.depends_on
    assert secret.inputs["metadata"]["name"] == "alpha"
    assert created_first(registered)
    # A key of earlier releases is not taken for the new one.
    assert list(key.request.aliases) == []
    shown = after.outputs["deployKeys"]["alpha"]
    assert (shown["generation"], shown["title"], shown["secret"]) == (2, "flux-eu-alpha#2", "alpha/alpha")


def test_the_first_generation_is_replaced_as_github_allows_it(run: Run) -> None:
    # The key pair may stay the same then, and GitHub refuses one that it still has.
    registered = run(TENANTS).resource(KEY, "alpha/acme")
    assert not registered.request.deleteBeforeReplaceDefined
    assert registered.inputs["title"] == "flux-eu-alpha"


@pytest.mark.parametrize("change", [("acme/product", "acme/other"), ("acme/product", "globex/product")])
def test_a_later_registration_is_never_replaced_without_its_key(run: Run, change: tuple[str, str]) -> None:
    moved = run(ALPHA_TWO.replace(*change))
    assert NEW not in keys(moved)
    assert any(name.startswith("alpha/") and name.endswith("#2") for name in keys(moved))


def test_one_number_of_the_stack_rotates_all_keys(run: Run) -> None:
    before, after = run(TENANTS), run(TENANTS, config={"keyGeneration": "2"})
    assert urns(before) == urns(after)
    assert keys(before) == {"artifacts", "flux-system/acme", "alpha/acme"}
    infra = "flux-system/acme/saas-in-eks-infra/flux-system-main-flux-system-./clusters/eu#2"
    assert keys(after) == {"artifacts#2", infra, NEW}
    assert all(created_first(key) for key in after.of(KEY))
    # Both numbers together: the third key of the tenant.
    assert NEW.replace("#2", "#3") in keys(run(ALPHA_TWO, config={"keyGeneration": "2"}))


def test_keys_of_a_product_that_flux_writes_to_rotate_together(run: Run, image_manifest: str) -> None:
    product = {**AUTOMATED, "keyGeneration": 3}
    text = yaml.safe_dump({"products": {"shop": product}, "tenants": []})
    recording = run(text, files={"install.yaml": image_manifest})
    assert {name for name in keys(recording) if name.startswith("product-shop")} == {
        "product-shop/acme/shop/flux-eu-product-shop#3",
        "product-shop/write/acme/shop/flux-eu-product-shop-write#3",
        "product-shop/signing#3",
    }
    titles = {key.inputs["title"] for key in recording.of(KEY) if key.inputs["repository"] == "shop"}
    assert titles == {"flux-eu-product-shop#3", "flux-eu-product-shop-write#3"}
    assert recording.outputs["deployKeys"]["product-shop, with write access"]["access"] == "write"


def test_a_webhooks_old_receiver_stays_until_the_hook_has_the_new_token(run: Run) -> None:
    text = SHOP.replace("private: true}", "private: true}, keyGeneration: 2") + "tenants: []\n"
    before, after = run(SHOP + "tenants: []\n", config=WAY_IN), run(text, config=WAY_IN)
    assert urns(before) == urns(after)
    (receiver,), (hook,) = after.of(RECEIVER), after.of(HOOK)
    secret = after.resource(SECRET, "product-shop-webhook")
    # Another name in Kubernetes replaces an object, the new one first.
    assert receiver.inputs["metadata"]["name"] == "shop-2"
    assert secret.inputs["metadata"]["name"] == receiver.inputs["spec"]["secretRef"]["name"] == "shop-webhook-2"
    assert {receiver.urn, secret.urn} <= after.needs(hook)
    assert hook.inputs["configuration"]["url"] != before.of(HOOK)[0].inputs["configuration"]["url"]


def test_a_key_registered_by_hand_is_used_once_it_is_confirmed(run: Run) -> None:
    offered = run(by_hand(keyGeneration=2))
    old, new = offered.resource(PRIVATE_KEY, "alpha"), offered.resource(PRIVATE_KEY, "alpha#2")
    secret = offered.resource(SECRET, "alpha")
    assert old.urn in secret.depends_on
    assert new.urn not in secret.depends_on
    assert offered.outputs["deployKeys"]["alpha"] == {
        "secret": "alpha/alpha",
        "access": "read",
        "fingerprint": fingerprint("ecdsa-sha2-nistp384 AAAA"),
        **OFFERED,
    }
    confirmed = run(by_hand(keyGeneration=2, keyConfirmed=2), earlier=earlier(OFFERED))
    assert keys(confirmed) == keys(offered) - {"alpha"}
    assert new.urn in confirmed.resource(SECRET, "alpha").depends_on


def test_the_stacks_number_leaves_keys_alone_that_are_registered_by_hand(run: Run) -> None:
    recording = run(by_hand(), config={"keyGeneration": "2"})
    assert {name for name in keys(recording) if name.startswith("alpha")} == {"alpha"}


def test_all_host_keys_of_a_server_reach_flux(run: Run) -> None:
    both = f"{KNOWN}\n{KNOWN.replace('AAAAAAAA', 'BBBBBBBB', 1)}\n"
    assert both.count("git.example.com ssh-ed25519") == 2
    source = {"url": "ssh://git@git.example.com/a/b", "branch": "main", "private": True, "knownHosts": both}
    recording = run(yaml.safe_dump({"tenants": [{"name": "alpha", "source": source}]}))
    assert recording.resource(SECRET, "alpha").inputs["stringData"]["known_hosts"] == both


def earlier(key: dict[str, Any]) -> dict[str, Any]:
    return {"deployKeys": {"alpha": key}}


@pytest.mark.parametrize(
    ("numbers", "before"),
    [
        # Not shown yet; skipped one; gone back to one that is no more.
        ({"keyGeneration": 2, "keyConfirmed": 2}, {"generation": 1, "toRegister": 1}),
        ({"keyGeneration": 3, "keyConfirmed": 3}, OFFERED),
        ({"keyGeneration": 2}, {"generation": 2, "toRegister": 2}),
    ],
)
def test_a_generation_whose_key_does_not_exist_yet_is_refused(
    run: Run, numbers: dict[str, int], before: dict[str, Any]
) -> None:
    with pytest.raises(ProgramError, match=r"tenants\[0\].keyConfirmed: the key of generation \d cannot be registered"):
        run(by_hand(**numbers), earlier=earlier(before))


@pytest.mark.parametrize(
    ("before", "config", "problem"),
    [
        ({"alpha": {"generation": 3}}, {}, "tenants[0].keyGeneration: generation 2 of the key is lower than"),
        ({"alpha": {"generation": 4}}, {"keyGeneration": "2"}, "Write `keyGeneration: 3` or more"),
        ({"flux-system": {"generation": 2}}, {}, "keyGeneration: generation 1 of the stack's keys is lower than"),
    ],
)
def test_a_generation_never_goes_back(run: Run, before: dict[str, Any], config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ProgramError) as refused:
        run(ALPHA_TWO, config=config, earlier={"deployKeys": before})
    assert problem in str(refused.value)


def test_a_key_of_the_last_updates_generation_stays(run: Run) -> None:
    assert NEW in keys(run(ALPHA_TWO, earlier={"deployKeys": {"alpha": {"generation": 2}}}))


@pytest.mark.parametrize(
    ("before", "preview", "waits"),
    [
        ({"alpha": {"generation": 1}, "beta": {"generation": 1}}, False, [deploy_key.GRACE]),
        ({"alpha": {"generation": 1}}, True, []),
        ({"alpha": {"generation": 2.0}}, False, []),
        ({}, False, []),
    ],
    ids=["rotated", "preview", "rotated before", "new"],
)
def test_an_update_that_rotates_a_key_waits_before_it_ends(
    run: Run, monkeypatch: pytest.MonkeyPatch, before: dict[str, Any], preview: bool, waits: list[int]
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(deploy_key, "sleep", sleep)
    recording = run(ALPHA_TWO, earlier={"deployKeys": before}, preview=preview)
    assert slept == waits
    assert recording.outputs["deployKeys"]["alpha"]["generation"] == 2


def test_no_private_key_is_in_the_outputs(run: Run) -> None:
    assert "PRIVATE" not in json.dumps(run(ALPHA_TWO).outputs, default=str)
