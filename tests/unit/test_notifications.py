"""Notifications: what entries may say, what Flux is given, and which messages are not passed on."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from model.checks import notification_rules, statuses_elsewhere, trusted_namespaces
from model.config import tenants, yaml_lines
from model.config.errors import InvalidConfigError
from model.config.mirrors import Mirror
from model.config.notifications import KINDS, Notification, commit_statuses, hosts, secret_data, secret_error
from model.config.yaml_lines import YamlFile
from model.kubernetes.notifications import (
    MARKUP,
    TRANSIENT,
    Subject,
    objects,
    platform_subject,
    product_subject,
    tenant_subject,
)
from tests.unit.test_settings import parse as parse_settings
from tests.unit.test_watchdog import flux_object
from watchdog.watchdog import Failure, Report, reduce

SECRETS = {
    "slack": "https://hooks.slack.com/services/T0/B0/abc",
    "msteams": "https://prod-12.westeurope.logic.azure.com:443/workflows/abc/triggers/manual/paths/invoke?sig=x",
    "pagerduty": "0123456789abcdef0123456789abcdef",
    "generic": "token",
    "generic-hmac": "0123456789abcdef",
    "github": "github_pat_0123456789abcdefABCDEF",
}
BOT = "xoxb-1234-5678-abcdef"
WEB = "https://hooks.acme.example/flux"


def entry(kind: str, **more: Any) -> Notification:
    url = {"url": WEB} if KINDS[kind].url is None else {}
    return Notification.model_validate({"name": "ops", "type": kind, "secret": "slackOps", **url, **more})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "teams"}, "not a type of notification.*\n.*Did you mean msteams"),
        ({"secret": SECRETS["slack"]}, "must be the name of a configuration key, not the secret itself"),
        ({"secret": BOT}, "must be the name of a configuration key, not the secret itself"),
        ({"secret": ""}, "must be the name of a configuration key"),
        ({"name": "Ops"}, "not a valid name"),
        ({"severity": "warning"}, "Write error, or info"),
        ({"channel": ""}, "is empty"),
        ({"token": "x"}, "unknown key 'token'.*\n.*pulumi config set --secret KEY"),
        ({"url": WEB}, "is not an address of slack.*\n.*Remove it"),
        ({"type": "generic"}, "generic needs the address"),
        ({"type": "msteams", "channel": "flux"}, "msteams has no channels"),
        ({"type": "pagerduty", "url": WEB}, "Write https://events.pagerduty.com or https://events.eu.pagerduty.com"),
        *(
            ({"type": "generic", "url": url}, "must be an https:// URL|is not the name of a host outside the cluster")
            for url in (
                "http://hooks.acme.example/",
                "https://hooks.acme.example:8443/",
                "https://user:password@hooks.acme.example/",
                "https://10.0.0.1/",
                "https://[fd00::1]/",
                "https://2130706433/",
                "https://0x7f.1/",
                "https://kubernetes.default.svc/",
                "https://source-controller.flux-system.svc.cluster.local./",
                "https://source-controller.flux-system.svc.cluster.local/",
                "https://metadata.google.internal/",
                "https://localhost/",
                "https://alpha/",
                "https://hooks.acme.example,10.0.0.1/",
            )
        ),
    ],
)
def test_a_problem_of_an_entry_gets_its_remedy(change: dict[str, Any], message: str) -> None:
    given = {"name": "ops", "type": "slack", "secret": "slackOps", **change}
    with pytest.raises(InvalidConfigError, match=message) as error:
        parse_settings(notifications=[given])
    assert BOT not in str(error.value)
    assert SECRETS["slack"] not in str(error.value)


def test_names_are_unique_in_a_list() -> None:
    one = {"name": "ops", "type": "slack", "secret": "slackOps"}
    with pytest.raises(InvalidConfigError, match=r"notifications\[1\].name: two notifications"):
        parse_settings(notifications=[one, one])


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_of_the_right_form_is_accepted(kind: str) -> None:
    assert secret_error(entry(kind), SECRETS[kind], encrypted=True) is None


@pytest.mark.parametrize(
    ("kind", "secret", "message"),
    [
        *((kind, None, "the stack has no secret slackOps") for kind in KINDS),
        ("slack", "https://hooks.slack.com.evil.example/services/T0/B0/abc", "is not an incoming webhook's URL"),
        ("slack", "https://hooks.slack.com@evil.example/services/T0/B0/abc", "is not an incoming webhook's URL"),
        ("slack", "http://hooks.slack.com/services/T0/B0/abc", "is not an incoming webhook's URL"),
        ("slack", "https://hooks.slack.com/triggers/T0/1/abc", "is not an incoming webhook's URL"),
        ("slack", BOT, "needs a channel"),
        ("msteams", "https://acme.webhook.office.com/webhookb2/x", "Microsoft has retired"),
        ("msteams", "https://logic.azure.com.evil.example/workflows/x", "is not the URL of a Teams workflow"),
        ("msteams", "https://10.0.0.1/workflows/x", "is not the URL of a Teams workflow"),
        ("msteams", "https://prod-1.westeurope.logic.azure.com:8443/x", "is not the URL of a Teams workflow"),
        ("msteams", "https://evil.example/@prod-1.westeurope.logic.azure.com/x", "is not the URL of a Teams workflow"),
        ("pagerduty", "short", "is not the integration key"),
        ("generic", "two words", "is not the token"),
        ("generic-hmac", "short", "is not the key of the signature"),
    ],
)
def test_a_wrong_secret_is_named_but_not_shown(kind: str, secret: str | None, message: str) -> None:
    error = secret_error(entry(kind), secret, encrypted=True)
    assert error
    assert message in error[0]
    assert secret is None or secret not in " ".join(error)
    assert "pulumi config set --secret slackOps" in error[1] or "Add `channel" in error[1]


def test_a_secret_in_plain_text_is_refused() -> None:
    error = secret_error(entry("slack"), SECRETS["slack"], encrypted=False)
    assert error
    assert "in plain text" in error[0]


TENANTS = """\
tenants:
  - name: alpha
    source: {url: "https://github.com/acme/product", branch: main}
    notify:
      - {name: ops, type: slack, secret: alphaSlack}
  - name: beta
    source: {url: "https://git.example.com/acme/product", branch: main}
    notify:
      - {name: ops, type: slack, secret: betaSlack}
