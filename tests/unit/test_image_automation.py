"""Image automation: what a product may say of it, and the objects that Flux gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from model import checks
from model.config import mirrors, tenants, yaml_lines
from model.config.errors import InvalidConfigError
from model.config.images import ports
from model.config.mirrors import Location, Mirror
from model.config.names import IMAGE_SCANNER, IMAGE_WRITER
from model.config.products import Product
from model.kubernetes import flux, image_automation

CONTROLLERS = ("source-controller", "kustomize-controller", IMAGE_SCANNER, IMAGE_WRITER)
SOURCE = {"url": "ssh://git@github.com/acme/shop", "branch": "main", "path": "./deploy", "private": True}
APP = {"repository": "ghcr.io/acme/app", "semver": ">=1.0.0"}
AUTOMATION = {"writer": "eu"}
LOOPBACK = Mirror(prefix="oci://ghcr.io/", url="http://127.0.0.1:5000/")


def listed(**product: Any) -> tenants.TenantList:
    content = {"products": {"shop": {"source": SOURCE, **product}}, "tenants": []}
    return tenants.parse(yaml_lines.parse(yaml.safe_dump(content), "tenants.yaml"))


def product(**changes: Any) -> Product:
    return listed(**{"images": {"app": APP}, "automation": AUTOMATION, **changes}).products["shop"]


def refused(**changes: Any) -> str:
    with pytest.raises(InvalidConfigError) as error:
        product(**changes)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"images": {}}, "there are no images to update"),
        ({"automation": None}, "images without automation are not looked at"),
        ({"images": {"app": {"repository": "app"}}}, "found none"),
        ({"images": {"app": {**APP, "numerical": "asc"}}}, "found semver and numerical"),
        ({"images": {"app": {**APP, "semver": "newest"}}}, "not a range of versions"),
        ({"images": {"App": APP}}, "not a valid name for an image"),
        ({"images": {"app": {**APP, "repository": "ghcr.io/acme/app:1.0.0"}}}, "has a tag or digest"),
        ({"images": {"app": {**APP, "repository": "GHCR.io/acme/app"}}}, "not the name of an image"),
        ({"images": {"app": {**APP, "repository": "https://ghcr.io/acme/app"}}}, "not the name of an image"),
        ({"images": {"app": {**APP, "filterTags": {"pattern": "("}}}}, "not a regular expression"),
        ({"images": {"app": {**APP, "filterTags": {"pattern": "^(?!rc)"}}}}, "have no"),
        ({"automation": {}}, "is missing"),
        ({"automation": {"writer": "EU"}}, "not the name of a cluster"),
        ({"automation": {**AUTOMATION, "interval": "1s"}}, "not between 10s and 24h"),
        ({"automation": {**AUTOMATION, "interval": "25h"}}, "not between 10s and 24h"),
        ({"automation": {**AUTOMATION, "hold": "1.4"}}, "is not a version"),
        ({"automation": {**AUTOMATION, "hold": ">=1.4.0"}}, "is not a tag"),
        ({"automation": {**AUTOMATION, "to": "refs/heads/main"}}, "the full name of a reference"),
        ({"source": {**SOURCE, "url": "https://github.com/acme/shop", "private": False}}, "needs a deploy key"),
        ({"source": {k: v for k, v in SOURCE.items() if k != "branch"} | {"tag": "v1"}}, "the source has no branch"),
    ],
)
def test_mistakes_are_refused_with_their_reason(changes: dict[str, Any], problem: str) -> None:
    text = refused(**changes)
    assert problem in text
    assert "\ntenants.yaml:" in text


def test_the_stack_that_writes_gets_the_controllers_and_no_other() -> None:
    given = listed(images={"app": APP}, automation=AUTOMATION)
    for cluster, needed in (("eu", CONTROLLERS), ("us", CONTROLLERS[:2])):
        settings = type("Settings", (), {"cluster": cluster, "flux_components": [*CONTROLLERS[:2]], "aws": None})
        assert checks.flux_components(settings, given) == needed  # pyright: ignore[reportArgumentType]


def test_a_repository_of_the_stacks_registry_has_to_exist() -> None:
    registry = type("Registry", (), {"repositories": ["product"]})
    for aws in (None, type("Aws", (), {"registry": registry})):
        settings: Any = type("Settings", (), {"cluster": "eu", "flux_components": [], "aws": aws})
        given = listed(images={"app": {**APP, "repository": "shop"}}, automation=AUTOMATION)
        (problem,) = checks.unknown_images(given, settings)
        assert "shop is not a repository of this stack's registry" in str(problem)
        assert not [*checks.unknown_images(listed(images={"app": APP}, automation=AUTOMATION), settings)]


def test_objects_of_a_product_are_flux_own() -> None:
    shop = product(automation={**AUTOMATION, "to": "flux/images", "interval": "5m"})
    assert shop.automation
    source = image_automation.git_repository("shop", shop, Location("ssh://git@github.com/acme/shop", ""))
    automation = image_automation.image_update_automation("shop", shop, shop.automation)
    policy = image_automation.image_policy("shop", "app", shop.images["app"], None)
    assert source["metadata"]["name"] == source["spec"]["secretRef"]["name"] == "shop-write"
    assert source["spec"]["suspend"] is True
    assert policy["spec"] == {
        "imageRepositoryRef": {"name": "app"},
        "policy": {"semver": {"range": ">=1.0.0"}},
        "digestReflectionPolicy": "IfNotPresent",
    }
    spec = automation["spec"]
    assert spec["sourceRef"] == {"kind": "GitRepository", "name": "shop-write"}
    assert spec["update"] == {"path": "./deploy", "strategy": "Setters"}
    assert spec["policySelector"]["matchLabels"].items() <= policy["metadata"]["labels"].items()
    assert (spec["git"]["checkout"]["ref"]["branch"], spec["git"]["push"]["branch"]) == ("main", "flux/images")
    assert "OldValue" not in spec["git"]["commit"]["messageTemplate"]
    assert {each["metadata"]["namespace"] for each in (source, automation, policy)} == {"product-shop"}


@pytest.mark.parametrize(
    ("image", "hold", "policy", "filters"),
    [
        ({"semver": ">=1.0.0"}, "1.4.2", {"semver": {"range": "=1.4.2"}}, None),
        ({"numerical": "asc"}, "42", {"numerical": {"order": "asc"}}, {"pattern": "^42$"}),
        (
            {"alphabetical": "asc", "filterTags": {"pattern": "^main-(?P<n>.*)", "extract": "$n"}},
            "main-1.2",
            {"alphabetical": {"order": "asc"}},
            {"pattern": r"^main\-1\.2$"},
        ),
    ],
)
def test_a_held_version_is_the_only_one_that_counts(
    image: dict[str, Any], hold: str, policy: dict[str, Any], filters: dict[str, str] | None
) -> None:
    shop = product(images={"app": {"repository": "ghcr.io/acme/app", **image}})
    spec = image_automation.image_policy("shop", "app", shop.images["app"], hold)["spec"]
    assert spec["policy"] == policy
    assert spec.get("filterTags") == filters


def test_a_mirror_of_images_decides_where_tags_are_read() -> None:
    found = mirrors.locate_image("ghcr.io/acme/app", [LOOPBACK])
    assert (found.image, found.insecure) == ("127.0.0.1:5000/acme/app", True)
    assert mirrors.locate_image("quay.io/acme/app", [LOOPBACK]).image == "quay.io/acme/app"
    assert mirrors.plain_http([LOOPBACK]) == []
    assert mirrors.plain_http([LOOPBACK], images=True) == ["127.0.0.1:5000"]
    assert ports([(product().source, product().images)], [LOOPBACK]) == [22, 5000]
    assert ports([(product().source, product().images)], []) == [22, 443]


def test_a_mirror_of_images_is_read_over_http() -> None:
    file = yaml_lines.parse("mirrors: [{prefix: 'oci://ghcr.io/', url: 'ssh://git@ghcr.io/'}]", "mirrors.yaml")
    with pytest.raises(InvalidConfigError, match="a registry is read over HTTP"):
        mirrors.parse(file)


@pytest.fixture(scope="module")
def installed() -> flux.FluxManifest:
    """The image controllers of a release's manifest, of which the sample has but one."""
    text = (Path(__file__).parents[1] / "program" / "install.yaml").read_text()
    (writer,) = [part for part in text.split("---\n") if "kind: Deployment" in part and IMAGE_WRITER in part]
    policy = "kind: NetworkPolicy\nmetadata: {name: allow-egress, namespace: flux-system}"
    spec = "spec: {podSelector: {}, egress: [{}], ingress: [{from: [{podSelector: {}}]}]}"
    whole = [text, writer.replace(IMAGE_WRITER, IMAGE_SCANNER), f"apiVersion: networking.k8s.io/v1\n{policy}\n{spec}\n"]
    return flux.parse("\n---\n".join(whole), "x", CONTROLLERS, lockdown=True, pod_identity=True, image_ports=[2222])


