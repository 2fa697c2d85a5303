"""A tenant's namespace: isolation before the product, and in the order of removal after it."""

from __future__ import annotations

import pytest
import yaml

from tests.program.conftest import TENANTS, Run
from tests.program.recorder import ProgramError, Recording, Registration
from tests.program.test_prod_eu import run_production

BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
KUSTOMIZATION = "kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization"
LIMITS = "kubernetes:core/v1:LimitRange"
NAMESPACE = "kubernetes:core/v1:Namespace"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
QUOTA = "kubernetes:core/v1:ResourceQuota"
SECRET = "kubernetes:core/v1:Secret"
FORCE = "pulumi.com/patchForce"
CONFINING = (BINDING, QUOTA, LIMITS, POLICY)

CONFINED = """\
tiers:
  gold:
    quota: {requests.cpu: 4}
    helm: true
    network:
      ingressControllers: [ingress-nginx]
      egress:
        - {name: payments, cidr: 203.0.113.0/24, ports: [443]}
tenants:
  - name: alpha
    tier: gold
    source: {url: "https://github.com/acme/shop", branch: main}
  - name: beta
    source: {url: "https://github.com/acme/shop", branch: main}
"""


def within(recording: Recording, namespace: str, *kinds: str) -> list[Registration]:
    """The resources in a namespace, of some kinds or of all."""
    found = [resource for resource in recording.registrations.values() if not kinds or resource.type in kinds]
    return [resource for resource in found if resource.inputs.get("metadata", {}).get("namespace") == namespace]


def test_isolation_precedes_the_product_and_goes_with_the_namespace(run: Run) -> None:
    recording = run(CONFINED)
    for tenant in ("alpha", "beta"):
        namespace = recording.resource(NAMESPACE, tenant)
        confining = within(recording, tenant, *CONFINING)
        assert {resource.type for resource in confining} == set(CONFINING)
        assert {resource.urn for resource in confining} <= recording.needs(recording.resource(KUSTOMIZATION, tenant))
        assert {resource.request.deletedWith for resource in confining} == {namespace.urn}


