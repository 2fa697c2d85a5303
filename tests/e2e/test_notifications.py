"""Notifications arrive where they should and nowhere else, read as a person reads them."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import agent
from tests.e2e.conftest import applied, fetch
from tests.e2e.recorder import Recorder, record
from tests.e2e.test_article import reconcile
from tests.platform import PRIVATE, PUBLIC, Platform, Stack, eventually
from tests.unit.test_notifications import FORGED, TEMPORARY

SECRETS = {
    "slackOps": "https://hooks.slack.com/services/T0/B0/platform",
    "audit": "0123456789abcdef",
    "statuses": "github_pat_0123456789abcdefABCDEF",
    "alphaSlack": "https://hooks.slack.com/services/T0/B0/alpha",
    "alphaStatuses": "github_pat_ABCDEFabcdef0123456789",
    "betaTeams": "https://prod-1.westeurope.logic.azure.com/workflows/beta?sig=abc",
    "shopSlack": "https://hooks.slack.com/services/T0/B0/shop",
    "shopStatuses": "github_pat_shopshopshopshopshop",
    "oneSlack": "https://hooks.slack.com/services/T0/B0/one",
    "gammaPager": "fedcba9876543210fedcba9876543210",
}
PLATFORM_SLACK, ALPHA_SLACK, BETA_TEAMS = "/slack/services/T0/B0/platform", "/slack/services/T0/B0/alpha", "/teams/"
SHOP_SLACK, ONE_SLACK = "/slack/services/T0/B0/shop", "/slack/services/T0/B0/one"
AUDIT, GAMMA_PAGER = "/audit/flux", "/v2/enqueue"
PLATFORM = [
    {"name": "ops", "type": "slack", "secret": "slackOps"},
    {"name": "audit", "type": "generic-hmac", "secret": "audit", "url": "https://hooks.acme.example/flux"},
    {"name": "commits", "type": "github", "secret": "statuses"},
]
ALPHA = [
    {"name": "team", "type": "slack", "secret": "alphaSlack", "severity": "info"},
    {"name": "commits", "type": "github", "secret": "alphaStatuses"},
]
BETA = [{"name": "team", "type": "msteams", "secret": "betaTeams"}]
SHOP = [
    {"name": "team", "type": "slack", "secret": "shopSlack"},
    {"name": "commits", "type": "github", "secret": "shopStatuses"},
]
ONE = [{"name": "team", "type": "slack", "secret": "oneSlack"}]
GAMMA = [{"name": "oncall", "type": "pagerduty", "secret": "gammaPager"}]
SHOPS = ("one", "three", "two")
"""Tenants of the product, which has the same repository as alpha and beta."""
NOTIFICATIONS = "alerts.notification.toolkit.fluxcd.io,providers.notification.toolkit.fluxcd.io"
SOURCES = {"alpha": PRIVATE, "beta": PRIVATE, "gamma": PUBLIC}


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    running = record()
    yield running
    running.server.shutdown()


@pytest.fixture(scope="module")
def notified(article: Stack, platform: Platform, recorder: Recorder) -> Iterator[Stack]:
    """The article's setup with a notification of each type, delivered to the recorder by mirrors of their addresses."""
    mirrors = yaml.safe_load(platform.home.mirrors.read_text())
    mirrors["mirrors"] += [
        {"prefix": "https://hooks.slack.com/", "url": f"{recorder.url}/slack/"},
        {"prefix": "https://prod-1.westeurope.logic.azure.com/", "url": f"{recorder.url}/teams/"},
        {"prefix": "https://hooks.acme.example/", "url": f"{recorder.url}/audit/"},
        {"prefix": "https://events.pagerduty.com", "url": f"{recorder.url}"},
        {"prefix": "https://api.github.com/", "url": f"{recorder.url}/"},
    ]
    (platform.project / "mirrors.yaml").write_text(yaml.safe_dump(mirrors))
    article.configure(mirrorsFile="mirrors.yaml", notifications=PLATFORM)
    article.run("config", "set-all", *(f"--secret={key}={value}" for key, value in SECRETS.items()))
    entries = {"alpha": {"notify": ALPHA, "helm": True}, "beta": {"notify": BETA}, "gamma": {"notify": GAMMA}}
    article.tenants(SOURCES, entries=entries, retryInterval="2s")  # Flux tries often what fails
    file = platform.project / article.tenants_file
    content = yaml.safe_load(file.read_text())
    source = {**PRIVATE, "path": "./kustomize"}
    content["products"] = {"shop": {"source": source, "interval": article.interval, "notify": SHOP}}
    content["tenants"] += [{"name": name, "product": "shop"} for name in SHOPS]
    content["tenants"][-len(SHOPS)]["notify"] = ONE
    file.write_text(yaml.safe_dump(content))
    article.up()
    yield article
    article.configure(mirrorsFile=".local/mirrors.yaml", notifications=[])
    article.tenants(SOURCES)
    article.up()


