"""A product that several tenants run: its namespace, its source, and what its tenants get."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pulumi.runtime import resource as sdk

from components.kubectl import KubectlError
from components.product.moves import changes, moved
from model.config import tenants, yaml_lines
from tests.program.conftest import Run
from tests.program.recorder import Github, ProgramError, Recording, Registration
from tests.program.test_tenant_space import BINDING, KUSTOMIZATION, NAMESPACE, POLICY, QUOTA, SECRET, within

GET_STACK_TRACE = sdk._get_stack_trace
"""Of the SDK; the tests of the program replace it."""
ACCOUNT = "kubernetes:core/v1:ServiceAccount"

SOURCE = "kubernetes:source.toolkit.fluxcd.io/v1:GitRepository"
SHOP = "products:\n  shop: {source: {url: 'ssh://git@github.com/acme/shop', branch: main, private: true}}\n"


def test_a_product_has_a_closed_namespace_with_one_source_and_one_key(run: Run) -> None:
    recording = run(SHOP + "tenants: []\n")
    namespace = recording.resource(NAMESPACE, "product-shop")
    assert namespace.inputs["metadata"]["labels"] == {
        "saas-in-eks.io/product": "shop",
        "saas-in-eks.io/owner": "platform",
        "saas-in-eks.io/cluster": "eu",
        "pod-security.kubernetes.io/enforce": "restricted",
    }
    (quota,), (policy,) = within(recording, "product-shop", QUOTA), within(recording, "product-shop", POLICY)
    assert quota.inputs["spec"] == {"hard": {"pods": "0"}}
    assert policy.inputs["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy.inputs["spec"]["ingress"] == policy.inputs["spec"]["egress"] == []
    (source,), (secret,) = within(recording, "product-shop", SOURCE), within(recording, "product-shop", SECRET)
    assert source.inputs["spec"]["secretRef"]["name"] == source.inputs["metadata"]["name"] == "shop"
    assert secret.inputs["metadata"]["name"] == "shop"
    assert {quota.urn, policy.urn, secret.urn, namespace.urn} <= recording.needs(source)
    key = recording.resource("github:index/repositoryDeployKey:RepositoryDeployKey", "product-shop/acme")
    assert (key.inputs["repository"], key.inputs["title"]) == ("shop", "flux-eu-product-shop")


APP = {"deployKeys": "app", "githubApp": {"id": "1234567", "installation": "12345678"}, "githubAppKey": "PEM"}


def test_a_product_read_by_a_github_app_has_the_apps_key_in_its_namespace(run: Run) -> None:
    tenants = SHOP + "tenants:\n  - {name: alpha, product: shop}\n"
    closed = Github(organizations={"acme": {"deploy_keys_enabled_for_repositories": False}})
    archived = {"acme/shop": {"fullName": "acme/shop", "nodeId": "R_1", "archived": True}}
    recording = run(tenants, config=APP, github=replace(closed, repositories=archived))
    assert not recording.of("github:index/repositoryDeployKey:RepositoryDeployKey")
    (source,) = within(recording, "product-shop", SOURCE)
    assert {key: source.inputs["spec"][key] for key in ("url", "provider", "secretRef")} == {
        "url": "https://github.com/acme/shop",
        "provider": "github",
        "secretRef": {"name": "github-app"},
    }
    (secret,) = within(recording, "product-shop", SECRET)
    assert secret.urn in recording.needs(source)
    assert secret.inputs["stringData"]["githubAppPrivateKey"] == "PEM"
    with_key = {
        secret.inputs["metadata"]["namespace"]
        for secret in recording.of(SECRET)
        if "githubAppPrivateKey" in secret.inputs["stringData"]
    }
    assert with_key == {"flux-system", "product-shop"}
    assert not set(recording.outputs["deployKeys"])


RINGS = """\
    rings:
      canary: {}
      early: {ref: {tag: v1.5.0}, after: canary, soak: 24h}
