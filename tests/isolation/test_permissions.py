"""The RBAC rights of a tenant's reconciler, as the API server answers, compared with permissions.md.

Asked are all verbs of all resources and subresources that the API server serves, in the tenant's own namespace, in a
neighbour's, in Flux's, and cluster-wide. `python -m tests.isolation.test_permissions` writes the table anew; the
difference is for a person to read. Admission takes away from this what test_attacks.py tries.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local

import pytest

from model.config.tiers import HELM_ROLE, RECONCILER_ROLE
from tests.isolation import control_plane
from tests.isolation.api import Actor, Answer
from tests.isolation.attack import ADMIN, BASIC, CLUSTER_ADMIN, NEIGHBOUR, PRODUCT, STRICT
from tests.isolation.control_plane import Cluster

TABLE = Path(__file__).parent / "permissions.md"

EVERYBODY = "system:authenticated"
VERBS = "get list watch create update patch delete deletecollection".split()
SPECIAL = {
    # Virtual resources, which exist only for RBAC.
    ("", "users"): ["impersonate", "impersonate:user-info"],
    ("", "groups"): ["impersonate"],
    ("authentication.k8s.io", "uids"): ["impersonate"],
    ("authentication.k8s.io", "userextras"): ["impersonate"],
    ("", "serviceaccounts"): ["impersonate", "impersonate:serviceaccount"],
    ("", "nodes"): ["impersonate:arbitrary-node", "impersonate:associated-node"],
    ("", "secrets"): ["impersonate-on:serviceaccount:get", "impersonate-on:user-info:get"],
    ("certificates.k8s.io", "signers"): ["approve", "sign", "attest"],
    ("rbac.authorization.k8s.io", "roles"): ["bind", "escalate"],
    ("rbac.authorization.k8s.io", "clusterroles"): ["bind", "escalate"],
    ("policy", "podsecuritypolicies"): ["use"],
    ("", "*"): ["get", "*"],
    ("*", "*"): ["get", "*"],
}
"""Additional verbs, and the resources to which they apply."""

PATHS = (
    "/ /api /apis /healthz /livez /readyz /version /openapi/v2 /openapi/v3 /metrics /metrics/slis /logs/ /debug/pprof"
)
PATHS += " /debug/flags/v /configz /statusz /flagz /.well-known/openid-configuration /openid/v1/jwks"

ELSEWHERE = (NEIGHBOUR, PRODUCT, "flux-system", "")
"""Namespaces that are not the tenant's; "" is the whole cluster."""
TENANTS = (BASIC, STRICT)
"""A tenant for each column of the table: STRICT may have Helm."""
WIDER = (ADMIN, CLUSTER_ADMIN)
"""Tenants whose roles in their own namespaces are Kubernetes' own: asked for is what they may do elsewhere."""

OF_PRODUCT = f"{BASIC} of a product"
"""The reconciler of the same tenant in a product's namespace, in which the neighbour has one too."""

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
THREADS = 4


@dataclass(frozen=True, order=True)
class Right:
    """A verb on all objects of a resource."""

    group: str
    resource: str
    """Includes the subresource: deployments/scale."""
    verb: str

    @property
    def of(self) -> str:
        """The resource as the table names it."""
        return f"{self.group}/{self.resource}" if self.group else self.resource


Rights = Mapping[str, frozenset[Right]]
"""By namespace; "" is cluster-wide."""


@dataclass(frozen=True)
class Found:
    """What the API server answered."""

    tenants: Mapping[str, Rights]
    everybody: frozenset[Right]
    """Cluster-wide rights of every authenticated user."""
    paths: Sequence[str]
    """Paths that are not resources and that a tenant may read."""


@pytest.fixture(scope="module")
def found(cluster: Cluster) -> Found:
    return review(cluster)


def test_a_reconciler_has_exactly_the_rights_of_the_table(found: Found):
    assert table(found) == TABLE.read_text(), "review the difference; this file's head says how to write it"


def test_the_reconciler_of_a_product_has_the_rights_of_the_table(found: Found):
    assert found.tenants[OF_PRODUCT][BASIC] == found.tenants[BASIC][BASIC]


@pytest.mark.parametrize("tenant", [*TENANTS, *WIDER, OF_PRODUCT])
@pytest.mark.parametrize("namespace", ELSEWHERE)
def test_elsewhere_a_tenant_has_only_the_rights_of_any_user(found: Found, tenant: str, namespace: str):
    assert found.tenants[tenant][namespace] <= found.everybody


