"""Notifications: chats, pagers and webhooks that Flux notifies, and hosts that notification-controller may reach.

An entry names its secret by the key of the stack's encrypted configuration. Hosts are plain data, so that the program
can list them; a secret's address has to be on one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from model.config.base import Finding, Model, rule_error
from model.config.errors import suggestion
from model.config.git import GITHUB
from model.config.mirrors import Mirror, locate
from model.config.names import LABEL_PATTERN

GITHUB_API = "api.github.com"
PAGERDUTY = ("https://events.pagerduty.com", "https://events.eu.pagerduty.com")
SLACK_TOKEN = re.compile(r"xox[a-z]-[A-Za-z0-9-]+")


@dataclass(frozen=True)
class Kind:
    """A type of notification."""

    secret: str
    """The content of its secret, for messages."""
    pattern: str
    """The form of the secret; addresses are checked by `hosts`."""
    hosts: tuple[str, ...] = ()
    """Hosts of its addresses; one that begins with a dot means all below it. Empty where the entry has a url."""
    url: tuple[str, ...] | None = ()
    """URLs that an entry may name; None for any https:// URL, which it has to name."""


KINDS = {
    "slack": Kind(
        "an incoming webhook's URL (https://hooks.slack.com/services/…), or a bot's token (xoxb-…)",
        rf"https://hooks\.slack\.com/services/[\w/-]+|{SLACK_TOKEN.pattern}",
        ("hooks.slack.com", "slack.com"),
    ),
    "msteams": Kind(
        "the URL of a Teams workflow (Workflows > Send webhook alerts to a channel)",
        r"https://[\w.-]+(:443)?/\S+",
        (".logic.azure.com", ".environment.api.powerplatform.com"),
    ),
    "pagerduty": Kind("the integration key of a PagerDuty service (Events API v2)", r"[\w-]{20,64}", url=PAGERDUTY),
    "generic": Kind("the token that the receiver expects in `Authorization: Bearer`", r"[\x21-\x7e]+", url=None),
    "generic-hmac": Kind("the key of the signature in the header X-Signature", r"[\x21-\x7e]{16,}", url=None),
    "github": Kind("a fine-grained token that may write commit statuses", r"[\w-]{20,}", (GITHUB_API,)),
}
"""Types of notifications, as Flux's Provider calls them."""

RETIRED = ".webhook.office.com"
"""Where Teams' connectors were, which Microsoft switched off."""
PUBLIC_HOST = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])")
INSIDE = re.compile(r"\.(svc|local|localdomain|internal|localhost|arpa|test|cluster)$")


def _name(value: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, value) or len(value) > 40:
        raise rule_error(f"{value!r} is not a valid name", "Use up to 40 lower-case letters, digits and hyphens.")
    return value


def _type(value: str) -> str:
    if value not in KINDS:
        raise rule_error(f"{value!r} is not a type of notification", suggestion(value, KINDS))
    return value


def _secret(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,39}", value):
        # The value is not repeated: it might be the secret itself.
        remedy = "Write a name such as slackOps, and set it by `pulumi config set --secret slackOps`."
        raise rule_error("must be the name of a configuration key, not the secret itself", remedy)
    return value


def _severity(value: str) -> str:
    if value not in ("error", "info"):
        raise rule_error(f"{value!r} is not a severity", "Write error, or info to be notified of successes, too.")
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", 0
    if parts.scheme != "https" or port not in (None, 443) or parts.username or parts.password or parts.fragment:
        remedy = "Write https://HOST/PATH; a secret belongs into `secret`."
        raise rule_error("must be an https:// URL without credentials and port", remedy)
    if not PUBLIC_HOST.fullmatch(host) or INSIDE.search(host):
        raise rule_error(f"{host} is not the name of a host outside the cluster", "Write a public host's full name.")
    return value


class Notification(Model):
    """A recipient of messages when Flux cannot apply what it watches."""

    unsupported: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("address", "token", "webhook", "routingKey"),
        "Write `secret: KEY`, and set it by `pulumi config set --secret KEY`.",
    )

    name: Annotated[str, AfterValidator(_name)] = Field(description="Distinguishes it from others of the same list")
    type: Annotated[str, AfterValidator(_type)] = Field(
        description="slack, msteams, pagerduty, generic, generic-hmac or github (commit statuses)"
    )
    secret: Annotated[str, AfterValidator(_secret)] = Field(
        description="The key of the stack's encrypted configuration that holds the address or token"
    )
    channel: str | None = Field(default=None, min_length=1, description="The channel, for Slack with a bot's token")
    url: Annotated[str, AfterValidator(_url)] | None = Field(
        default=None, description="The https:// address, for generic and generic-hmac, and for PagerDuty in Europe"
    )
    severity: Annotated[str, AfterValidator(_severity)] = Field(
        default="error", description="error for failures only, or info for successes, too"
    )

    @property
    def kind(self) -> Kind:
        """Its type."""
        return KINDS[self.type]

    @property
    def address(self) -> str:
        """The address in plain text; empty for types whose secret is the address."""
        return self.url or (PAGERDUTY[0] if self.type == "pagerduty" else "")


