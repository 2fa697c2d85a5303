"""Calls to AWS' API on an emulator: one account, one region, one client for each service."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
import urllib.parse
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from standins.provider import THREADS, RefusedError, Values

if TYPE_CHECKING:
    from botocore.client import BaseClient

_USERS_OWN = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


class AwsError(RefusedError):
    """AWS refused a call. `code` is its error code, such as InvalidVpcID.NotFound."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"operation {operation}: api error {code}: {message}")
        self.operation, self.code = operation, code


class Session:
    """API calls for resource types and functions. Thread-safe once `open` was called."""

    def __init__(self) -> None:
        self._clients: dict[str, BaseClient] = {}
        self._lock = threading.Lock()
        self._connection: tuple[str, str, str] | None = None
        self._botocore: Any = None
        self.region = ""
        self.default_tags: Mapping[str, str] = {}
        """Tags that the provider adds to those of each resource."""

    def open(
        self, endpoint: str, key: str, secret: str, region: str, default_tags: Mapping[str, str] | None = None
    ) -> None:
        """Use the emulator at a URL. Raises RefusedError unless that is on this machine."""
        if urllib.parse.urlsplit(endpoint).hostname not in ("127.0.0.1", "localhost", "::1"):
            said = f"AWS_ENDPOINT_URL is {endpoint!r}" if endpoint else "AWS_ENDPOINT_URL is not set"
            raise RefusedError(
                f"the aws stand-in talks to nothing but an emulator on this machine, and {said}: "
                "run `make rehearse`, or use the official plugin for AWS itself"
            )
        self._connection, self.region = (endpoint, key, secret), region
        self.default_tags = dict(default_tags or {})

    def open_from_environment(self, region: str = "", default_tags: Mapping[str, str] | None = None) -> None:
        """Use the endpoint, keys and region in AWS' usual environment variables; a given region takes precedence."""
        value = os.environ.get
        region = region or value("AWS_REGION") or value("AWS_DEFAULT_REGION") or ""
        if not region:
            raise RefusedError("missing region: give the provider a region, or set AWS_REGION")
        key, secret = value("AWS_ACCESS_KEY_ID", ""), value("AWS_SECRET_ACCESS_KEY", "")
        if not key or not secret:
            raise RefusedError("no valid credential sources found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        self.open(value("AWS_ENDPOINT_URL", ""), key, secret, region, default_tags)

    def client(self, service: str) -> BaseClient:
        """The client of a service, such as "ec2"."""
        with self._lock:  # making one is slow, and not safe for threads
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def _make(self, service: str) -> BaseClient:
        if self._connection is None:
            raise RuntimeError("the session was not opened")
        import botocore.session  # here, as it takes longer than everything else that a plugin does until it serves
        from botocore.config import Config

        endpoint, key, secret = self._connection
        if self._botocore is None:
            for name in _USERS_OWN:  # whose profile may name another endpoint, or be missing here
                os.environ.pop(name, None)
            self._botocore = botocore.session.Session()
        return self._botocore.create_client(
            service,
            region_name=self.region,
            endpoint_url=endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(
                proxies={},  # the user's proxy can't reach this machine's loopback
                retries={"mode": "standard", "total_max_attempts": 2},
                max_pool_connections=THREADS,
                connect_timeout=5,
                read_timeout=60,
            ),
        )

    def call(self, service: str, method: str, /, **parameters: Any) -> Values:
        """Call an operation, such as ("ec2", "create_vpc"), and return its answer. Parameters of None are left out.

        Raises AwsError with the service's error code, and for parameters that its API description does not allow.
        """
        client = self.client(service)
        given = _without_none(parameters)
        with _refusals(service, client, method, given):
            return getattr(client, method)(**given)

    def find(self, service: str, method: str, /, missing: Collection[str], **parameters: Any) -> Values | None:
        """As `call`, but None where the service answers with one of the `missing` codes."""
        try:
            return self.call(service, method, **parameters)
        except AwsError as error:
            if error.code in missing:
                return None
            raise

    def list(self, service: str, method: str, key: str, /, **parameters: Any) -> list[Any]:
        """All items that an operation lists below `key` of its answers, on however many pages."""
        client = self.client(service)
        if not client.can_paginate(method):
            return self.call(service, method, **parameters)[key]
        given = _without_none(parameters)
        with _refusals(service, client, method, given):
            return [item for page in client.get_paginator(method).paginate(**given) for item in page.get(key, ())]

    @functools.cached_property
    def identity(self) -> Values:
        """The caller: Account, Arn and UserId."""
        return self.call("sts", "get_caller_identity")

    @property
    def account(self) -> str:
        """The account's number."""
        return self.identity["Account"]

    partition = "aws"
    """The ARNs' second field; the emulator has no other."""

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@contextlib.contextmanager
def _refusals(service: str, client: BaseClient, method: str, parameters: Values) -> Iterator[None]:
    """Check parameters against the API's description, and turn failures into errors with a text for people."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
    from botocore.parsers import ResponseParserError

    from standins.aws.constraints import violations

    name = client.meta.method_to_api_mapping[method]
    operation = f"{service}.{name}"
    shape = client.meta.service_model.operation_model(name).input_shape
    if shape is not None and (wrong := list(violations(shape, parameters, ""))):
        code = "InvalidParameterValue" if service == "ec2" else "ValidationException"
        raise AwsError(operation, code, "; ".join(wrong))
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 500:
            raise _broken(operation) from error
        raise AwsError(operation, details.get("Code", "Unknown"), details.get("Message", str(error))) from error
    except ParamValidationError as error:
        raise AwsError(operation, "ValidationError", str(error)) from error
    except ResponseParserError as error:
        raise _broken(operation) from error
    except BotoCoreError as error:
        raise RefusedError(f"operation {operation}: {error}. Start the emulator, then repeat") from error


def _broken(operation: str) -> RefusedError:
    return RefusedError(f"operation {operation}: the emulator of AWS failed; its log, aws.log, has the reason")


def _without_none(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _without_none(value) for key, value in item.items() if value is not None}
    if isinstance(item, list):
        return [_without_none(value) for value in item if value is not None]
    return item


def policy_text(text: str) -> Any:
    """A policy document for comparison: its JSON, with lists of one item replaced by the item."""
    try:
        return _without_single(json.loads(text))
    except ValueError:
        return text


def _without_single(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _without_single(value) for key, value in item.items()}
    if isinstance(item, list):
        parts = [_without_single(value) for value in item]
        return parts[0] if len(parts) == 1 else sorted(parts, key=lambda part: json.dumps(part, sort_keys=True))
    return item
