"""Webhook settings: `saas-in-eks:webhooks` in a stack's configuration, how pushes reach Flux at once."""

from __future__ import annotations

import re
from typing import Annotated, Literal

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


class WebhookSettings(Model):
    """The way of webhooks from the internet to Flux's receiver."""

    by: Literal["apiGateway", "ingress", "none"]
    """apiGateway: an HTTP API of AWS, into the private network. ingress: an Ingress. none: a way of the team's own."""
    host: Annotated[str, AfterValidator(_host)] | None = None
    """The public host name that GitHub sends to; API Gateway gives its API one."""
    ingress_class: Annotated[str, AfterValidator(_class)] | None = Field(default=None, alias="ingressClass")
    """The IngressClass, unless it is the cluster's default one."""