def commit(platform: Platform, files: dict[str, str], folder: Path, message: str = "A change") -> str:
    """Commit files to the product."""
    clone = folder / f"product-{len(list(folder.iterdir()))}"
    platform.git("clone", platform.repository("acme/product"), str(clone), folder=folder)
    for name, content in files.items():
        (clone / name).write_text(content)
    platform.git("add", "--all", folder=clone)
    platform.git("commit", "--message", message, folder=clone)
    done = platform.git("push", folder=clone)
    assert done.returncode == 0, done.stderr
    fetch(platform)
    return platform.git("rev-parse", "HEAD", folder=clone).stdout.strip()


def kustomization(platform: Platform, folder: Path) -> str:
    platform.git("clone", platform.repository("acme/product"), "read", folder=folder)
    return (folder / "read" / "kustomize" / "kustomization.yaml").read_text()


RELEASE = {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "name": "shop"}


def report(platform: Platform, tenant: str, message: str, severity: str = "error", **other: str) -> None:
    """An event, as Flux's controllers send it; of the tenant's source, or another object."""
    involved = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "name": tenant, **other}
    event = {
        "involvedObject": {**involved, "namespace": tenant, "uid": f"uid-of-{tenant}"},
        "severity": severity,
        "timestamp": "2026-01-01T00:00:00Z",
        "message": message,
        "reason": "GitOperationFailed",
        "reportingController": "source-controller",
    }
    port = agent.service_port(platform.home, "notification-controller")
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", json.dumps(event).encode())
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 202


def test_a_failing_commit_is_told_to_the_tenants_own_channel(
    notified: Stack, platform: Platform, recorder: Recorder, tmp_path: Path
) -> None:
    good = kustomization(platform, tmp_path)
    content = yaml.safe_load(good)
    broken = yaml.safe_dump({**content, "resources": [*content["resources"], "missing.yaml"]})
    failing = commit(platform, {"kustomize/kustomization.yaml": broken}, tmp_path)
    try:
        said = eventually(lambda: [one for one in recorder.at(ALPHA_SLACK) if "cannot" in one.text])[0]
        expected = f"main@sha1:{failing} cannot be applied: alpha. BuildFailed: kustomize build failed: accumulating"
        assert said.text.startswith(f"gitrepository/alpha.alpha\n{expected}")
        assert "open kustomize/missing.yaml: no such file or directory" in said.text
        fields = {one["title"]: one["value"] for one in said.body["attachments"][0]["fields"]}
        assert fields == {"cluster": "prod-eu", "tenant": "alpha", "commit": f"main@sha1:{failing}"}
        teams = eventually(lambda: recorder.at(BETA_TEAMS))[0]
        assert teams.text.startswith(f"gitrepository/beta.beta\nmain@sha1:{failing} cannot be applied: beta.")
        assert teams.path == "/teams/workflows/beta?sig=abc"
        # Three tenants of a product fail, and its team gets one message; a tenant gets one about itself.
        team = eventually(lambda: [one.text for one in recorder.at(SHOP_SLACK) if "cannot" in one.text])
        who = f"{failing} cannot be applied: 3 of 3 tenants of shop (one, three, two). one: BuildFailed: "
        assert team[0].startswith(f"gitrepository/shop.product-shop\nmain@sha1:{who}")
        own = eventually(lambda: recorder.at(ONE_SLACK))[0]
        assert own.text.startswith(f"kustomization/one.product-shop\nmain@sha1:{failing} cannot be applied: one.")
        red = eventually(lambda: found if len(found := recorder.statuses("acme/product", failing)) == 2 else None)
        assert sorted(red) == [("flux/prod-eu/alpha", "failure"), ("flux/prod-eu/shop", "failure")]
        tokens = {
            one.body["context"]: one.headers["Authorization"]
            for one in recorder.at(f"/api/v3/repos/acme/product/statuses/{failing}")
        }
        assert tokens["flux/prod-eu/alpha"] == f"Bearer {SECRETS['alphaStatuses']}"
        assert tokens["flux/prod-eu/shop"] == f"Bearer {SECRETS['shopStatuses']}"
    finally:
        fixed = commit(platform, {"kustomize/kustomization.yaml": good}, tmp_path)
        eventually(lambda: applied(platform, "alpha") == applied(platform, "beta") == fixed)
    eventually(lambda: f"main@sha1:{fixed} is applied: alpha." in recorder.texts(ALPHA_SLACK))
    green = eventually(lambda: found if len(found := recorder.statuses("acme/product", fixed)) == 2 else None)
    assert sorted(green) == [("flux/prod-eu/alpha", "success"), ("flux/prod-eu/shop", "success")]
    # Flux tried every two seconds; a person got one message.
    assert recorder.texts(ALPHA_SLACK).count("cannot be applied") == len(recorder.at(BETA_TEAMS)) == 1
    assert len(recorder.at(SHOP_SLACK)) == len(recorder.at(ONE_SLACK)) == 1
    assert "beta" not in recorder.texts(ALPHA_SLACK)
    assert "alpha" not in recorder.texts(BETA_TEAMS)
    assert recorder.at(PLATFORM_SLACK) == recorder.at(AUDIT) == recorder.at(GAMMA_PAGER) == []


