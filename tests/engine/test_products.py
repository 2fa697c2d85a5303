"""Tenants of a shared product on real controllers: what they get, and moves that restart and delete nothing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.platform import PRIVATE, PUBLIC, SHOP, Platform, Stack, deploy_keys, eventually

TWO: dict[str, dict[str, Any] | str] = {"alpha": PRIVATE, "beta": PUBLIC}
SAME = {**PUBLIC, "path": "./kustomize"}
KUSTOMIZATION = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{0}/kustomizations/{1}"


NUMBERS = itertools.count()


@pytest.fixture
def tenant() -> str:
    """A name of the test's own, as the product's: those of the test before go in the update that brings these."""
    return f"shopper-{next(NUMBERS)}"


@pytest.fixture
def product(tenant: str) -> str:
    return f"of-{tenant}"


def kustomization(stack: Stack, namespace: str, tenant: str) -> dict[str, Any] | None:
    return stack.platform.get(KUSTOMIZATION.format(namespace, tenant))


def ready(stack: Stack, namespace: str, tenant: str) -> dict[str, Any]:
    """The condition of a Kustomization in its current generation."""
    item = kustomization(stack, namespace, tenant) or {}
    status = item.get("status", {})
    if status.get("observedGeneration") != item.get("metadata", {}).get("generation"):
        return {}
    return next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})


def wait_until_ready(stack: Stack, namespace: str, tenant: str) -> None:
    """Wait until Flux has applied a Kustomization; fail with its message."""
    try:
        eventually(lambda: ready(stack, namespace, tenant).get("status") == "True")
    except AssertionError as error:
        sources = stack.platform.kubectl("get", "gitrepositories", "-n", namespace, "-o", "wide")
        raise AssertionError(f"{namespace}/{tenant}: {ready(stack, namespace, tenant)}\n{sources}") from error


def running(platform: Platform, tenant: str) -> dict[str, str]:
    """The uids of what the product is in a tenant's namespace, pods included."""
    kinds = "deployments,replicasets,pods,services,configmaps,horizontalpodautoscalers"
    template = '{range .items[*]}{.kind}/{.metadata.name}={.metadata.uid}{"\\n"}{end}'
    lines = platform.kubectl("-n", tenant, "get", kinds, "-o", f"jsonpath={template}").splitlines()
    return dict(line.split("=") for line in lines)


def settled(stack: Stack, tenant: str, pods: int = 2) -> dict[str, str]:
    def look() -> dict[str, str] | None:
        found = running(stack.platform, tenant)
        return found if sum(name.startswith("Pod/") for name in found) == pods else None

    return eventually(look)


def test_tenants_share_one_clone_and_have_values_images_and_patches_of_their_own(stack: Stack) -> None:
    platform = stack.platform
    patch = "[{op: add, path: /metadata/labels, value: {contract: gold}}]"
    stack.tenants(
        {**TWO, "gamma": "shop", "delta": "shop"},
        products={"shop": {"source": SHOP}},
        entries={
            "gamma": {
                "values": {"greeting": "Guten Tag", "replicas": "1"},
                "images": [{"name": "registry.acme.example/product", "newTag": "2.47"}],
                "patches": [{"patch": patch, "target": {"kind": "Service"}}],
            }
        },
    )
    steps = stack.up()
    assert {step.op for step in steps} == {"create"}
    for tenant in ("gamma", "delta"):
        # A namespace, its quota, limits, two network policies and a binding; a reconciler and its Kustomization.
        assert len([step for step in steps if step.of == tenant]) == 9
        wait_until_ready(stack, "product-shop", tenant)
        assert platform.kubectl("get", "gitrepositories,kustomizations", "-n", tenant, "-o", "name") == ""
        assert platform.kubectl("get", "secrets,serviceaccounts", "-n", tenant, "-o", "name").split() == [
            "serviceaccount/default"
        ]
    assert deploy_keys(platform, "shop") == ["flux-engine-product-shop"]

    def deployed(tenant: str, path: str) -> str:
        return platform.kubectl("-n", tenant, "get", path.partition(" ")[0], "-o", f"jsonpath={path.partition(' ')[2]}")

    message = "deployment/product {.spec.template.spec.containers[0].env[1].value}"
    image = "deployment/product {.spec.template.spec.containers[0].image}"
    replicas = "hpa/product {.spec.minReplicas}"
    assert [deployed("gamma", one) for one in (message, replicas)] == ["Guten Tag", "1"]
    assert [deployed("delta", one) for one in (message, replicas)] == ["Hello from the product team", "2"]
    assert deployed("gamma", image).endswith(":2.47") != deployed("delta", image).endswith(":2.47")
    contract = "service/product {.metadata.labels.contract}"
    assert [deployed(tenant, contract) for tenant in ("gamma", "delta")] == ["gold", ""]
    assert stack.up() == []
    for tenant in ("gamma", "delta"):
        whole, decided = state_bytes(stack, tenant)
        assert whole < 36_000
        # Outputs are the Kubernetes provider's: the inputs twice more, and what the API server adds.
        assert decided < 15_000