tenants:
  - {name: alpha, product: shop}
  - {name: beta, product: shop, ring: early}
  - {name: gamma, product: shop, ring: early, pin: {tag: v1.3.9, until: 2099-12-31, reason: contract}}
"""


def test_rings_and_pinned_versions_are_sources_with_the_products_key(run: Run) -> None:
    shop = "products:\n  shop:\n    source: {url: 'ssh://git@github.com/acme/shop', branch: main, private: true}\n"
    recording = run(
        shop + RINGS,
        config={"webhooks": {"host": "flux.acme.example", "by": "ingress"}, "network": {"webhooks": ["ingress-nginx"]}},
    )
    sources = {one.inputs["metadata"]["name"]: one for one in within(recording, "product-shop", SOURCE)}
    assert {name: one.inputs["spec"]["ref"] for name, one in sources.items()} == {
        "shop-canary": {"branch": "main"},
        "shop-early": {"tag": "v1.5.0"},
        "shop-pin-v1.3.9": {"tag": "v1.3.9"},
    }
    assert {one.inputs["spec"]["secretRef"]["name"] for one in sources.values()} == {"shop"}
    assert {one.name for one in sources.values()} == {
        "product-shop/canary",
        "product-shop/early",
        "product-shop/pin-v1.3.9",
    }
    controller = recording.resource("kubernetes:apps/v1:Deployment", "kustomize-controller")
    # Directly: a ring may go in the same update as its shard's controllers, while the namespace stays.
    assert all(controller.urn in one.depends_on for one in sources.values())
    for kustomization in within(recording, "product-shop", KUSTOMIZATION):
        own = sources[kustomization.inputs["spec"]["sourceRef"]["name"]]
        assert recording.needs(kustomization) & {one.urn for one in sources.values()} == {own.urn}
    (receiver,) = within(recording, "product-shop", "kubernetes:notification.toolkit.fluxcd.io/v1:Receiver")
    assert [each["name"] for each in receiver.inputs["spec"]["resources"]] == ["shop-canary"]
    secrets = within(recording, "product-shop", SECRET)
    (key,) = (secret for secret in secrets if secret.inputs["metadata"]["name"] == "shop")
    assert {key.urn} <= recording.needs(sources["shop-pin-v1.3.9"])
    assert recording.outputs["products"]["shop"]["rings"] == {"canary": {"branch": "main"}, "early": {"tag": "v1.5.0"}}


def test_a_promotion_to_a_batch_changes_its_source_only(run: Run) -> None:
    shop = "products:\n  shop:\n    source: {url: 'ssh://git@github.com/acme/shop', branch: main, private: true}\n"
    more = "".join(
        f"  - {{name: {name}, product: shop, ring: early}}\n" for name in ("wayne", "tenant-1", "tenant-103")
    )

    def objects(early: str) -> dict[str, Any]:
        rings = RINGS.replace("ref: {tag: v1.5.0}", early)
        found = within(run(shop + rings + more), "product-shop", SOURCE, KUSTOMIZATION)
        return {each.urn: each.inputs for each in found}

    def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
        assert before.keys() <= after.keys()
        return {urn.rpartition("::")[2]: after[urn] for urn in after if before.get(urn) != after[urn]}

    none = objects("ref: {tag: v1.4.2}")
    batches = objects("ref: {tag: v1.4.2}, batches: 50%")
    one = objects("ref: {tag: v1.5.0}, batches: 50%, reached: 50%, previous: v1.4.2")
    both = objects("ref: {tag: v1.5.0}, batches: 50%, previous: v1.4.2")
    # Batches are one more source, and the later tenants name it. Nothing else changes.
    added = changed(none, batches)
    new = added.pop("product-shop/early.50-100")
    assert (new["metadata"]["name"], new["spec"]["ref"]) == ("shop-early.50-100", {"tag": "v1.4.2"})
    assert added.keys() == {"beta/product-shop", "tenant-103/product-shop"}
    for urn, before in none.items():
        if urn.rpartition("::")[2] in added:
            before["spec"]["sourceRef"]["name"] = "shop-early.50-100"
            assert before == batches[urn]
    first, second = changed(batches, one), changed(one, both)
    assert {name: each["spec"]["ref"] for name, each in first.items()} == {"product-shop/early": {"tag": "v1.5.0"}}
    assert {name: each["spec"]["ref"] for name, each in second.items()} == {
        "product-shop/early.50-100": {"tag": "v1.5.0"}
    }


def test_a_pin_whose_last_day_is_over_ends_the_program(run: Run) -> None:
    shop = "products:\n  shop:\n    source: {url: 'ssh://git@github.com/acme/shop', branch: main, private: true}\n"
    with pytest.raises(ProgramError, match="ended on 2020-01-01"):
        run(shop + RINGS.replace("2099-12-31", "2020-01-01"))


ALPHA = """\
tenants:
  - name: alpha
    product: shop
    tier: premium
    values: {greeting: Hello}
    images: [{name: app, newTag: "1.4.2"}]
    patches: [{patch: "- {op: remove, path: /spec/replicas}", target: {kind: Deployment}}]