def container(manifest: flux.FluxManifest, name: str) -> dict[str, Any]:
    (found,) = [one for one in manifest.deployments if one["metadata"]["name"] == name]
    return found["spec"]["template"]["spec"]["containers"][0]


def test_the_image_controllers_are_locked_down(installed: flux.FluxManifest) -> None:
    scanner, writer = container(installed, IMAGE_SCANNER), container(installed, IMAGE_WRITER)
    for one in (scanner, writer):
        assert flux.NO_CROSS_NAMESPACE in one["args"]
        assert flux.METRICS_AT_POD_IP in one["args"]
        assert one["env"][-5:]  # POD_IP, which the metrics' address refers to, is among them
    assert "--feature-gates=FluxStorage=true" in scanner["args"]
    variables = {one["name"]: one.get("value") for one in scanner["env"]}
    assert variables["HTTP_PROXY"] == flux.BLACKHOLE_PROXY
    assert "HTTPS_PROXY" not in variables
    assert variables["NO_PROXY"].endswith(flux.POD_IDENTITY_AGENT)
    variables = {one["name"]: one.get("value") for one in writer["env"]}
    assert variables["HTTPS_PROXY"] == flux.BLACKHOLE_PROXY
    assert flux.POD_IDENTITY_AGENT not in variables["NO_PROXY"]


def test_the_image_controllers_reach_given_ports_only(installed: flux.FluxManifest) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in installed.permissions if one["kind"] == "NetworkPolicy"}
    (excluded,) = policies["allow-egress"]["podSelector"]["matchExpressions"]
    assert (excluded["operator"], excluded["values"]) == ("NotIn", [IMAGE_SCANNER, IMAGE_WRITER])
    for name in (IMAGE_SCANNER, IMAGE_WRITER):
        assert policies[name]["podSelector"] == {"matchLabels": {"app": name}}
        everywhere = [rule for rule in policies[name]["egress"] if "to" not in rule]
        assert [{port["port"] for port in rule["ports"]} for rule in everywhere] == [{53, 443, 2222, 6443, 8443, 16443}]