def state_bytes(stack: Stack, tenant: str) -> tuple[int, int]:
    """What a tenant's resources take in the state, as JSON without spaces: all of it, and without the outputs."""
    own = [
        resource
        for resource in stack.exported()["deployment"]["resources"]
        if str(resource["urn"]).rpartition("::")[2].partition("/")[0] == tenant
    ]
    decided = [{key: value for key, value in resource.items() if key != "outputs"} for resource in own]
    whole, without_outputs = (len(json.dumps(each, separators=(",", ":"))) for each in (own, decided))
    return whole, without_outputs


def test_a_variable_without_a_value_is_an_error_that_changes_nothing(
    reused: Stack, tenant: str, product: str, tmp_path: Path
) -> None:
    reused.tenants({**TWO, tenant: product}, products={product: {"source": SHOP, "interval": "2s"}})
    reused.up()
    wait_until_ready(reused, f"product-{product}", tenant)
    before, file = settled(reused, tenant), "kustomize/service.yaml"
    reused.platform.git("clone", reused.platform.repository("acme/shop"), "shop", folder=tmp_path)
    text = (tmp_path / "shop" / file).read_text()
    broken = text.replace("name: product", "name: product\n  annotations: {example.com/owner: '${owner}'}", 1)
    reused.platform.push("acme/shop", {file: broken}, tmp_path)
    eventually(
        lambda: (
            'variable not set (strict mode): "owner"' in ready(reused, f"product-{product}", tenant).get("message", "")
        )
    )
    assert running(reused.platform, tenant) == before
    reused.platform.push("acme/shop", {file: text}, tmp_path)


def test_a_tenant_moves_to_a_product_and_back_and_nothing_is_restarted(
    reused: Stack, tenant: str, product: str
) -> None:
    platform = reused.platform
    shop = {product: {"source": SAME}}
    reused.tenants({**TWO, tenant: PUBLIC}, products=shop)
    reused.up()
    wait_until_ready(reused, tenant, tenant)
    before = settled(reused, tenant)

    reused.tenants({**TWO, tenant: product}, products=shop)
    kinds = [(step.op, step.type.rpartition(":")[2]) for step in reused.up()]
    moved = ["Kustomization", "RoleBinding", "ServiceAccount"]
    assert sorted(kind for op, kind in kinds if op == "create") == moved
    assert sorted(kind for op, kind in kinds if op == "delete") == ["GitRepository", *moved]
    deleted = [kind for op, kind in kinds if op == "delete"]
    assert deleted.index("Kustomization") < min(deleted.index("ServiceAccount"), deleted.index("RoleBinding"))
    wait_until_ready(reused, f"product-{product}", tenant)
    assert kustomization(reused, tenant, tenant) is None
    assert running(platform, tenant) == before
    assert reused.up() == []

    reused.tenants({**TWO, tenant: PUBLIC}, products=shop)
    reused.up()
    wait_until_ready(reused, tenant, tenant)
    assert kustomization(reused, f"product-{product}", tenant) is None
    assert running(platform, tenant) == before