"""


def test_a_tenants_reconciler_and_kustomization_are_beside_the_source(run: Run) -> None:
    recording = run(SHOP + ALPHA)
    (kustomization,) = within(recording, "product-shop", KUSTOMIZATION)
    (account,) = within(recording, "product-shop", ACCOUNT)
    assert kustomization.inputs["metadata"]["name"] == account.inputs["metadata"]["name"] == "alpha"
    spec = kustomization.inputs["spec"]
    assert (spec["targetNamespace"], spec["serviceAccountName"]) == ("alpha", "alpha")
    assert spec["sourceRef"] == {"kind": "GitRepository", "name": "shop"}
    assert spec["postBuild"] == {"substitute": {"greeting": "Hello"}, "substituteStrategy": "Always"}
    assert spec["images"] == [{"name": "app", "newTag": "1.4.2"}]
    assert spec["patches"] == [
        {"patch": '[{"op": "remove", "path": "/spec/replicas"}]', "target": {"kind": "Deployment"}}
    ]
    # No account in the tenant's namespace, and rights there for that one only.
    assert within(recording, "alpha", ACCOUNT, SECRET, SOURCE, KUSTOMIZATION) == []
    bindings = within(recording, "alpha", BINDING)
    assert [binding.inputs["subjects"] for binding in bindings] == [
        [{"kind": "ServiceAccount", "name": "alpha", "namespace": "product-shop"}]
    ] * 2
    names = {binding.inputs["metadata"]["name"]: binding.inputs["roleRef"]["name"] for binding in bindings}
    assert names == {
        "product-shop-reconciler": "saas-tenant-reconciler",
        "product-shop-helm": "saas-tenant-helm",
    }
    isolation = {resource.urn for resource in within(recording, "alpha", BINDING, QUOTA, POLICY)}
    assert isolation | {account.urn} <= recording.needs(kustomization)
    (source,) = within(recording, "product-shop", SOURCE)
    assert source.urn in recording.needs(kustomization)
    assert recording.outputs["tenants"]["alpha"] == {"namespace": "alpha", "product": "shop"}
    assert recording.outputs["products"]["shop"]["namespace"] == "product-shop"


def test_the_outputs_have_a_tenants_first_address_without_a_wildcard(run: Run) -> None:
    hosts = '["*.alpha.example.com", alpha.example.com]'
    recording = run(SHOP + f"tenants: [{{name: alpha, product: shop, hosts: {hosts}}}]\n")
    assert recording.outputs["tenants"]["alpha"]["url"] == "https://alpha.example.com"


def registered(recording: Recording, tenant: str) -> list[Registration]:
    return [one for one in recording.registrations.values() if one.name.partition("/")[0] == tenant]


def test_a_tenant_of_a_product_costs_nine_registrations(run: Run) -> None:
    recording = run(SHOP + "tenants: [{name: alpha, product: shop}]\n")
    own = registered(recording, "alpha")
    assert len(own) == 9
    assert sum(one.type.startswith("kubernetes:") for one in own) == 8


def test_what_a_tenant_costs_does_not_grow_with_tenants_or_guard_rails(run: Run) -> None:
    """The engine writes each dependency of each resource to the state."""
    names = ("alpha", "gamma", "delta", "omega")
    one, many = (run(f"{SHOP}tenants:{items(names[:count])}") for count in (1, len(names)))
    guardrails = {urn for urn in one.registrations if "Guardrails$" in urn}
    assert len(guardrails) > 40

    def size(recording: Recording, tenant: str) -> int:
        return sum(len(resource.request.SerializeToString()) for resource in registered(recording, tenant))

    assert size(many, "alpha") == size(one, "alpha")
    assert {size(many, name) for name in names[1:]} == {size(one, "alpha")}  # names of the same length
    needed = [urn for resource in registered(one, "alpha") for urn in resource.depends_on]
    assert len(needed) <= 25
    assert len([urn for urn in needed if urn in guardrails]) == 1


def items(names: Sequence[str]) -> str:
    return "".join(f"\n  - {{name: {name}, product: shop}}" for name in names)


def test_a_tenants_resources_have_the_line_that_made_them_and_no_call_stack(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine writes the stack to the state; without the limit it is a third of what a tenant takes there."""
    monkeypatch.setattr("pulumi.runtime.resource._get_stack_trace", GET_STACK_TRACE)
    own = registered(run(SHOP + "tenants: [{name: alpha, product: shop}]\n"), "alpha")
    for resource in own:
        (frame,) = resource.request.stackTrace.frames
        assert frame.pc == resource.request.sourcePosition
    files = {resource.request.sourcePosition.uri.rpartition("/")[2] for resource in own}
    assert files == {"space.py"}
    assert not hasattr(sys, "tracebacklimit")  # errors are shown whole


