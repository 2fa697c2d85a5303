"""Image automation, end to end: from a pushed image to the tenant, and what hostile commits reach."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml
from rich.console import Console

from local import registry, release
from standins.github import git
from tests.platform import PRIVATE, PUBLIC, SHOP, Platform, Stack, deploy_keys, eventually

CHECK = Path(__file__).parents[2] / "local" / "shop" / ".github" / "image_updates.py"
IMAGE = {"repository": f"{registry.HOST}/product", "semver": ">=1.0.0 <2.0.0"}
IMAGES = "/apis/image.toolkit.fluxcd.io/v1/namespaces/product-shop"
TENANTS: dict[str, dict[str, Any] | str] = {"alpha": PRIVATE, "beta": PRIVATE, "gamma": PUBLIC, "delta": "shop"}
MARKED = 'version: 0.0.1 # {"$imagepolicy": "product-shop:app:tag"}\n'
CANARY = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: canary}}\n{MARKED}"


@dataclass
class Shop:
    """The product `shop` of the tenant `delta`, with its repository."""

    platform: Platform
    stack: Stack
    folder: Path

    @property
    def repository(self) -> Path:
        return self.platform.hosted("acme/shop").path

    def automate(self, **automation: str) -> None:
        """Run `pulumi up` with other settings of the automation."""
        product = {
            "source": SHOP,
            "interval": "10s",
            "images": {"app": IMAGE},
            "automation": {"writer": "prod-eu", **automation},
        }
        self.stack.tenants(TENANTS, products={"shop": product})
        self.stack.up()

    def push(self, version: str) -> str:
        """Push an image, have its registry scanned, and return its digest."""
        digest = registry.push(self.platform.home, "product", version)
        self.scan()
        eventually(lambda: version in self.get("imagerepositories/app")["status"]["lastScanResult"]["latestTags"])
        return digest

    def scan(self) -> None:
        """Have the registry scanned, and wait until it was."""
        self.reconcile("imagerepositories/app")

    def reconcile(self, path: str) -> None:
        """Have Flux reconcile an object, and wait until it has."""
        # Not by the time of the scan, which has whole seconds: several scans may be in one.
        at = str(time.monotonic_ns())
        annotation = f"reconcile.fluxcd.io/requestedAt={at}"
        self.platform.kubectl("annotate", "--overwrite", "-n", "product-shop", path, annotation)
        eventually(lambda: self.get(path)["status"].get("lastHandledReconcileAt") == at)

    def get(self, path: str) -> dict[str, Any]:
        found = self.platform.get(f"{IMAGES}/{path}")
        assert found, path
        return found

    def read(self, path: str, branch: str = "main") -> str:
        return self.platform.read("acme/shop", path, branch)

    def version(self, branch: str = "main") -> str:
        """The version that Git has."""
        return yaml.safe_load(self.read("kustomize/kustomization.yaml", branch))["images"][0]["newTag"]

    def committed(self, version: str, branch: str = "main") -> None:
        eventually(lambda: git.branch_tip(self.repository, branch) and self.version(branch) == version)

    def commit(self, files: dict[str, str | None]) -> None:
        self.platform.push("acme/shop", files, self.folder)


@pytest.fixture(scope="module")
def shop(article: Stack, platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(platform, article, tmp_path_factory.mktemp("shop"))
    shop.automate()
    eventually(lambda: "lastScanResult" in shop.get("imagerepositories/app").get("status", {}))
    return shop


def test_a_release_is_followed_to_the_running_tenant(shop: Shop, platform: Platform) -> None:
    with Console(width=200, record=True, quiet=False) as console:
        release.release(platform.home, "1.0.1", console)
    lines = console.export_text().splitlines()
    digest = registry.image("product", "1.0.1").digest
    expected = ("pushed", "seen", "committed", "applied to delta", f"runs in 1 Deployments, as 1.0.1@{digest[:19]}")
    assert [line.split(" s  ")[1].startswith(said) for line, said in zip(lines, expected, strict=True)] == [True] * 5
    deployment = platform.get("/apis/apps/v1/namespaces/delta/deployments/product")
    assert deployment
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{registry.HOST}/product:1.0.1@{digest}"
    seconds = [float(line.split()[0]) for line in lines]
    assert seconds[2] < 30, lines


def test_the_automations_commit_is_signed_and_says_only_new_values(shop: Shop) -> None:
    public_key = asyncssh.import_public_key(shop.stack.outputs()["imageSigningKeys"]["shop"])
    (newest,) = git.log(shop.repository, "main", count=1)
    assert newest.message.splitlines()[0] == "shop: 1.0.1"
    assert newest.message.splitlines()[-1] == "Cluster: prod-eu"
    assert "1.0.0" not in newest.message
    assert _is_signed(git.run(shop.repository, "cat-file", "commit", newest.sha), public_key)
    changed = git.run(shop.repository, "diff", "--numstat", "HEAD~1", "HEAD").decode()
    assert changed == "2\t2\tkustomize/kustomization.yaml\n"


def test_a_second_update_changes_nothing_while_the_automation_commits(shop: Shop) -> None:
    shop.push("1.0.2")
    assert shop.stack.preview() == []
    shop.committed("1.0.2")
    assert shop.stack.preview() == []


def test_a_lost_cache_of_tags_downgrades_nothing(shop: Shop, platform: Platform) -> None:
    tip, before = git.branch_tip(shop.repository, "main"), scanners(platform)
    name = "deployment/image-reflector-controller"
    platform.kubectl("rollout", "restart", "-n", "flux-system", name)
    platform.kubectl("rollout", "status", "-n", "flux-system", name, "--timeout=120s")
    # Another pod: its volume, which had the tags, is a new one.
    eventually(lambda: (now := scanners(platform)) and not now & before)
    shop.reconcile("imageupdateautomations/shop")
    shop.scan()
    assert shop.get("imagepolicies/app")["status"]["latestRef"]["tag"] == "1.0.2"
    shop.reconcile("imageupdateautomations/shop")
    assert (shop.version(), git.branch_tip(shop.repository, "main")) == ("1.0.2", tip)


def scanners(platform: Platform) -> set[str]:
    """The uids of image-reflector-controller's pods."""
    found = platform.get("/api/v1/namespaces/flux-system/pods?labelSelector=app=image-reflector-controller")
    assert found
    return {item["metadata"]["uid"] for item in found["items"]}