@pytest.mark.parametrize("flags", [(), ("--continue-on-error",)], ids=["as usual", "continue on error"])
def test_a_move_deletes_nothing_even_if_the_product_cannot_be_applied(
    reused: Stack, tenant: str, product: str, flags: tuple[str, ...]
) -> None:
    """The old Kustomization goes in the same update, whatever Flux makes of the new one."""
    platform, missing = reused.platform, {product: {"source": {**SAME, "branch": "missing"}}}
    reused.tenants({**TWO, tenant: PUBLIC}, products=missing)
    reused.up()
    wait_until_ready(reused, tenant, tenant)
    before = settled(reused, tenant)
    reused.tenants({**TWO, tenant: product}, products=missing)
    quota = "count/kustomizations.kustomize.toolkit.fluxcd.io=0"
    if flags:  # not even created
        platform.kubectl("create", "quota", "none", "-n", f"product-{product}", f"--hard={quota}")
        assert reused.run("up", "--yes", "--skip-preview", *flags, check=False).returncode
        assert kustomization(reused, f"product-{product}", tenant) is None
        platform.kubectl("delete", "quota", "none", "-n", f"product-{product}")
    reused.up()
    assert kustomization(reused, tenant, tenant) is None
    assert running(platform, tenant) == before
    reused.tenants({**TWO, tenant: product}, products={product: {"source": SAME}})
    reused.up()
    wait_until_ready(reused, f"product-{product}", tenant)
    assert running(platform, tenant) == before


def test_a_tenant_that_stays_after_all_is_pruned_again(reused: Stack, tenant: str, product: str) -> None:
    reused.tenants({**TWO, tenant: product}, products={product: {"source": SAME}})
    reused.up()
    place = ("-n", f"product-{product}", "kustomizations.kustomize.toolkit.fluxcd.io", tenant)
    reused.platform.kubectl("patch", *place, "--type=merge", '--patch={"spec":{"deletionPolicy":"Orphan"}}')
    reused.up()
    assert "deletionPolicy" not in (kustomization(reused, f"product-{product}", tenant) or {})["spec"]


def test_a_product_goes_after_its_tenants_and_an_adopted_namespace_stays(
    reused: Stack, tenant: str, product: str
) -> None:
    platform = reused.platform
    platform.kubectl("create", "namespace", tenant)
    platform.kubectl("create", "configmap", "theirs", "-n", tenant)
    reused.tenants({**TWO, tenant: product}, products={product: {"source": SHOP}}, entries={tenant: {"adopt": True}})
    reused.up()
    wait_until_ready(reused, f"product-{product}", tenant)
    reused.tenants(TWO)
    kinds = [f"{step.type.rpartition(':')[2]} {step.of}" for step in reused.up()]
    place = {kind: kinds.index(kind) for kind in kinds}
    for first, then in (
        (f"Kustomization {tenant}", f"ServiceAccount {tenant}"),
        (f"Kustomization {tenant}", f"RoleBinding {tenant}"),
        (f"Kustomization {tenant}", f"GitRepository product-{product}"),
        (f"GitRepository product-{product}", f"Secret product-{product}"),
        (f"ServiceAccount {tenant}", f"Namespace product-{product}"),
        (f"Secret product-{product}", f"Namespace product-{product}"),
    ):
        assert place[first] < place[then], (first, then)
    assert platform.get(f"/api/v1/namespaces/product-{product}") is None
    assert deploy_keys(platform, "shop") == []
    assert running(platform, tenant).keys() == {"ConfigMap/kube-root-ca.crt", "ConfigMap/theirs"}
    assert platform.kubectl("get", "rolebindings,serviceaccounts", "-n", tenant, "-o", "name").split() == [
        "serviceaccount/default"
    ]
    platform.kubectl("delete", "namespace", tenant)
