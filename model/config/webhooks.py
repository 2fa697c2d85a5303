"""Webhook settings: how pushes reach Flux at once. `saas-in-eks:webhooks` of a stack, and `webhook` of a product."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from model.config.base import Model, rule_error
from model.config.names import LABEL_PATTERN

WAYS = ("apiGateway", "ingress", "none")


def _host(value: str) -> str:
    if not re.fullmatch(rf"({LABEL_PATTERN}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?", value) or len(value) > 253:
        remedy = "Write a host name without https:// and path, such as flux.example.com."
        raise rule_error(f"{value!r} is not a public host name", remedy)
    return value


def _class(value: str) -> str:
    if not re.fullmatch(rf"{LABEL_PATTERN}(\.{LABEL_PATTERN})*", value):
        raise rule_error(
            f"{value!r} is not the name of an IngressClass", "Write it as `kubectl get ingressclass` does."
        )
    return value


def _issuer(value: str) -> str:
    if not re.fullmatch(r"https://[a-z0-9.-]+(:\d+)?(/[\w./-]*)?", value):
        remedy = "Write it as the tokens' claim iss has it: https://token.actions.githubusercontent.com."
        raise rule_error(f"{value!r} is not an issuer of tokens", remedy)
    return value


def _claims(value: dict[str, str]) -> dict[str, str]:
    if not value.keys() - {"iss", "aud"}:
        # A public issuer gives tokens to everybody.
        remedy = "Write the claims that name your job, such as `repository: acme/shop` and `ref: refs/heads/main`."
        raise rule_error("every token of the issuer would be accepted", remedy)
    return value


def _claim(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_./:@*+-]{1,256}", value):
        raise rule_error(f"{value!r} is not a claim's value", "Write it as the token has it, without spaces.")
    return value


def _claim_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", value):
        raise rule_error(f"{value!r} is not the name of a claim", "Write letters, digits and _, such as repository.")
    return value


Claims = Annotated[
    dict[Annotated[str, AfterValidator(_claim_name)], Annotated[str, AfterValidator(_claim)]], AfterValidator(_claims)
]


class OidcWebhook(Model):
    """A CI job that calls the product's webhook with a token of its own, such as after it pushed an image."""

    issuer: Annotated[
        str, AfterValidator(_issuer), Field(description="Who signs the tokens, as their claim iss has it")
    ]
    audience: Annotated[str, AfterValidator(_claim), Field(description="For whom the job requests its token")]
    claims: Claims = Field(description="Claims of the token and their values; all of them have to be equal")

    @property
    def host(self) -> str:
        """The issuer's host, which notification-controller has to reach."""
        return urlsplit(self.issuer).hostname or ""


class ProductWebhook(Model):
    """What makes Flux fetch a product at once, in stacks with `webhooks`."""

    github: bool | None = Field(
        default=None,
        description="A webhook on GitHub, which each push calls. By default, private repositories on GitHub have one",
    )
    oidc: OidcWebhook | None = Field(default=None, description="Let a CI job call, with a token of its own")


class WebhookSettings(Model):
    """The way of webhooks from the internet to Flux's receiver."""

    by: Literal["apiGateway", "ingress", "none"]
    """apiGateway: an HTTP API of AWS, into the private network. ingress: an Ingress. none: a way of the team's own."""
    host: Annotated[str, AfterValidator(_host)] | None = None
    """The public host name that GitHub sends to; API Gateway gives its API one."""
    ingress_class: Annotated[str, AfterValidator(_class)] | None = Field(default=None, alias="ingressClass")
    """The IngressClass, unless it is the cluster's default one."""
