"""Notifications: which objects and secrets the program registers, and where."""

from __future__ import annotations

from typing import Any

import pytest

from tests.program.conftest import TENANTS, Run
from tests.program.recorder import ProgramError, Recording

SECRET = "kubernetes:core/v1:Secret"
PROVIDER = "kubernetes:notification.toolkit.fluxcd.io/v1beta3:Provider"
ALERT = "kubernetes:notification.toolkit.fluxcd.io/v1beta3:Alert"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"

SECRETS = {
    "slackOps": "https://hooks.slack.com/services/T0/B0/platform",
    "oncall": "0123456789abcdef0123456789abcdef",
    "statuses": "github_pat_0123456789abcdefABCDEF",
    "alphaTeams": "https://prod-12.westeurope.logic.azure.com/workflows/alpha",
    "betaSlack": "xoxb-1234-5678-abcdef",
}
PLATFORM = [
    {"name": "ops", "type": "slack", "secret": "slackOps"},
    {"name": "oncall", "type": "pagerduty", "secret": "oncall", "url": "https://events.eu.pagerduty.com"},
    {"name": "commits", "type": "github", "secret": "statuses"},
]
NOTIFIED = TENANTS.replace(
    "- name: alpha", "- name: alpha\n    helm: true\n    notify: [{name: team, type: msteams, secret: alphaTeams}]"
).replace("- name: beta", "- name: beta\n    notify: [{name: team, type: slack, secret: betaSlack, channel: beta}]")


@pytest.fixture
def notified(run: Run) -> Recording:
    return run(NOTIFIED, config={"notifications": PLATFORM}, secrets=SECRETS)


def by_namespace(recording: Recording, kind: str) -> dict[str, set[str]]:
    """Names of the notifications' objects of a kind."""
    found: dict[str, set[str]] = {}
    for one in recording.of(kind):
        metadata = one.inputs["metadata"]
        if metadata["name"].startswith("notify-"):
            found.setdefault(metadata["namespace"], set()).add(metadata["name"])
    return found


def test_each_notification_is_in_the_namespace_that_it_is_about(notified: Recording) -> None:
    platform = {"notify-ops", "notify-oncall", "notify-commits"}
    teams = {"alpha": {"notify-team"}, "beta": {"notify-team"}}
    assert by_namespace(notified, PROVIDER) == by_namespace(notified, ALERT) == {"flux-system": platform, **teams}
    assert by_namespace(notified, SECRET) == {"flux-system": platform - {"notify-oncall"}, **teams}


def test_an_alert_is_about_objects_of_its_own_namespace_only(notified: Recording) -> None:
    sources = {
        one.inputs["metadata"]["namespace"]: [
            (source["kind"], source["name"]) for source in one.inputs["spec"]["eventSources"]
        ]
        for one in notified.of(ALERT)
        if one.name != "flux-system/commits"
    }
    assert sources == {
        "flux-system": [("GitRepository", "flux-system")],
        "alpha": [("GitRepository", "alpha"), ("HelmRelease", "*")],
        "beta": [("GitRepository", "beta")],
    }


def test_no_secret_is_in_the_namespace_of_another(notified: Recording) -> None:
    owners = {"slackOps": "flux-system", "oncall": "flux-system", "statuses": "flux-system"}
    owners |= {"alphaTeams": "alpha", "betaSlack": "beta"}
    found = {
        (key, one.inputs["metadata"].get("namespace", one.name))
        for key, value in SECRETS.items()
        for one in notified.registrations.values()
        if value in str(one.inputs)
    }
    assert found == set(owners.items())


def test_secrets_are_encrypted_in_the_state(notified: Recording) -> None:
    for key, value in SECRETS.items():
        (holder,) = [one for one in notified.registrations.values() if value in str(one.inputs)]
        assert set(holder.request.additionalSecretOutputs) & {"stringData", "spec"}, key
        part = "spec" if key == "oncall" else "stringData"
        assert SECRET_SIGNATURE in str(holder.request.object.fields[part]), key


def test_the_controller_reaches_the_listed_hosts_only(run: Run, notified: Recording) -> None:
    def proxies(recording: Recording) -> dict[str, Any]:
        deployment = recording.resource(DEPLOYMENT, "notification-controller")
        environment = deployment.inputs["spec"]["template"]["spec"]["containers"][0]["env"]
        return {one["name"]: one.get("value") for one in environment if one["name"].endswith("_PROXY")}

    closed = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    asked = proxies(notified)
    listed = [host for host in asked.pop("NO_PROXY").split(",") if "notification-controller." not in host]
    assert asked == closed
    assert listed == [
        "$(KUBERNETES_SERVICE_HOST)",
        ".environment.api.powerplatform.com",
        ".logic.azure.com",
        "api.github.com",
        "events.eu.pagerduty.com",
        "hooks.slack.com",
        "slack.com",
    ]
    nowhere = proxies(run())
    assert nowhere.pop("NO_PROXY").split(",")[-1] == "$(KUBERNETES_SERVICE_HOST)"
    assert nowhere == closed


def test_objects_of_a_tenant_are_the_platforms(notified: Recording) -> None:
    for kind in (SECRET, PROVIDER, ALERT):
        one = notified.resource(kind, "beta/team")
        assert one.inputs["metadata"]["labels"]["saas-in-eks.io/owner"] == "platform"
        assert one.request.deletedWith.endswith("Namespace::beta")


def test_a_missing_secret_is_a_mistake_with_its_line(run: Run) -> None:
    with pytest.raises(
        ProgramError, match=r"tenants.yaml:\d+: tenants\[0\].notify\[0\].secret: the stack has no secret"
    ):
        run(
            NOTIFIED,
            config={"notifications": PLATFORM},
            secrets={k: v for k, v in SECRETS.items() if k != "alphaTeams"},
        )


def test_a_secret_in_plain_text_is_a_mistake(run: Run) -> None:
    config = {"notifications": PLATFORM[:1], "slackOps": SECRETS["slackOps"]}
    with pytest.raises(ProgramError, match="slackOps is in plain text") as error:
        run(config=config)
    assert SECRETS["slackOps"] not in str(error.value)


def test_without_notifications_nothing_is_registered(run: Run) -> None:
    assert not [one for one in run().registrations.values() if "otification" in one.type]