def test_a_failing_sync_is_told_to_the_platform_team(
    notified: Stack, platform: Platform, recorder: Recorder, tmp_path: Path
) -> None:
    path = "clusters/prod-eu/broken/config-map.yaml"
    before = len(recorder.at(ALPHA_SLACK)) + len(recorder.at(BETA_TEAMS))
    failing = platform.push("acme/saas-in-eks-infra", {path: "kind: [not closed"}, tmp_path)
    try:
        reconcile(platform, "flux-system")
        (first, *_) = eventually(lambda: recorder.at(PLATFORM_SLACK))
        assert first.text.startswith(f"gitrepository/flux-system.flux-system\nmain@sha1:{failing} cannot be applied: ")
        audit = eventually(lambda: recorder.at(AUDIT))[0]
        assert audit.headers["X-Signature"].startswith("sha256=")
        expected = ("flux/prod-eu", "failure")
        eventually(lambda: expected in recorder.statuses("acme/saas-in-eks-infra", failing))
    finally:
        fixed = platform.push("acme/saas-in-eks-infra", {path: None}, tmp_path)
        reconcile(platform, "flux-system")
    eventually(lambda: ("flux/prod-eu", "success") in recorder.statuses("acme/saas-in-eks-infra", fixed))
    assert len(recorder.at(ALPHA_SLACK)) + len(recorder.at(BETA_TEAMS)) == before


def test_a_message_that_mentions_or_forges_is_not_passed_on(
    notified: Stack, platform: Platform, recorder: Recorder, tmp_path: Path
) -> None:
    for text in (*FORGED, *TEMPORARY):
        report(platform, "alpha", f"failed {text}")
        report(platform, "beta", f"failed {text}")
        # A chart chooses the text of its failure: {{ fail "…" }}
        report(platform, "alpha", f"Helm install failed: execution error at (x.yaml:1:3): {text}", **RELEASE)
    report(platform, "alpha", "Helm install failed: an ordinary chart", **RELEASE)
    mentions = commit(platform, {"README.md": "news\n"}, tmp_path, "<!channel> Pay here: <https://evil.example|bank>")
    eventually(lambda: applied(platform, "alpha") == mentions)
    calm = commit(platform, {"README.md": "more\n"}, tmp_path, "An ordinary change")
    eventually(lambda: applied(platform, "alpha") == calm)
    report(platform, "beta", "an ordinary failure")
    eventually(lambda: "commit 'An ordinary change'" in recorder.texts(ALPHA_SLACK))
    eventually(lambda: "an ordinary failure" in recorder.texts(BETA_TEAMS))
    eventually(lambda: "an ordinary chart" in recorder.texts(ALPHA_SLACK))
    for channel in (ALPHA_SLACK, BETA_TEAMS):
        said = recorder.texts(channel)
        assert not [text for text in (*FORGED, *TEMPORARY, "<!channel>", "evil.example") if text in said]
    # Without the list, Slack gets the text as it is, and mentions everybody.
    alert = ("-n", "alpha", "alerts.notification.toolkit.fluxcd.io", "notify-team", "--type=json")
    platform.kubectl("patch", *alert, "-p", '[{"op": "remove", "path": "/spec/exclusionList"}]')
    numbers = itertools.count()

    def mentioned() -> bool:
        # Until the controller has the changed Alert; it passes the same text on once.
        report(platform, "alpha", f"<!channel> {next(numbers)}")
        return "<!channel>" in recorder.texts(ALPHA_SLACK)

    eventually(mentioned, every=1)