"""


def problems(text: str, *platform: dict[str, Any], missing: str = "", components: list[str] | None = None) -> list[str]:
    listed = tenants.parse(yaml_lines.parse(text, "tenants.yaml"))
    changes: dict[str, Any] = {"fluxComponents": components} if components else {}
    settings = parse_settings(notifications=[*platform], **changes)
    file = YamlFile("Pulumi.test.yaml", {}, {})

    def secret(key: str) -> tuple[str | None, bool]:
        return (None if key == missing else SECRETS["slack"]), True

    return [str(problem) for problem in notification_rules(settings, file, listed, secret)]


def test_a_missing_secret_has_line_and_command() -> None:
    assert problems(TENANTS) == []
    (problem,) = problems(TENANTS, missing="betaSlack")
    assert problem.startswith("tenants.yaml:9: tenants[1].notify[0].secret: the stack has no secret betaSlack\n")
    assert "pulumi config set --secret betaSlack" in problem


@pytest.mark.parametrize("other", ["alphaSlack", "platformSlack"])
def test_no_tenant_gets_the_secret_of_another_or_of_the_platform(other: str) -> None:
    platform = {"name": "ops", "type": "slack", "secret": "platformSlack"}
    (problem,) = problems(TENANTS.replace("betaSlack", other), platform)
    assert f"beta would share {other}" in problem
    assert "tenants[1].notify[0].secret" in problem


@pytest.mark.parametrize("key", ["githubAppKey", "watchdogImage"])
def test_no_tenant_gets_a_key_of_the_program(key: str) -> None:
    (problem,) = problems(TENANTS.replace("betaSlack", key))
    assert "is a key of the program's own" in problem


def test_statuses_need_a_source_on_github() -> None:
    listed = tenants.parse(yaml_lines.parse(TENANTS.replace("slack, secret: beta", "github, secret: beta"), "x.yaml"))
    (problem,) = statuses_elsewhere(listed)
    assert "tenants[1].notify[0].type: only commits on GitHub get statuses" in str(problem)


SHARED = """\
products:
  shop:
    source: {url: "https://github.com/acme/product", branch: main}
    notify: [{name: team, type: slack, secret: shopSlack}]
