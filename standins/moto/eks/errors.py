"""Errors of EKS' API."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class EksError(ServiceException):
    """A code of EKS' API, and a sentence. A class of our own, as moto looks up a code by the module of its class."""


def refuse(reason: str) -> EksError:
    """A parameter that EKS does not accept."""
    return EksError("InvalidParameterException", reason)
