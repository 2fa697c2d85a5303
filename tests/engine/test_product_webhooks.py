"""A push to a product's repository, on real controllers: applied at once by all its tenants, and by nothing else."""

from __future__ import annotations

import hmac
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local import agent
from local.git.webhooks import RECEIVER, deliveries
from standins.github.store import Webhook
from tests.engine.test_products import TWO, wait_until_ready
from tests.platform import PRIVATE, SHOP, Platform, Stack, eventually

SOURCE = "/apis/source.toolkit.fluxcd.io/v1/namespaces/product-{0}/gitrepositories/{0}"
KUSTOMIZATION = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/product-shop/kustomizations/{0}"
FILE = "kustomize/news.yaml"


@pytest.fixture
def hooked(stack: Stack) -> Stack:
    """Two products with webhooks that are polled every ten minutes; two tenants run the first one."""
    stack.configure(webhooks={"by": "none", "host": "flux.acme.example"})
    products = {"shop": {"source": SHOP}, "other": {"source": {**PRIVATE, "path": "./kustomize"}}}
    polled = {name: {**product, "interval": "10m"} for name, product in products.items()}
    stack.tenants({**TWO, "gamma": "shop", "delta": "shop"}, products=polled)
    stack.up()
    for tenant in ("gamma", "delta"):
        wait_until_ready(stack, "product-shop", tenant)
    for product in ("shop", "other"):
        eventually(lambda product=product: takes_webhooks(stack.platform, product))
    return stack


def hooks(platform: Platform, repository: str) -> tuple[Webhook, ...]:
    return platform.hosted(f"acme/{repository}").hooks


def takes_webhooks(platform: Platform, product: str) -> bool:
    path = f"/apis/notification.toolkit.fluxcd.io/v1/namespaces/product-{product}/receivers/{product}"
    conditions = (platform.get(path) or {}).get("status", {}).get("conditions", [])
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


def requested(platform: Platform, product: str) -> str | None:
    """When a webhook last made Flux fetch a product."""
    source = platform.get(SOURCE.format(product)) or {}
    return source.get("metadata", {}).get("annotations", {}).get("reconcile.fluxcd.io/requestedAt")


def revision(platform: Platform, tenant: str) -> str:
    """The commit that a tenant of the shop runs."""
    status = (platform.get(KUSTOMIZATION.format(tenant)) or {}).get("status", {})
    return status.get("lastAppliedRevision", "").rpartition(":")[2]


def pushes(platform: Platform, repository: str) -> list[dict[str, Any]]:
    return [each for each in deliveries(platform.home) if (each["event"], each["repository"]) == ("push", repository)]


def call(platform: Platform, path: str, body: bytes, headers: dict[str, str]) -> int:
    """The receiver's answer to a stranger's request."""
    port = agent.service_port(platform.home, RECEIVER)
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_push_reaches_all_tenants_of_its_product_at_once(hooked: Stack, tmp_path: Path, record_property: Any) -> None:
    platform = hooked.platform
    assert hooked.up() == []
    before, other = len(pushes(platform, "acme/shop")), requested(platform, "other")
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "news"}, "data": {"a": "1"}}
    platform.git("clone", platform.repository("acme/shop"), "shop", folder=tmp_path)
    kustomization = (tmp_path / "shop/kustomize/kustomization.yaml").read_text()
    listed = kustomization.replace("resources:", "resources:\n  - news.yaml", 1)
    commit = platform.push(
        "acme/shop", {FILE: json.dumps(config_map), "kustomize/kustomization.yaml": listed}, tmp_path
    )
    began = time.monotonic()
    for tenant in ("gamma", "delta"):
        eventually(lambda tenant=tenant: revision(platform, tenant) == commit, every=0.1)
        assert platform.get(f"/api/v1/namespaces/{tenant}/configmaps/news")
    record_property("seconds", round(time.monotonic() - began, 1))
    # One delivery, however many tenants follow; and the other product is not fetched.
    (delivery,) = pushes(platform, "acme/shop")[before:]
    assert (delivery["status_code"], delivery["request"]["headers"]["X-GitHub-Event"]) == (200, "push")
    assert requested(platform, "other") == other

    # A request without a signature of GitHub's makes Flux do nothing.
    path, body = urlsplit(delivery["url"]).path, delivery["request"]["body"].encode()
    headers = {**delivery["request"]["headers"]}
    last = requested(platform, "shop")
    for wrong in (
        {**headers, "X-Hub-Signature-256": "sha256=" + hmac.new(b"guessed", body, "sha256").hexdigest()},
        {name: value for name, value in headers.items() if name != "X-Hub-Signature-256"},
        {**headers, "X-GitHub-Event": "release"},
    ):
        assert call(platform, path, body, wrong) == 400
    assert call(platform, path, body + b" ", headers) == 400
    assert call(platform, "/hook/" + 64 * "0", body, headers) == 404
    assert requested(platform, "shop") == last

    # A replay costs a fetch, and changes nothing.
    assert call(platform, path, body, headers) == 200
    again = eventually(lambda: (found := requested(platform, "shop")) != last and found)
    eventually(lambda: (platform.get(SOURCE.format("shop")) or {})["status"].get("lastHandledReconcileAt") == again)
    assert revision(platform, "gamma") == commit

    # Without the check of signatures, a guess is enough: so that check is what refuses.
    receiver = "receivers.notification.toolkit.fluxcd.io/shop"
    platform.kubectl("-n", "product-shop", "patch", receiver, "--type=merge", "-p", '{"spec": {"type": "generic"}}')
    guessed = {**headers, "X-Hub-Signature-256": "sha256=0"}
    eventually(lambda: call(platform, path, body, guessed) == 200)

    # The hooks on GitHub go with their products.
    assert [len(hooks(platform, name)) for name in ("shop", "product")] == [1, 1]
    platform.push("acme/shop", {FILE: None, "kustomize/kustomization.yaml": kustomization}, tmp_path)
    hooked.tenants({**TWO})
    assert {step.op for step in hooked.up()} == {"delete"}
    assert [len(hooks(platform, name)) for name in ("shop", "product")] == [0, 0]
