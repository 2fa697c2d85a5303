"""A tenant's objects, against Flux's own command line and the article."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from model.config import tenants
from model.config.mirrors import Location
from model.config.tenants import Tenant
from model.config.yaml_lines import parse
from model.kubernetes import manifests

GOLDEN = Path(__file__).parent / "golden"

ARTICLE = """\
tenants:
  - name: my-first-tenant
    role: cluster-admin
    prune: false
    source: {url: "https://github.com/stefanprodan/podinfo.git", branch: master, path: kustomize}
"""


def golden(name: str) -> list[manifests.Manifest]:
    return list(yaml.safe_load_all((GOLDEN / name).read_text()))


def tenant_of(**entry: Any) -> Tenant:
    """A tenant whose entry has these keys besides name and source."""
    whole = {"name": "t1", "source": {"url": "https://github.com/a/b", "branch": "main"}, **entry}
    (tenant,) = tenants.parse(parse(yaml.safe_dump({"tenants": [whole]}), "tenants.yaml")).tenants
    return tenant


def unmarked(made: manifests.Manifest, article: manifests.Manifest) -> manifests.Manifest:
    """An object without the annotations and labels that the program adds to the article's."""
    metadata = {key: value for key, value in made["metadata"].items() if key != "annotations"}
    theirs = article["metadata"].get("labels", {})
    labels = {key: value for key, value in metadata.pop("labels").items() if key in theirs}
    return {**made, "metadata": {**metadata, **({"labels": labels} if labels else {})}}


def test_a_tenant_is_what_the_article_creates_by_hand() -> None:
    (tenant,) = tenants.parse(parse(ARTICLE, "tenants.yaml")).tenants
    article = golden("tenant-public.yaml")
    # The article's role is not the default: its binding names it, so that another role can be another binding.
    article[2]["metadata"]["name"] += "-cluster-admin"
    # Without these, Flux tries again after the next interval only, and may work on a revision as long.
    article[4]["spec"] |= {"retryInterval": "1m0s", "timeout": "1m0s"}
    made = [
        manifests.namespace(tenant, "prod-eu"),
        manifests.service_account(tenant),
        manifests.role_binding(tenant),
        manifests.git_repository(tenant, Location(tenant.own_source.url, "")),
        manifests.kustomization(tenant),
    ]
    assert [unmarked(one, theirs) for one, theirs in zip(made, article, strict=True)] == article


def test_the_default_roles_binding_is_called_as_flux_calls_it() -> None:
    assert manifests.role_binding(tenant_of())["metadata"]["name"] == f"{tenant_of().name}-reconciler"
    assert manifests.role_binding(tenant_of(role="edit"))["metadata"]["name"] == f"{tenant_of().name}-reconciler-edit"