def test_the_table_contains_no_dangerous_rights():
    """A reviewer of a new table could overlook these among two hundred others."""
    cells = [line.split("|") for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    allowed = {resource.strip(" `"): " ".join(verbs).split() for _, resource, *verbs in cells}
    assert {"secrets", "apps/deployments"} <= allowed.keys()
    forbidden = "impersonate bind escalate approve sign attest use * deletecollection".split()
    assert [(name, verb) for name, verbs in allowed.items() for verb in verbs if verb in forbidden] == []
    read_only = "resourcequotas limitranges networking.k8s.io/networkpolicies endpoints discovery.k8s.io/endpointslices"
    for resource in read_only.split():
        assert set(allowed[resource]) == {"get", "list", "watch"}, resource
    closed = "serviceaccounts/token pods/exec pods/attach pods/portforward pods/proxy services/proxy nodes bindings"
    assert not set(closed.split()) & allowed.keys()


@pytest.mark.parametrize("tenant", TENANTS)
def test_access_reviews_agree_with_the_tenants_own_rules_review(cluster: Cluster, found: Found, tenant: str):
    spec = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": tenant}}
    answer = cluster.tenant(tenant).call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", spec)
    permitted = {
        Right(group, resource, verb)
        for rule in answer.body["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert permitted & set(questions(cluster)) == found.tenants[tenant][tenant]


def review(cluster: Cluster) -> Found:
    """Ask the API server about every right: some ten thousand requests."""
    own = local()

    def allowed(user: str, groups: Sequence[str], **attributes: Mapping[str, str]) -> bool:
        if not hasattr(own, "actor"):
            own.actor = Actor(cluster.home, cluster.administrator.kinds)
        spec = {"user": user, "groups": list(groups), **attributes}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer: Answer = own.actor.call("POST", REVIEWS, body)
        assert answer.ok, answer.message
        return answer.body["status"]["allowed"]

    def rights(user: str, groups: Sequence[str], namespace: str) -> frozenset[Right]:
        def has(right: Right) -> bool:
            resource, _, subresource = right.resource.partition("/")
            attributes = {"namespace": namespace, "verb": right.verb, "group": right.group, "resource": resource}
            return allowed(user, groups, resourceAttributes={**attributes, "subresource": subresource})

        return frozenset(right for right, yes in zip(asked, pool.map(has, asked), strict=True) if yes)

    def identity(tenant: str, namespace: str = "") -> tuple[str, list[str]]:
        accounts, place = "system:serviceaccounts", namespace or tenant
        return f"system:serviceaccount:{place}:{tenant}", [accounts, f"{accounts}:{place}", EVERYBODY]

    asked = questions(cluster)
    with ThreadPoolExecutor(THREADS) as pool:
        tenants = {
            tenant: {namespace: rights(*identity(tenant), namespace) for namespace in (tenant, *ELSEWHERE)}
            for tenant in TENANTS
        }
        tenants |= {
            tenant: {namespace: rights(*identity(tenant), namespace) for namespace in ELSEWHERE} for tenant in WIDER
        }
        tenants[OF_PRODUCT] = {
            namespace: rights(*identity(BASIC, PRODUCT), namespace) for namespace in (BASIC, *ELSEWHERE)
        }
        paths = [
            path
            for path in PATHS.split()
            if allowed(*identity(BASIC), nonResourceAttributes={"path": path, "verb": "get"})
        ]
        return Found(tenants, rights("somebody", [EVERYBODY], ""), paths)


def questions(cluster: Cluster) -> list[Right]:
    """Every served resource with every meaningful verb."""
    served = {
        (version.rpartition("/")[0], resource["name"]) for version, resource in cluster.administrator.kinds.resources
    }
    usual = {Right(*resource, verb) for resource in served for verb in VERBS}
    return sorted(usual | {Right(*resource, verb) for resource, verbs in SPECIAL.items() for verb in verbs})


def table(found: Found) -> str:
    """The whole page."""
    beyond = [
        f"- **{tenant} in {namespace or 'the whole cluster'}: {right.verb} {right.of}**"
        for tenant, rights in found.tenants.items()
        for namespace in ELSEWHERE
        for right in sorted(rights[namespace] - found.everybody)
    ]
    everybody = [f"- {right.verb} `{right.of}`" for right in sorted(found.everybody)]
    paths = [f"- read `{path}`" for path in found.paths]
    return "\n".join([HEAD, *_own_namespace(found), FOOT, *beyond, *everybody, *paths]) + "\n"


HEAD = f"""\
# What a tenant's reconciler may do

Written by `python -m tests.isolation.test_permissions` from the API server's answers; test_permissions.py compares them
with this page. A change here changes the rights of tenants: review it as such.

The verbs are {", ".join(VERBS)} and, where they apply,
impersonate, escalate, bind, use, approve, sign and attest, on every resource and subresource that the API server
serves. Everything that is not listed is refused. Admission policies refuse some of it again: see test_attacks.py.

## In its own namespace

Every reconciler has `{RECONCILER_ROLE}`; if the tier allows Helm, also `{HELM_ROLE}`.

| | `{RECONCILER_ROLE}` | `{HELM_ROLE}` adds |
| --- | --- | --- |"""

FOOT = """
## Everywhere else

In a neighbour's namespace, in a shared product's, in flux-system and cluster-wide, a reconciler (also one with the role
`admin` or `cluster-admin`, or of a shared product) has the rights of every authenticated user (`system:authenticated`),
and no others:
"""


def _own_namespace(found: Found) -> Iterator[str]:
    base, more = (found.tenants[tenant][tenant] - found.everybody for tenant in TENANTS)
    assert base <= more, "with Helm a tenant may do less"
    order = dict.fromkeys([*VERBS, *sorted({verb for verbs in SPECIAL.values() for verb in verbs})])
    for group, resource in sorted({(right.group, right.resource) for right in more}):
        of_all = [Right(group, resource, verb) for verb in order]
        verbs = " ".join(right.verb for right in of_all if right in base)
        added = " ".join(right.verb for right in of_all if right in more - base)
        yield f"| `{of_all[0].of}` | {verbs} | {added} |"


def main() -> None:
    """Write the table anew."""
    with tempfile.TemporaryDirectory() as folder, control_plane.running(Path(folder) / "home") as cluster:
        TABLE.write_text(table(review(cluster)))


if __name__ == "__main__":
    main()