tenants:
  - {name: alpha, product: shop, notify: [{name: team, type: slack, secret: alphaSlack}]}
  - {name: beta, product: shop, notify: [{name: team, type: slack, secret: alphaSlack}]}
"""


def test_no_tenant_is_named_like_the_last_part_of_a_host() -> None:
    """In the cluster, hooks.alpha would be the tenant's Service."""
    text = SHARED.replace(
        "type: slack, secret: shopSlack", "type: generic, url: https://hooks.alpha/, secret: shopHook"
    )
    listed = tenants.parse(yaml_lines.parse(text, "tenants.yaml"))
    (problem,) = trusted_namespaces(parse_settings(), YamlFile("Pulumi.test.yaml", {}, {}), listed, [])
    assert "the namespace alpha is trusted by notify.url on line 4" in str(problem)


def test_tenants_of_a_product_may_share_a_secret_that_none_of_them_reads() -> None:
    assert problems(SHARED) == []
    own = (
        '  - {name: gamma, source: {url: "https://github.com/acme/x", branch: main}, notify: [{name: team, type: slack'
    )
    (problem,) = problems(f"{SHARED}{own}, secret: shopSlack}}]}}\n")
    assert "the platform and gamma would share shopSlack" in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SHARED.replace(
                "[{name: team, type: slack, secret: alphaSlack}]}",
                "[{name: team, type: slack, secret: alphaSlack, severity: info}]}",
                1,
            ),
            "severity: a tenant of a shared product is notified of failures only",
        ),
        (
            SHARED.replace("type: slack, secret: alphaSlack", "type: github, secret: alphaSlack", 1),
            "Move it to `notify` of the product shop",
        ),
    ],
)
def test_what_a_tenant_of_a_product_cannot_be_told(text: str, message: str) -> None:
    assert any(message in problem for problem in problems(text))


def test_alerts_of_a_product_are_in_its_namespace_and_made_of_reports() -> None:
    listed = tenants.parse(yaml_lines.parse(SHARED, "tenants.yaml"))
    product = product_subject("shop", listed.products["shop"], "eu")
    team = tenant_subject(listed.tenants[0], "eu")
    assert product.namespace == team.namespace == "product-shop"
    assert [
        manifest["metadata"]["name"] for manifest in objects(entry("slack"), team, data={}, value="", mirrors=[])
    ] == ["notify-alpha.ops"] * 3
    _, alert = specs(entry("slack"), team)
    assert alert["eventSources"] == [{"kind": "Kustomization", "name": "alpha"}]
    provider, statuses = specs(entry("github"), product)
    assert provider["commitStatusExpr"] == "'flux/eu/shop'"
    assert statuses["eventSources"] == [{"kind": "GitRepository", "name": "shop"}]
    failed, source = (reduce(kind, flux_object("alpha")) for kind in ("kustomizations", "gitrepositories"))
    assert failed
    assert source
    for revision in ("main@sha1:0123", "sha1:0123", "v1.0.0@sha256:0123"):
        message = Failure(failed, replace(source, revision=revision)).message
        for only_reports in (alert, statuses):
            (pattern,) = only_reports["inclusionList"]
            assert re.search(pattern, message)
            assert not any(re.search(pattern, text) for text in (*FORGED, *TEMPORARY, *ORDINARY))