def test_guardrails_precede_and_outlive_tenants(run: Run) -> None:
    recording = run(CONFINED)
    guardrails = {resource.urn for resource in recording.registrations.values() if "Guardrails$" in resource.urn}
    kinds = {recording.registrations[urn].type.rpartition(":")[2] for urn in guardrails}
    assert kinds == {"ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    for tenant in ("alpha", "beta"):
        namespace = recording.resource(NAMESPACE, tenant)
        assert guardrails <= recording.needs(namespace)
        # The last guard rail and Flux's last controller: a list would be repeated in the state of every tenant.
        assert len(namespace.depends_on) == 2
    bound = {
        resource.inputs["roleRef"]["name"]
        for tenant in ("alpha", "beta")
        for resource in within(recording, tenant, BINDING)
    }
    assert bound == {urn.rpartition("::")[2] for urn in guardrails if ":ClusterRole::" in urn}


def test_only_tenants_with_helm_get_the_role_for_charts(run: Run) -> None:
    recording = run(CONFINED)
    roles = {
        tenant: {resource.inputs["roleRef"]["name"] for resource in within(recording, tenant, BINDING)}
        for tenant in ("alpha", "beta")
    }
    assert roles == {"alpha": {"saas-tenant-reconciler", "saas-tenant-helm"}, "beta": {"saas-tenant-reconciler"}}


def test_a_tenants_tier_sets_its_quota_and_its_network(run: Run) -> None:
    recording = run(CONFINED)
    quota = {
        tenant: recording.resource(QUOTA, tenant).inputs["spec"]["hard"]["requests.cpu"] for tenant in ("alpha", "beta")
    }
    assert quota == {"alpha": "4", "beta": "2"}
    policies = {
        tenant: {resource.inputs["metadata"]["name"] for resource in within(recording, tenant, POLICY)}
        for tenant in ("alpha", "beta")
    }
    assert policies == {
        "alpha": {"default-deny", "allow-dns", "allow-ingress-controllers", "egress-payments"},
        "beta": {"default-deny", "allow-dns"},
    }


def test_objects_in_a_tenants_namespace_have_the_platforms_label(run: Run) -> None:
    recording = run_production(run)
    for tenant in ("tenant-001", "tenant-002"):
        made = within(recording, tenant)
        assert {resource.type for resource in made} > {CONFIG_MAP, KUSTOMIZATION, *CONFINING}
        for resource in made:
            assert resource.inputs["metadata"]["labels"]["saas-in-eks.io/owner"] == "platform", resource.urn
    assert within(recording, "tenant-001", SECRET)


def test_tenants_with_similar_names_get_distinct_logical_names(run: Run) -> None:
    # Put together with a hyphen, each of these pairs would be one logical name.
    source = {"url": "https://github.com/acme/shop", "branch": "main"}
    egress = [{"name": name, "internet": True} for name in ("allow-dns", "egress-x")]
    tenants = [
        {"name": "shop", "helm": True, "network": {"egress": egress}},
        {"name": "shop-helm"},
        {"name": "shop-egress", "network": {"egress": [{"name": "x", "internet": True}]}},
    ]
    recording = run(yaml.safe_dump({"tenants": [{**resource, "source": source} for resource in tenants]}))
    assert len(within(recording, "shop", POLICY)) == 4
    assert len(within(recording, "shop-egress", POLICY)) == 3


def test_a_network_rule_that_opens_the_cluster_is_refused_with_its_line(run: Run) -> None:
    tenants = """\
tiers:
  gold:
    network:
      egress:
        - {name: database, cidr: 10.1.0.0/16, ports: [5432]}
tenants:
  - name: alpha
    tier: gold
    source: {url: "https://github.com/acme/shop", branch: main}
  - name: beta
    tier: gold
    identity: pool
    source: {url: "https://github.com/acme/shop", branch: main}
  - name: gamma
    source: {url: "https://github.com/acme/shop", branch: main}
    network: {egress: [{name: peer, cidr: 192.168.7.0/24}]}
"""
    with pytest.raises(ProgramError) as refused:
        run(tenants, config={"kubeconfig": "missing"})
    said = str(refused.value)
    assert said.startswith("4 problems; nothing was changed.")
    for part in (
        "tenants.yaml:5: tiers.gold.network.egress[0].cidr: 10.1.0.0/16 may be inside the cluster's own",
        "tenants.yaml:12: tenants[1].identity: a pool needs",
        "tenants.yaml:16: tenants[2].network.egress[0].cidr: 192.168.7.0/24 may be inside the cluster's own",
        "the file missing does not exist",
    ):
        assert part in said, said


def test_a_network_rule_with_a_wrong_shape_is_refused_with_its_line(run: Run) -> None:
    tenants = CONFINED.replace("cidr: 203.0.113.0/24", "cidr: 0.0.0.0/0").replace("gold:", "gold:\n    rol: x", 1)
    with pytest.raises(ProgramError) as refused:
        run(tenants)
    said = str(refused.value)
    assert "tenants.yaml:3: tiers.gold.rol: " in said
    assert "tenants.yaml:9: tiers.gold.network.egress[0].cidr: 0.0.0.0/0 includes" in said


def test_the_ranges_of_the_stack_decide_what_is_inside_the_cluster(run: Run) -> None:
    tenants = CONFINED.replace("203.0.113.0/24", "10.1.0.0/16")
    with pytest.raises(ProgramError, match="may be inside the cluster's own 10"):
        run(tenants)
    recording = run(tenants, config={"network": {"ranges": ["10.2.0.0/16"]}})
    (rule,) = recording.resource(POLICY, "alpha/egress-payments").inputs["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "10.1.0.0/16"}}]


def test_a_wide_role_is_warned_about(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run(CONFINED)
    assert "more permissions than a product usually needs" not in caplog.text
    run(TENANTS)
    assert (
        "The role admin gives the reconcilers of alpha, beta more permissions than a product usually needs"
        in caplog.text
    )


def test_an_adopted_namespace_outlives_the_platforms_objects_in_it(run: Run) -> None:
    recording = run(CONFINED.replace("  - name: beta\n", "  - name: beta\n    adopt: true\n"))
    for tenant, adopted in (("alpha", False), ("beta", True)):
        namespace = recording.resource(NAMESPACE, tenant)
        assert namespace.request.retainOnDelete is adopted
        assert namespace.inputs["metadata"]["annotations"].get("saas-in-eks.io/adopted") == (
            "true" if adopted else None
        )
        inside = within(recording, tenant)
        assert [resource for resource in inside if resource.request.retainOnDelete] == []
        # Deleted with the namespace, they would stay with it.
        confining = within(recording, tenant, *CONFINING)
        assert {resource.request.deletedWith for resource in confining} == {"" if adopted else namespace.urn}
        # What others have set is overwritten only in namespaces that the stack made.
        forced = {resource.inputs["metadata"].get("annotations", {}).get(FORCE) for resource in (namespace, *inside)}
        assert forced == {None if adopted else "true"}


@pytest.mark.parametrize("role", ["saas-tenant-reconciler", "edit"])
def test_another_role_is_another_binding_that_knows_its_former_name(run: Run, role: str) -> None:
    recording = run(TENANTS.replace("role: admin", f"role: {role}"))
    binding = recording.resource(BINDING, f"alpha/reconciler/{role}")
    assert [alias.spec.name for alias in binding.request.aliases] == ["alpha"]
    assert list(binding.request.ignoreChanges) == ["metadata.name"]
