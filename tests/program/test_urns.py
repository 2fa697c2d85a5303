"""URNs of sample stacks, against a golden file.

A URN is a state key: a changed one deletes a resource and creates another. Add to `urns.json` when a resource is added,
and give a renamed resource an alias.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.program.conftest import Run
from tests.program.recorder import CHECKOUT
from tests.program.test_prod_eu import NODES, SUBNETS, THEIRS, VPC, production

GOLDEN = Path(__file__).parent / "urns.json"

TENANTS = """\
products:
  shop:
    images: {app: {repository: ghcr.io/acme/shop, semver: ">=1.0.0"}}
    automation: {writer: local}
    source: {url: "ssh://git@github.com/acme/shop", branch: main, private: true}
tenants:
  - {name: shopper, product: shop}
  - name: private
    tier: premium
    helm: true
    source: {url: "ssh://git@github.com/acme/product", branch: main, private: true}
    network:
      ingressControllers: [ingress-nginx]
      egress: [{name: payments, cidr: 203.0.113.0/24, ports: [443]}]
  - name: public
    source: {url: "https://github.com/stefanprodan/podinfo", branch: master}
"""

NOTIFY = "notify: [{name: team, type: slack, secret: slack}]"
NOTIFIED = (
    TENANTS.replace("private: true}\ntenants", f"private: true}}\n    {NOTIFY}\ntenants")
    .replace("product: shop}", f"product: shop, {NOTIFY}}}")
    .replace("- name: public", f"- name: public\n    {NOTIFY.replace('slack}', 'publicSlack}')}")
)
SECRETS = dict.fromkeys(("slack", "publicSlack"), "https://hooks.slack.com/services/T0/B0/x") | {"pager": "0" * 32}

AWS_TENANTS = f"""\
{TENANTS}\
  - name: client
    identity: client
    source: {{url: "ssh://git@github.com/globex/shop", branch: main, private: true}}
    aws:
      policies: [{{arn: "arn:aws:iam::aws:policy/AmazonBedrockReadOnly", justification: models are nobody's data}}]
      statements: [{{actions: [s3:GetObject], resources: ["arn:aws:s3:::acme-data/${{tenant}}/*"]}}]
  - name: pool
    identity: pool
    source: {{url: "https://github.com/acme/shop", branch: main}}
"""


def local() -> dict[str, Any]:
    """Pulumi.local.yaml, without the files that only a running platform has."""
    content = yaml.safe_load((CHECKOUT / "Pulumi.local.yaml").read_text())["config"]
    config = {key.partition(":")[2]: value for key, value in content.items()}
    platform = [
        {"name": "ops", "type": "slack", "secret": "slack"},
        {"name": "oncall", "type": "pagerduty", "secret": "pager"},
    ]
    files = {"kubeconfig": "kubeconfig", "mirrorsFile": "", "fluxManifest": "install.yaml"}
    return {**config, **files, "notifications": platform}


def managed_nodes() -> dict[str, Any]:
    """Production on managed nodes, with GuardDuty."""
    return production(cluster=NODES, monitoring={"guardDuty": True})


def auto_mode() -> dict[str, Any]:
    """Production on EKS Auto Mode in an existing VPC of an account without the bootstrap, with Flux's image scanner."""
    config = production()
    config["aws"]["network"] = {"existing": {"vpc": VPC, "privateSubnets": [*SUBNETS]}}
    config["aws"]["boundaries"] = "stack"
    del config["webhooks"]
    controllers = ["source-controller", "kustomize-controller", "image-reflector-controller"]
    return {**config, "fluxComponents": controllers}


PRODUCTS = """\
products:
  shop: {source: {url: "ssh://git@github.com/acme/shop", branch: main, private: true}}
  market:
    source: {url: "https://github.com/acme/market", branch: main}
    rings: {canary: {}, early: {ref: {tag: v1.4.2}, after: canary, batches: 50%}}
tenants: []
"""

SAMPLES = {
    "local": (local, NOTIFIED),
    "prod-eu": (managed_nodes, AWS_TENANTS),
    "auto-mode": (auto_mode, AWS_TENANTS),
    "webhooks": (production, PRODUCTS),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_urns_of_a_sample_stack_match_the_golden_file(
    run: Run, manifest: str, image_manifest: str, tmp_path: Path, sample: str
) -> None:
    config, tenants = SAMPLES[sample]
    given = config()
    if "kubeconfig" in given:
        given["kubeconfig"] = str(tmp_path / "kubeconfig")
    scanner_only = manifest.replace("image-automation-controller", "image-reflector-controller")
    files = {"install.yaml": image_manifest if sample == "local" else scanner_only}
    recording = run(tenants, config=given, files=files, stack_name=sample, answers=THEIRS, secrets=SECRETS)
    assert sorted(recording.registrations) == json.loads(GOLDEN.read_text())[sample]


KEYS = {"tls:index/privateKey:PrivateKey", "github:index/repositoryDeployKey:RepositoryDeployKey"}


def test_a_source_of_another_owner_is_another_key_on_another_repository(run: Run) -> None:
    before, after = run(TENANTS), run(TENANTS.replace("github.com/acme/product", "github.com/globex/product"))
    for recording, other, owner in ((before, after, "acme"), (after, before, "globex")):
        own = recording.registrations.keys() - other.registrations.keys()
        resources = [recording.registrations[urn] for urn in own if "pulumi:providers" not in urn]
        assert {(resource.type, resource.name) for resource in resources} == {
            (kind, f"private/{owner}") for kind in KEYS
        }
        # As they were called by earlier releases.
        assert [[alias.spec.name for alias in resource.request.aliases] for resource in resources] == [["private"]] * 2