def test_pagerduty_gets_an_incident_for_each_object(notified: Stack, platform: Platform, recorder: Recorder) -> None:
    for text in ("one failure", "another failure"):
        report(platform, "gamma", text)
    said = eventually(lambda: found if len(found := recorder.at(GAMMA_PAGER)) == 2 else None)
    assert {one.body["routing_key"] for one in said} == {SECRETS["gammaPager"]}
    assert {one.body["dedup_key"] for one in said} == {"uid-of-gamma"}


def test_the_controller_sends_to_listed_hosts_only(notified: Stack, platform: Platform, recorder: Recorder) -> None:
    other = record()
    api = "notification.toolkit.fluxcd.io/v1beta3"
    metadata = {"name": "elsewhere", "namespace": "gamma"}
    provider = {"type": "generic", "address": f"{other.url}/elsewhere", "timeout": "3s"}
    alert = {"providerRef": {"name": "elsewhere"}, "eventSources": [{"kind": "GitRepository", "name": "gamma"}]}
    objects: list[dict[str, Any]] = [
        {"apiVersion": api, "kind": "Provider", "metadata": metadata, "spec": provider},
        {"apiVersion": api, "kind": "Alert", "metadata": metadata, "spec": alert},
    ]
    deployment = ("-n", "flux-system", "set", "env", "deployment/notification-controller")

    def refused() -> bool:
        events = platform.kubectl("-n", "gamma", "get", "events", "--field-selector", "involvedObject.name=elsewhere")
        return "NotificationDispatchFailed" in events

    try:
        platform.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))
        report(platform, "gamma", "to an unlisted host")
        eventually(lambda: "to an unlisted host" in str([one.body for one in recorder.at(GAMMA_PAGER)]))
        eventually(refused)
        assert other.deliveries == []
        platform.kubectl(*deployment, "HTTP_PROXY=", "HTTPS_PROXY=")
        eventually(
            lambda: platform.kubectl("-n", "flux-system", "rollout", "status", "deployment/notification-controller")
        )

        numbers = itertools.count()

        def arrives() -> bool:
            report(platform, "gamma", f"without the proxy {next(numbers)}")
            return bool(other.deliveries)

        eventually(arrives, every=1)
    finally:
        platform.kubectl(
            "-n",
            "gamma",
            "delete",
            NOTIFICATIONS,
            "elsewhere",
        )
        closed = "http://127.0.0.1:9"
        platform.kubectl(*deployment, f"HTTP_PROXY={closed}", f"HTTPS_PROXY={closed}")
        other.server.shutdown()


def test_no_secret_is_where_another_tenant_reads_it(notified: Stack, platform: Platform) -> None:
    state = notified.run("stack", "export").stdout
    for key, value in SECRETS.items():
        assert value not in state, key
    for tenant in (*SOURCES, *SHOPS):
        found = platform.kubectl("-n", tenant, "get", f"secrets,configmaps,{NOTIFICATIONS}", "-o", "yaml")
        decoded = found + "".join(part for part in (_decoded(line) for line in found.split()) if part)
        own = {key for key, value in SECRETS.items() if _address(value) in decoded}
        assert own == {key for key in SECRETS if key.startswith(tenant) and tenant in SOURCES}, tenant
        for resource in ("alerts", "providers", "receivers"):
            asked = ("auth", "can-i", "create", f"{resource}.notification.toolkit.fluxcd.io", "-n", tenant)
            account = f"system:serviceaccount:{tenant}:{tenant}"
            assert platform.kubectl(*asked, "--as", account, check=False).startswith("no")


def _address(secret: str) -> str:
    """What of a secret is in the cluster: its address begins as the mirror's."""
    return secret.partition("://")[2].partition("/")[2] or secret


def _decoded(word: str) -> str:
    try:
        return base64.b64decode(word, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