def item(namespace: str, tenant: str, **spec: str) -> dict[str, object]:
    labels = {"toolkit.fluxcd.io/tenant": tenant}
    return {"metadata": {"namespace": namespace, "name": tenant, "labels": labels}, "spec": spec}


def test_only_what_a_tenant_moves_away_from_keeps_its_objects() -> None:
    text = SHOP + "tenants:\n  - {name: alpha, product: shop}\n  - {name: beta, product: shop}\n"
    listed = tenants.parse(yaml_lines.parse(text, "tenants.yaml")).tenants
    existing = [
        item("alpha", "alpha"),
        item("product-shop", "alpha"),
        item("product-shop", "beta", deletionPolicy="Orphan"),
        item("product-other", "beta", deletionPolicy="Orphan"),
        item("gone", "gone", deletionPolicy="Orphan"),
        item("product-shop", "removed"),
    ]
    assert [*changes(existing, listed)] == [
        ("alpha", "alpha", "Orphan"),
        ("product-shop", "beta", None),
        ("gone", "gone", None),
    ]
    earlier = {"tenants": {"alpha": {"source": "https://github.com/acme/shop"}, "beta": {"product": "shop"}}}
    assert [*moved(listed, earlier)] == ["alpha"]


def test_a_move_that_cannot_be_prepared_changes_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: str) -> str:
        raise KubectlError("forbidden")

    monkeypatch.setattr("components.product.moves.kubectl", refused)
    earlier = {"tenants": {"alpha": {"source": "https://github.com/acme/shop"}}}
    text = SHOP + "tenants: [{name: alpha, product: shop}]\n"
    with pytest.raises(ProgramError, match="alpha would move to another source or product, and Flux cannot be told"):
        run(text, earlier=earlier)
    assert run(text, earlier=earlier, preview=True)
    assert run(text, earlier={"tenants": {"alpha": {"product": "shop"}}})