def test_keys_are_the_products_only_and_the_write_key_opens_one_repository(
    shop: Shop, platform: Platform, tmp_path: Path
) -> None:
    listed = platform.get("/api/v1/secrets")
    assert listed
    secrets = {(one["metadata"]["namespace"], one["metadata"]["name"]): one.get("data", {}) for one in listed["items"]}
    for name in ("shop-write", "shop-signing"):
        identity = secrets["product-shop", name]["identity"]
        holders = [place for place, data in secrets.items() if identity in data.values()]
        assert holders == [("product-shop", name)]
    key = tmp_path / "identity"
    key.write_bytes(base64.b64decode(secrets["product-shop", "shop-write"]["identity"]))
    key.chmod(0o600)
    assert platform.git("clone", platform.repository("acme/shop"), "own", folder=tmp_path, key=key).returncode == 0
    for other in ("acme/product", "acme/saas-in-eks-infra"):
        assert platform.git("clone", platform.repository(other), "other", folder=tmp_path, key=key).returncode != 0
    assert sorted(deploy_keys(platform, "shop")) == ["flux-prod-eu-product-shop", "flux-prod-eu-product-shop-write"]
    source = platform.get("/apis/source.toolkit.fluxcd.io/v1/namespaces/product-shop/gitrepositories/shop-write")
    assert source
    assert source["spec"]["suspend"] is True
    assert "artifact" not in source.get("status", {})


def test_markers_elsewhere_and_of_other_products_stay_as_they_are(shop: Shop) -> None:
    foreign = MARKED.replace("product-shop:app", "product-other:app")
    files = {"elsewhere/values.yaml": CANARY, "kustomize/foreign.yaml": CANARY.replace(MARKED, foreign)}
    shop.commit({**files, "kustomize/own.yaml": CANARY})
    shop.push("1.0.3")
    shop.committed("1.0.3")
    assert {path: shop.read(path) for path in files} == files
    assert 'version: 1.0.3 # {"$imagepolicy"' in shop.read("kustomize/own.yaml")
    shop.commit(dict.fromkeys([*files, "kustomize/own.yaml"]))