def broken_rules(notifications: Sequence[Notification]) -> Iterator[Finding]:
    """Values of one list that are valid, but not together."""
    for index, entry in enumerate(notifications):
        if entry.name in [other.name for other in notifications[:index]]:
            yield (index, "name"), f"two notifications have the name {entry.name!r}", "Give each a name of its own."
        if entry.channel and entry.type != "slack":
            yield (index, "channel"), f"{entry.type} has no channels", "Remove it."
        allowed = entry.kind.url
        if allowed is None and entry.url is None:
            yield (index, "url"), f"{entry.type} needs the address", "Add `url: https://…`; the secret is the token."
        elif allowed is not None and entry.url and entry.url not in allowed:
            remedy = f"Write {' or '.join(allowed)}." if allowed else "Remove it; `secret` names all that is needed."
            yield (index, "url"), f"{entry.url} is not an address of {entry.type}", remedy


def secret_error(entry: Notification, value: str | None, *, encrypted: bool) -> tuple[str, str] | None:
    """Message and remedy for a secret that is missing or of another form. They never contain it."""
    command = f"`pulumi config set --secret {entry.secret}`"
    if not value:
        return f"the stack has no secret {entry.secret}", f"Set {entry.kind.secret} by {command}."
    if not encrypted:
        return (
            f"{entry.secret} is in plain text in the stack's configuration",
            f"Make a new one, and set it by {command}.",
        )
    if entry.type == "msteams" and (urlsplit(value).hostname or "").endswith(RETIRED):
        remedy = f"Make a workflow in Teams (Send webhook alerts to a channel), and set its URL by {command}."
        return f"{entry.secret} is the URL of a connector, which Microsoft has retired", remedy
    if not re.fullmatch(entry.kind.pattern, value) or not _on_listed_host(entry, value):
        return f"{entry.secret} is not {entry.kind.secret}", f"Set it by {command}."
    if entry.type == "slack" and SLACK_TOKEN.fullmatch(value) and not entry.channel:
        return f"{entry.secret} is a bot's token, which needs a channel", "Add `channel: NAME`."
    return None


def _on_listed_host(entry: Notification, value: str) -> bool:
    host = urlsplit(value).hostname if value.startswith("https://") else None
    return host is None or any(_covers(listed, host) for listed in entry.kind.hosts)


def _covers(listed: str, host: str) -> bool:
    return host.endswith(listed) if listed.startswith(".") else host == listed


def hosts(notifications: Sequence[Notification], mirrors: Sequence[Mirror]) -> list[str]:
    """The hosts (with ports, of mirrors) that notification-controller has to reach, for NO_PROXY.

    A mirror of an address is reached instead of it, as a relay in a network without internet access.
    """
    listed: dict[str, None] = {}
    for entry in notifications:
        own = [urlsplit(entry.address).hostname or ""] if entry.address else list(entry.kind.hosts)
        listed |= dict.fromkeys(own)
        for mirror in mirrors:
            host = urlsplit(mirror.prefix).hostname or ""
            if mirror.prefix.startswith("https://") and any(_covers(name, host) for name in own):
                listed[urlsplit(mirror.url).netloc] = None
    return sorted(listed)


def secret_data(entry: Notification, value: str, mirrors: Sequence[Mirror]) -> dict[str, str]:
    """The content of the Secret that Flux reads."""
    match entry.type:
        case "generic":
            return {"headers": json.dumps({"Authorization": f"Bearer {value}"})}
        case "slack" if SLACK_TOKEN.fullmatch(value):
            return {"address": locate("https://slack.com/api/chat.postMessage", mirrors).url, "token": value}
        case "slack" | "msteams":
            return {"address": locate(value, mirrors).url}
        case _:
            return {"token": value}


def commit_statuses(repository: tuple[str, str] | None, mirrors: Sequence[Mirror]) -> str:
    """The address of a repository on GitHub whose commits get statuses; empty for repositories elsewhere.

    Flux derives the API's address from it. A mirror of the API is asked as GitHub Enterprise Server is, below /api/v3.
    """
    if repository is None:
        return ""
    api = f"https://{GITHUB_API}/"
    found = locate(api, mirrors).url
    return f"{f'https://{GITHUB}/' if found == api else found}{'/'.join(repository)}"
