"""Image automation of a product: its objects, keys and controllers, in the stack that writes and in no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.program.conftest import Run
from tests.program.recorder import Recording
from tests.program.test_tenant_space import SECRET, within

DEPLOYMENT, POLICY = "kubernetes:apps/v1:Deployment", "kubernetes:networking.k8s.io/v1:NetworkPolicy"
KEY, PRIVATE_KEY = "github:index/repositoryDeployKey:RepositoryDeployKey", "tls:index/privateKey:PrivateKey"
SOURCE = "kubernetes:source.toolkit.fluxcd.io/v1:GitRepository"
IMAGE = "kubernetes:image.toolkit.fluxcd.io/v1:"
IMAGES = (f"{IMAGE}ImageRepository", f"{IMAGE}ImagePolicy", f"{IMAGE}ImageUpdateAutomation")
CONTROLLERS = {"image-reflector-controller", "image-automation-controller"}
SHOP = {
    "source": {"url": "ssh://git@github.com/acme/shop", "branch": "main", "private": True},
    "images": {"app": {"repository": "ghcr.io/acme/app", "semver": ">=1.0.0"}},
    "automation": {"writer": "eu"},
}
MIRRORS = "mirrors: [{prefix: 'oci://ghcr.io/', url: 'http://127.0.0.1:5000/'}]"


def tenants(**automation: Any) -> str:
    product = {**SHOP, "automation": {**SHOP["automation"], **automation}}
    return yaml.safe_dump({"products": {"shop": product}, "tenants": [{"name": "alpha", "product": "shop"}]})


@pytest.fixture
def complete(image_manifest: str) -> dict[str, str]:
    """A manifest with both image controllers, and a mirror of the images."""
    return {"install.yaml": image_manifest, "mirrors.yaml": MIRRORS}


def automated(recording: Recording) -> list[str]:
    return [resource.type for resource in within(recording, "product-shop", *IMAGES)]


def test_the_writing_stack_gets_objects_controllers_and_keys(run: Run, complete: dict[str, str]) -> None:
    recording = run(tenants(), config={"mirrorsFile": "mirrors.yaml"}, files=complete)
    assert sorted(automated(recording)) == sorted(IMAGES)
    assert {r.name for r in recording.of(DEPLOYMENT)} >= CONTROLLERS
    assert {r.name for r in recording.of(POLICY)} >= CONTROLLERS
    repository, policy, automation = (within(recording, "product-shop", kind)[0] for kind in IMAGES)
    assert repository.inputs["spec"]["image"] == "127.0.0.1:5000/acme/app"
    assert repository.inputs["spec"]["insecure"] is True
    assert "provider" not in repository.inputs["spec"]
    (source,) = [r for r in within(recording, "product-shop", SOURCE) if r.inputs["spec"].get("suspend")]
    assert source.urn in recording.needs(automation)
    last = recording.resource(DEPLOYMENT, "kustomize-controller")
    assert all(last.urn in recording.needs(r) for r in (repository, policy, automation, source))
    keys = {r.inputs["title"]: r.inputs["readOnly"] for r in recording.of(KEY) if r.inputs["repository"] == "shop"}
    assert keys == {"flux-eu-product-shop": True, "flux-eu-product-shop-write": False}
    secrets = {r.inputs["metadata"]["name"] for r in within(recording, "product-shop", SECRET)}
    assert secrets == {"shop", "shop-write", "shop-signing"}
    assert list(recording.outputs["imageSigningKeys"]) == ["shop"]


def test_a_stack_that_does_not_write_gets_nothing_of_it(run: Run, complete: dict[str, str]) -> None:
    recording = run(tenants(writer="us"), files=complete)
    assert automated(recording) == []
    assert not {r.name for r in recording.of(DEPLOYMENT)} & CONTROLLERS
    assert len([r for r in recording.of(KEY) if r.inputs["repository"] == "shop"]) == 1
    assert "imageSigningKeys" not in recording.outputs


def test_of_two_stacks_that_deploy_the_same_file_exactly_one_writes(run: Run, complete: dict[str, str]) -> None:
    listed, made = tenants(), {}
    for cluster in ("eu", "us"):
        recording = run(listed, config={"cluster": cluster, "mirrorsFile": "mirrors.yaml"}, files=complete)
        keys = [r.inputs["title"] for r in recording.of(KEY) if r.inputs["readOnly"] is False]
        made[cluster] = (sorted(automated(recording)), keys)
        assert within(recording, "product-shop", SOURCE), "both read the product"
    assert made == {"eu": (sorted(IMAGES), ["flux-eu-product-shop-write"]), "us": ([], [])}


def test_nothing_of_the_automation_is_in_a_tenants_namespace(run: Run, complete: dict[str, str]) -> None:
    recording = run(tenants(), files=complete)
    assert within(recording, "alpha", *IMAGES, SECRET, SOURCE) == []


def test_private_keys_of_the_automation_are_secrets(run: Run, complete: dict[str, str]) -> None:
    recording = run(tenants(), files=complete)
    for name in ("product-shop/write/acme", "product-shop/signing"):
        assert recording.resource(PRIVATE_KEY, name).inputs["algorithm"] == "ECDSA"
    assert "PRIVATE KEY" not in json.dumps(recording.outputs, default=str)


@pytest.mark.parametrize(("writer", "scanned"), [("eu", ["app"]), ("us", [])])
def test_a_ci_job_makes_the_writing_stack_scan_at_once(
    run: Run, complete: dict[str, str], writer: str, scanned: list[str]
) -> None:
    oidc = {"issuer": "https://ci.acme.example", "audience": "flux", "claims": {"repository": "acme/shop"}}
    product = {**SHOP, "automation": {"writer": writer}, "webhook": {"github": False, "oidc": oidc}}
    listed = yaml.safe_dump({"products": {"shop": product}, "tenants": []})
    config = {"mirrorsFile": "mirrors.yaml", "webhooks": {"host": "flux.acme.example", "by": "none"}}
    (receiver,) = run(listed, config=config, files=complete).of("kubernetes:notification.toolkit.fluxcd.io/v1:Receiver")
    resources = receiver.inputs["spec"]["resources"]
    assert [each["name"] for each in resources if each["kind"] == "ImageRepository"] == scanned


def test_the_image_controllers_go_after_what_they_finalize(run: Run, complete: dict[str, str]) -> None:
    recording = run(tenants(), config={"mirrorsFile": "mirrors.yaml"}, files=complete)
    controllers = {r.urn for r in recording.of(DEPLOYMENT) if r.name in CONTROLLERS}
    # Directly: in the update that removes both, nothing else that is deleted lies between them.
    first = within(recording, "product-shop", f"{IMAGE}ImageRepository", f"{IMAGE}ImageUpdateAutomation")
    waits = {urn for resource in first for urn in resource.depends_on}
    assert controllers <= waits


def test_settings_reach_the_automation_before_another_version_does(run: Run, complete: dict[str, str]) -> None:
    recording = run(tenants(), config={"mirrorsFile": "mirrors.yaml"}, files=complete)
    (automation,) = within(recording, "product-shop", f"{IMAGE}ImageUpdateAutomation")
    policies = within(recording, "product-shop", f"{IMAGE}ImagePolicy")
    # Otherwise an update that lifts `hold` and sets `to` pushes to the source's own branch first.
    assert policies
    assert all(automation.urn in policy.depends_on for policy in policies)
