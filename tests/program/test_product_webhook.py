"""Webhooks of a product: Flux's receivers, and the hook on GitHub that calls them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from tests.program.conftest import Run
from tests.program.recorder import Recording
from tests.program.test_product_space import SECRET, SHOP, SOURCE

RECEIVER = "kubernetes:notification.toolkit.fluxcd.io/v1:Receiver"
HOOK = "github:index/repositoryWebhook:RepositoryWebhook"
WAY_IN: dict[str, Any] = {"webhooks": {"by": "none", "host": "flux.acme.example"}}


def hooked(run: Run, product: str = SHOP, **config: Any) -> Recording:
    return run(product + "tenants: []\n", config=config)


def test_a_push_to_a_private_product_on_github_calls_its_receiver(run: Run) -> None:
    recording = hooked(run, **WAY_IN)
    (receiver,), (hook,) = recording.of(RECEIVER), recording.of(HOOK)
    assert receiver.inputs["metadata"]["namespace"] == "product-shop"
    assert receiver.inputs["spec"] == {
        "type": "github",
        "events": ["ping", "push"],
        "secretRef": {"name": "shop-webhook"},
        "resources": [{"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "name": "shop"}],
    }
    secret = recording.resource(SECRET, "product-shop-webhook")
    assert secret.inputs["metadata"]["labels"]["reconcile.fluxcd.io/watch"] == "Enabled"
    token = secret.inputs["stringData"]["token"]
    # As Flux derives it.
    path = "/hook/" + hashlib.sha256(f"{token}shopproduct-shop".encode()).hexdigest()
    assert hook.inputs == {
        "repository": "shop",
        "active": True,
        "events": ["push"],
        "configuration": {
            "url": f"https://flux.acme.example{path}",
            "contentType": "json",
            "insecureSsl": False,
            "secret": token,
        },
    }
    # GitHub calls nothing that does not exist: the hook comes last and goes first.
    source = recording.resource(SOURCE, "product-shop")
    assert {receiver.urn, secret.urn, source.urn} <= recording.needs(hook)
    assert source.inputs["spec"]["interval"] == "10m0s"


def test_the_receivers_go_before_the_controller_that_finalizes_them(run: Run) -> None:
    oidc = "{issuer: https://ci.acme.example, audience: flux, claims: {repository: acme/shop}}"
    recording = hooked(run, SHOP.replace("private: true}", f"private: true}}, webhook: {{oidc: {oidc}}}"), **WAY_IN)
    controller = recording.resource("kubernetes:apps/v1:Deployment", "notification-controller")
    # Directly: in the update that removes both, nothing else that is deleted lies between them.
    assert [controller.urn in receiver.depends_on for receiver in recording.of(RECEIVER)] == [True, True]


def test_the_token_of_a_webhook_is_a_secret_of_the_state(run: Run) -> None:
    recording = hooked(run, **WAY_IN)
    (hook,) = recording.of(HOOK)
    configuration = MessageToDict(hook.request.object)["configuration"]
    signature = "4dabf18193072939515e22adb298388d"
    assert signature in configuration or all(signature in configuration[key] for key in ("url", "secret"))


@pytest.mark.parametrize(
    ("product", "config"),
    [
        (SHOP, {}),
        (SHOP.replace("private: true}", "private: true}, webhook: {github: false}"), WAY_IN),
        (SHOP.replace("branch: main", "commit: " + 40 * "a"), WAY_IN),
        ("products: {shop: {source: {url: 'https://github.com/acme/shop', branch: main}}}\n", WAY_IN),
    ],
)
def test_without_a_webhook_a_product_is_polled_every_minute(run: Run, product: str, config: Any) -> None:
    recording = hooked(run, product, **config)
    assert recording.of(RECEIVER) == recording.of(HOOK) == []
    assert recording.resource(SOURCE, "product-shop").inputs["spec"]["interval"] == "1m0s"


def test_a_public_product_has_a_webhook_if_it_says_so(run: Run) -> None:
    public = "{url: 'https://github.com/globex/shop', branch: main}, webhook: {github: true}, interval: 2m"
    recording = hooked(run, f"products: {{shop: {{source: {public}}}}}\n", **WAY_IN)
    (hook,) = recording.of(HOOK)
    assert hook.request.provider.startswith(recording.resource("pulumi:providers:github", "github-globex").urn)
    assert recording.resource(SOURCE, "product-shop").inputs["spec"]["interval"] == "2m"


def test_a_ci_job_calls_with_a_token_whose_claims_are_all_equal(run: Run) -> None:
    oidc = "{issuer: https://ci.acme.example, audience: flux, claims: {repository: acme/shop, ref: refs/heads/main}}"
    product = SHOP.replace("private: true}", f"private: true}}, webhook: {{github: false, oidc: {oidc}}}")
    recording = hooked(run, product, **WAY_IN)
    (receiver,) = recording.of(RECEIVER)
    (provider,) = receiver.inputs["spec"]["oidcProviders"]
    assert (provider["issuerURL"], provider["audience"]) == ("https://ci.acme.example", "flux")
    assert [each["expression"] for each in provider["validations"]] == [
        'claims.repository == "acme/shop"',
        'claims.ref == "refs/heads/main"',
    ]
    controller = recording.resource("kubernetes:apps/v1:Deployment", "notification-controller")
    (container,) = controller.inputs["spec"]["template"]["spec"]["containers"]
    (hosts,) = [each["value"] for each in container["env"] if each["name"] == "NO_PROXY"]
    assert "ci.acme.example" in hosts.split(",")
    digest = hashlib.sha256(b"shop-oidcproduct-shop").hexdigest()
    assert recording.outputs["webhooks"]["jobs"] == {"shop": f"https://flux.acme.example/hook/{digest}"}
    assert recording.of(HOOK) == []


def test_a_hook_of_another_owner_is_another_hook(run: Run) -> None:
    before, after = hooked(run, **WAY_IN), hooked(run, SHOP.replace("acme/shop", "globex/shop"), **WAY_IN)
    assert {each.name for each in (*before.of(HOOK), *after.of(HOOK))} == {"product-shop/acme", "product-shop/globex"}