def test_a_link_in_the_repository_leads_to_no_file_of_this_machine(shop: Shop, platform: Platform) -> None:
    canary = shop.folder / "canary.yaml"
    canary.write_text(CANARY)
    clone = shop.folder / "linked"
    platform.git("clone", platform.repository("acme/shop"), str(clone), folder=shop.folder)
    (clone / "kustomize" / "link.yaml").symlink_to(canary)
    for command in (["add", "--all"], ["commit", "--message", "A link"], ["push"]):
        assert platform.git(*command, folder=clone).returncode == 0
    shop.push("1.0.4")
    shop.committed("1.0.4")  # the controller cannot read the link's file, and goes on
    assert canary.read_text() == CANARY

    with _writable_root(platform):
        shop.push("1.0.5")
        eventually(lambda: canary.read_text() != CANARY)  # the defence is needed
    shop.committed("1.0.5")
    shop.commit({"kustomize/link.yaml": None})


def test_a_held_version_survives_scans_and_later_releases(shop: Shop, tmp_path: Path) -> None:
    shop.automate(hold="1.0.1")
    shop.committed("1.0.1")
    tip = git.branch_tip(shop.repository, "main")
    for version in ("1.0.6", "1.0.7", "1.0.8"):
        shop.push(version)
    assert shop.get("imagepolicies/app")["status"]["latestRef"]["tag"] == "1.0.1"
    assert git.branch_tip(shop.repository, "main") == tip
    assert git.log(shop.repository, "main", count=1)[0].message.splitlines()[-1] == "Hold: 1.0.1"
    assert _checked(shop, f"{tip}~1", f"{tip}", tmp_path) == ""


def test_a_tag_that_the_registry_lost_is_refused_by_the_pull_requests_check(shop: Shop, tmp_path: Path) -> None:
    shop.automate(to="flux/images")
    shop.committed("1.0.8", "flux/images")
    assert shop.version() == "1.0.1"
    assert _checked(shop, "main", "flux/images", tmp_path) == ""
    merged = git.branch_tip(shop.repository, "flux/images")
    assert merged
    git.set_branch(shop.repository, "main", merged, git.branch_tip(shop.repository, "main") or "")
    registry.delete(shop.platform.home, "product", "1.0.8")
    shop.scan()
    shop.committed("1.0.7", "flux/images")  # what the automation does without the check
    assert shop.version() == "1.0.8"
    assert "product-shop:app:tag: 1.0.7 is not newer than 1.0.8" in _checked(shop, "main", "flux/images", tmp_path)


def _checked(shop: Shop, base: str, head: str, folder: Path) -> str:
    """What the check of the pull request finds."""
    clone = folder / f"bare-{time.monotonic_ns()}.git"
    git.run(clone, "clone", "--quiet", "--bare", str(shop.repository), str(clone))
    command = [sys.executable, CHECK, "--base", base, "--head", head, "--path", "kustomize"]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert done.returncode == (1 if done.stdout else 0), done.stderr
    return done.stdout


class _writable_root:  # noqa: N801 - a context manager
    """The controller without its read-only root, and so on this machine without Landlock."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def __enter__(self) -> None:
        self._set("false")

    def __exit__(self, *_: object) -> None:
        self._set("true")

    def _set(self, value: str) -> None:
        patch = '[{"op": "replace", "path": "/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem"'
        name = "deployment/image-automation-controller"
        kubectl = self._platform.kubectl
        kubectl("patch", "-n", "flux-system", name, "--type=json", "-p", f'{patch}, "value": {value}}}]')
        kubectl("rollout", "status", "-n", "flux-system", name, "--timeout=120s")


def _is_signed(commit: bytes, key: asyncssh.SSHKey) -> bool:
    """Whether a commit has an SSH signature of a key, as `git verify-commit` checks it."""
    head, _, body = commit.partition(b"\n\n")
    before, _, rest = head.partition(b"\ngpgsig ")
    lines = rest.split(b"\n")
    count = next((n for n, line in enumerate(lines[1:], 1) if not line.startswith(b" ")), len(lines))
    armour, after = lines[:count], lines[count:]
    payload = b"\n".join([before, *after]) + b"\n\n" + body
    blob = base64.b64decode(b"".join(line.strip() for line in armour[1:-1]))
    assert blob.startswith(b"SSHSIG")
    fields: list[bytes] = []
    at = len("SSHSIG") + 4  # the version
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "big")
        fields.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    public, namespace, reserved, algorithm, signature = fields
    assert (public, namespace) == (key.public_data, b"git")
    digest = hashlib.new(algorithm.decode(), payload).digest()
    signed = b"SSHSIG" + b"".join(len(f).to_bytes(4, "big") + f for f in (namespace, reserved, algorithm, digest))
    return key.verify(signed, signature)