def test_the_namespace_carries_what_admission_reads() -> None:
    known = manifests.namespace(
        tenant_of(
            tier="premium",
            podSecurity="restricted",
            hosts=["{tenant}.acme.example", "*.{tenant}.acme.example"],
            registries=["ghcr.io/acme/"],
            priorityClasses=["tenants"],
            runtimeClasses=["gvisor"],
            storageClasses=["gp3", "standard"],
            annotations=["cert-manager.io/*", "nginx.ingress.kubernetes.io/rewrite-target"],
            services=["ClusterIP", "ExternalName"],
        ),
        "prod-eu",
    )["metadata"]
    assert known["annotations"] == {
        "saas-in-eks.io/services": "ClusterIP,ExternalName",
        "saas-in-eks.io/registries": "ghcr.io/acme/",
        "saas-in-eks.io/priority-classes": "tenants",
        "saas-in-eks.io/runtime-classes": "gvisor",
        "saas-in-eks.io/storage-classes": "gp3,standard",
        "saas-in-eks.io/annotations": "cert-manager.io/*,nginx.ingress.kubernetes.io/rewrite-target",
        "saas-in-eks.io/max-replicas": "100",
        "saas-in-eks.io/max-completions": "1000",
        "saas-in-eks.io/hosts": "t1.acme.example,*.t1.acme.example",
        "saas-in-eks.io/helm": "true",
        "saas-in-eks.io/pods-as-reconciler": "false",
    }
    assert known["labels"]["saas-in-eks.io/tier"] == "premium"
    assert known["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(("account", "allowed"), [({}, "true"), ({"serviceAccount": "shop"}, "false")])
def test_pods_may_run_as_the_reconciler_only_if_it_has_the_aws_role(account: dict[str, str], allowed: str) -> None:
    statement = {"actions": ["sqs:SendMessage"], "resources": ["arn:aws:sqs:eu-west-1:123456789012:t1"]}
    made = manifests.namespace(tenant_of(aws={"statements": [statement], **account}), "prod-eu")
    known = made["metadata"]["annotations"]
    assert known["saas-in-eks.io/pods-as-reconciler"] == allowed


def test_pod_security_is_restricted_unless_the_entry_widens_it() -> None:
    tenant = tenant_of()
    assert (
        manifests.namespace(tenant, "prod-eu")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    )
    assert manifests.role_binding(tenant)["roleRef"]["name"] == "saas-tenant-reconciler"
    hard = manifests.resource_quota(tenant)["spec"]["hard"]
    assert hard["requests.cpu"] == "2"
    assert hard["services.loadbalancers"] == "0"
    (limit,) = manifests.limit_range(tenant)["spec"]["limits"]
    # A quota refuses containers that say nothing about what it counts: each needs a default, or else the maximum.
    assert {key.partition(".")[2] for key in hard if key.startswith("limits.")} <= limit["max"].keys()
    assert {"cpu", "memory"} <= limit["defaultRequest"].keys()


def test_the_platforms_objects_are_labelled() -> None:
    tenant = tenant_of(tier="premium")
    for made in (
        manifests.service_account(tenant),
        manifests.role_binding(tenant),
        manifests.helm_role_binding(tenant),
        manifests.resource_quota(tenant),
        manifests.limit_range(tenant),
        manifests.git_repository(tenant, Location(tenant.own_source.url, "")),
        manifests.kustomization(tenant),
        manifests.owned({"kind": "Any", "metadata": {"name": "any", "namespace": "t1"}}, tenant),
    ):
        assert made["metadata"]["labels"] == {"toolkit.fluxcd.io/tenant": "t1", "saas-in-eks.io/owner": "platform"}


@pytest.mark.parametrize(
    ("given", "retry"),
    [({"interval": "1h"}, "1m0s"), ({"interval": "10s"}, "10s"), ({"interval": "1h", "retryInterval": "5m"}, "5m")],
)
def test_a_failure_is_retried_within_minutes_whatever_the_interval(given: dict[str, str], retry: str) -> None:
    spec = manifests.kustomization(tenant_of(**given))["spec"]
    assert (spec["retryInterval"], spec["timeout"]) == (retry, "1m0s")


def test_the_sync_is_what_bootstrap_commits() -> None:
    url = "ssh://git@github.com/acme/saas-in-eks-infra"
    made = [manifests.sync_git_repository(url, "main"), manifests.sync_kustomization("prod-eu")]
    repository, kustomization = golden("sync.yaml")
    # In addition: removing the stack waits for the load balancers of the infra repository's Services.
    kustomization["spec"]["deletionPolicy"] = "WaitForTermination"
    assert made == [repository, kustomization]


def test_a_private_source_names_its_secret_and_a_revision_of_any_kind() -> None:
    text = "tenants:\n  - name: t1\n    source: {url: 'ssh://git@github.com/a/b', semver: '>=1.0.0', private: true}\n"
    (tenant,) = tenants.parse(parse(text, "tenants.yaml")).tenants
    spec = manifests.git_repository(tenant, Location(tenant.own_source.url, "hosts"))["spec"]
    assert spec == {
        "interval": "1m0s",
        "ref": {"semver": ">=1.0.0"},
        "url": "ssh://git@github.com/a/b",
        "secretRef": {"name": "t1"},
    }


def test_the_text_for_git_reads_back_as_the_same_objects() -> None:
    objects = golden("sync.yaml")
    assert list(yaml.safe_load_all(manifests.to_yaml(objects, "a comment"))) == objects