def test_notifications_need_their_controller() -> None:
    found = problems(TENANTS, components=["source-controller", "kustomize-controller"])
    assert len(found) == 2
    assert "Add notification-controller to fluxComponents." in found[0]


def test_hosts_are_those_of_the_types_in_use() -> None:
    assert hosts([], []) == []
    assert hosts([entry("slack"), entry("generic"), entry("github")], []) == [
        "api.github.com",
        "hooks.acme.example",
        "hooks.slack.com",
        "slack.com",
    ]
    assert hosts([entry("pagerduty", url="https://events.eu.pagerduty.com")], []) == ["events.eu.pagerduty.com"]


def test_an_address_is_replaced_by_its_mirror_as_a_repositorys_url_is() -> None:
    mirrors = [
        Mirror(prefix="https://hooks.slack.com/", url="http://relay.example:8080/slack/"),
        Mirror(prefix="https://git.example.com/", url="http://git.example.com:8080/"),
    ]
    assert hosts([entry("slack")], mirrors) == ["hooks.slack.com", "relay.example:8080", "slack.com"]
    address = secret_data(entry("slack"), SECRETS["slack"], mirrors)["address"]
    assert address == "http://relay.example:8080/slack/services/T0/B0/abc"


def test_statuses_go_to_github_although_its_repositories_have_a_mirror() -> None:
    repositories = Mirror(prefix="https://github.com/", url="https://git.example.com/mirror/")
    api = Mirror(prefix="https://api.github.com/", url="http://relay.example:8080/")
    assert commit_statuses(("acme", "shop"), [repositories]) == "https://github.com/acme/shop"
    assert commit_statuses(("acme", "shop"), [repositories, api]) == "http://relay.example:8080/acme/shop"
    assert hosts([entry("github")], [repositories, api]) == ["api.github.com", "relay.example:8080"]


@pytest.mark.parametrize(
    ("kind", "secret", "data"),
    [
        ("slack", SECRETS["slack"], {"address": SECRETS["slack"]}),
        ("slack", BOT, {"address": "https://slack.com/api/chat.postMessage", "token": BOT}),
        ("msteams", SECRETS["msteams"], {"address": SECRETS["msteams"]}),
        ("generic", "abc", {"headers": '{"Authorization": "Bearer abc"}'}),
        ("generic-hmac", SECRETS["generic-hmac"], {"token": SECRETS["generic-hmac"]}),
        ("github", SECRETS["github"], {"token": SECRETS["github"]}),
    ],
)
def test_the_secret_has_what_flux_reads(kind: str, secret: str, data: dict[str, str]) -> None:
    assert secret_data(entry(kind), secret, []) == data


SUBJECT = platform_subject("eu", ("acme", "infra"))


def specs(given: Notification, subject: Subject = SUBJECT) -> tuple[dict[str, Any], dict[str, Any]]:
    *_, provider, alert = objects(given, subject, data={}, value="KEY", mirrors=[])
    return provider["spec"], alert["spec"]


def test_a_provider_names_its_secret_except_pagerduty() -> None:
    provider, _ = specs(entry("pagerduty"))
    assert provider == {"type": "pagerduty", "channel": "KEY", "address": "https://events.pagerduty.com"}
    provider, _ = specs(entry("slack", channel="flux"))
    assert provider == {"type": "slack", "channel": "flux", "secretRef": {"name": "notify-ops"}}


def test_a_commit_gets_a_status_of_its_cluster_in_both_colours() -> None:
    provider, alert = specs(entry("github"))
    assert provider["address"] == "https://github.com/acme/infra"
    assert provider["commitStatusExpr"] == "'flux/eu'"
    assert alert["eventSeverity"] == "info"
    assert alert["eventSources"] == [{"kind": "Kustomization", "name": "flux-system"}]


