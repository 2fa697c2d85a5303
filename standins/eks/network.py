"""Connections that pulumi-eks opens from the machine that runs Pulumi: to the API server, and to the OIDC issuer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import os
import socket
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import pulumi

ENDPOINT_ATTEMPTS = 60
ISSUER_ATTEMPTS = 13
CONNECT_SECONDS = 1.0
RETRY_SECONDS = "EKS_STANDIN_RETRY_SECONDS"
"""Environment variable: the pause between attempts, where tests can't wait as long as pulumi-eks does."""
ISSUER_ADDRESS = "EKS_STANDIN_ISSUER_ADDRESS"
"""Environment variable: HOST:PORT of a TLS server that replaces the issuer, whose own name does not resolve here."""


async def wait_for_endpoint(endpoint: str) -> str:
    """Wait until /healthz of the endpoint answers, for at most five minutes, and return the endpoint in any case.

    As in pulumi-eks: the first Kubernetes resource then fails with "configured Kubernetes cluster is unreachable".
    """
    context = ssl._create_unverified_context()  # noqa: S323 - as pulumi-eks; only the health endpoint is requested
    for attempt in range(ENDPOINT_ATTEMPTS):
        if await asyncio.to_thread(_attempt, lambda: _is_healthy(endpoint, context)):
            break
        left = (ENDPOINT_ATTEMPTS - attempt) * _pause()
        pulumi.log.info(f"Waiting up to ({left:g}) more seconds for cluster readiness...", ephemeral=True)
        await asyncio.sleep(_pause())
    return endpoint


async def thumbprint(issuer: str, authority: str) -> str:
    """SHA-1 of the CA certificate that signed the issuer's certificate, fetched over TLS.

    The only CA of this platform is the cluster's own: `authority`, PEM in base64. Raises RuntimeError after a minute.
    """
    certificate = base64.b64decode(authority).decode()
    for attempt in range(ISSUER_ATTEMPTS):
        if await asyncio.to_thread(_attempt, lambda: _is_trusted(issuer, certificate)):
            der = ssl.PEM_cert_to_DER_cert(certificate)
            return hashlib.sha1(der, usedforsecurity=False).hexdigest()
        if attempt < ISSUER_ATTEMPTS - 1:
            pulumi.log.info(f"Waiting for cert issuer URL({attempt})", ephemeral=True)
            await asyncio.sleep(_pause())
    raise RuntimeError(f"Cannot retrieve the certificate fingerprint at the issuer URL: {issuer}")


def _pause() -> float:
    return float(os.environ.get(RETRY_SECONDS, "5"))


def _attempt(connect: Callable[[], bool]) -> bool:
    try:
        return connect()
    except (OSError, http.client.HTTPException):  # TLS errors are OSErrors
        return False


def _is_healthy(endpoint: str, context: ssl.SSLContext) -> bool:
    connection = http.client.HTTPSConnection(urlsplit(endpoint).netloc, timeout=CONNECT_SECONDS, context=context)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def _is_trusted(issuer: str, certificate: str) -> bool:
    context = ssl.create_default_context(cadata=certificate)
    context.check_hostname = False  # the server in the issuer's place has another name
    address = urlsplit(f"//{os.environ[ISSUER_ADDRESS]}" if ISSUER_ADDRESS in os.environ else issuer)
    with (
        socket.create_connection((address.hostname or "", address.port or 443), CONNECT_SECONDS) as plain,
        context.wrap_socket(plain),
    ):
        return True
