"""A product that several tenants run: its namespace, its source, and what its tenants get."""

from __future__ import annotations

from tests.program.conftest import Run
from tests.program.test_tenant_space import NAMESPACE, POLICY, QUOTA, SECRET, within

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