def excluded(message: str, kind: str = "slack") -> bool:
    _, alert = specs(entry(kind))
    return any(re.search(pattern, message) for pattern in alert["exclusionList"])


FORGED = [
    "stored artifact for commit '<!channel> look here'",
    "build failed: <!here|here>",
    "no such file <@U012AB3CD>",
    "no such file <#C012AB3CD>",
    "<!subteam^S012AB3CD>",
    "see <https://evil.example|the runbook>",
    "see <mailto:evil@evil.example|ops>",
    "@channel please",
    "hello @Here",
    "<at>ops</at>",
    "see [the runbook](https://evil.example)",
    "see [the runbook] (https://evil.example)",
    "![x](https://evil.example/x.png)",
    "failed\nkustomization/beta.beta\nbuild failed",
    "failed\n  *GitRepository/beta.beta*",
]
"""Messages with mentions, hidden links, or the heading of another alert."""


@pytest.mark.parametrize("message", FORGED)
def test_a_message_cannot_mention_people_or_pass_for_another_alert(message: str) -> None:
    assert excluded(message)
    # A chart chooses the text of its failure: {{ fail "…" }}
    assert excluded(f"Helm install failed for release shop/shop with chart shop@1.0.0: execution error: {message}")
    assert not excluded(message, "pagerduty"), "which shows text as it is"


TEMPORARY = [
    "failed to fetch: dial tcp: lookup git.example.com: i/o timeout",
    'failed: Get "https://10.0.0.1": context deadline exceeded',
    "dependency 'alpha/base' is not ready",
    "Source artifact not found, retrying in 30s",
    "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version",
    "unexpected status: 503 Service Unavailable",
]


@pytest.mark.parametrize("message", TEMPORARY)
def test_transient_failures_are_not_passed_on(message: str) -> None:
    assert all(excluded(message, kind) for kind in KINDS)


ORDINARY = [
    "kustomize build failed: accumulating resources: accumulation err='accumulating resources from 'x.yaml': open "
    "/tmp/kustomization-1/kustomize/x.yaml: no such file or directory'",
    'Deployment/alpha/product dry-run failed (Invalid): Deployment.apps "product" is invalid: [spec.selector: '
    "Required value, spec.template.metadata.labels: Invalid value: {}]",
    'ClusterRole/x is forbidden: User "system:serviceaccount:alpha:alpha" cannot patch resource\n\n'
    "Namespace/stolen dry-run failed: forbidden",
    "failed to checkout and determine revision: unable to clone 'ssh://git@github.com/acme/product': unauthorized",
    "git@github.com: permission denied, team@acme.example",
    'variable substitution failed: variable not set (strict mode): "greeting"',
    "index out of range [3] with length 2",
    "stored artifact for commit 'Fix #12: a < b && <nil>'",
]


@pytest.mark.parametrize("message", ORDINARY)
def test_ordinary_failures_are_passed_on(message: str) -> None:
    assert not any(excluded(message, kind) for kind in KINDS)


def test_a_report_of_the_watchdog_is_passed_on_whatever_failed() -> None:
    """It has waited, and its text has no markup."""
    failed = reduce("kustomizations", flux_object("alpha"))
    source = reduce("gitrepositories", flux_object("alpha"))
    assert failed
    assert source
    for text in (*FORGED, *TEMPORARY):
        item = replace(failed, ready_reason="BuildFailed", failure=text)
        report = Report(replace(source, revision="main@sha1:0123abcd"), (item,), 1)
        assert not any(excluded(report.message, kind) for kind in KINDS), report.message


def test_patterns_mean_the_same_in_go() -> None:
    """RE2 has neither lookaround nor references to groups."""
    for pattern in (*TRANSIENT, *MARKUP):
        assert not re.search(r"\(\?[=!<P]|\\[1-9]", pattern)
