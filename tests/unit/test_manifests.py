"""The objects are those that Flux's own command line would write."""

from __future__ import annotations

from pathlib import Path

import yaml

from model import manifests, tenants
from model.document import parse
from model.mirrors import Location

GOLDEN = Path(__file__).parent / "golden"

ARTICLE = """\
tenants:
  - name: my-first-tenant
    source: {url: "https://github.com/stefanprodan/podinfo.git", branch: master, path: kustomize}
"""


def golden(name: str) -> list[manifests.Manifest]:
    return list(yaml.safe_load_all((GOLDEN / name).read_text()))


def test_a_tenant_is_what_the_article_creates_by_hand() -> None:
    (tenant,) = tenants.parse(parse(ARTICLE, "tenants.yaml"))
    assert [
        manifests.namespace(tenant),
        manifests.service_account(tenant),
        manifests.role_binding(tenant),
        manifests.git_repository(tenant, Location(tenant.source.url, "")),
        manifests.kustomization(tenant),
    ] == golden("tenant-public.yaml")


def test_the_sync_is_what_bootstrap_commits() -> None:
    url = "ssh://git@github.com/acme/saas-in-eks-infra"
    made = [manifests.sync_git_repository(url, "main"), manifests.sync_kustomization("prod-eu")]
    assert made == golden("sync.yaml")


def test_a_private_source_names_its_secret_and_a_revision_of_any_kind() -> None:
    text = "tenants:\n  - name: t1\n    source: {url: 'ssh://git@github.com/a/b', semver: '>=1.0.0', private: true}\n"
    (tenant,) = tenants.parse(parse(text, "tenants.yaml"))
    spec = manifests.git_repository(tenant, Location(tenant.source.url, "hosts"))["spec"]
    assert spec == {
        "interval": "1m0s",
        "ref": {"semver": ">=1.0.0"},
        "url": "ssh://git@github.com/a/b",
        "secretRef": {"name": "t1"},
    }


def test_the_text_for_git_reads_back_as_the_same_objects() -> None:
    objects = golden("sync.yaml")
    assert list(yaml.safe_load_all(manifests.to_yaml(objects, "a comment"))) == objects
