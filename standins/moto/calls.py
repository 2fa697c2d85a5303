"""Record of the API calls that moto served, by the access key that signed them."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from moto.core.responses import BaseResponse
from moto.s3.responses import S3Response

_call_action = BaseResponse.call_action
_set_action = S3Response._set_action
_bucket_response_delete_keys = S3Response._bucket_response_delete_keys
_NAMES = {"elbv2": "elasticloadbalancing", "resourcegroupstaggingapi": "tag"}
"""IAM's names of services that moto calls otherwise."""
_OF_BUCKETS = {
    "encryption": "EncryptionConfiguration",
    "object-lock": "BucketObjectLockConfiguration",
    "publicAccessBlock": "BucketPublicAccessBlock",
}
"""IAM's names of what moto's S3 has no action for, by the query. The permission to delete is the one to put."""


def install(path: Path) -> None:
    """Write a line `KEY SERVICE:Action` to the file for each kind of call, in IAM's notation."""
    seen: set[str] = set()
    lock = threading.Lock()

    def note(response: BaseResponse, action: str) -> None:
        signed = re.search(r"Credential=([^/]+)/", response.headers.get("Authorization", ""))
        line = f"{signed[1] if signed else '-'} {action}\n"
        with lock:
            if line not in seen:
                seen.add(line)
                with path.open("a") as file:
                    file.write(line)

    def call_action(self: BaseResponse) -> Any:
        note(self, _action(self))
        return _call_action(self)

    def set_action(self: S3Response, action_resource_type: str, method: str, querystring: dict[str, Any]) -> None:
        _set_action(self, action_resource_type, method, querystring)
        verb, parts = "Get" if method == "GET" else "Put", _OF_BUCKETS if action_resource_type == "BUCKET" else {}
        special = [f"{verb}{name}" for key, name in parts.items() if key in querystring]
        action = special[0] if special else self.data["Action"]
        note(self, f"s3:{'ListBucket' if action == 'HeadBucket' else action}")

    def delete_keys(self: S3Response, *arguments: Any, **more: Any) -> Any:
        note(self, "s3:DeleteObjectVersion")
        return _bucket_response_delete_keys(self, *arguments, **more)

    BaseResponse.call_action = call_action
    S3Response._set_action = set_action
    S3Response._bucket_response_delete_keys = delete_keys


def _action(response: BaseResponse) -> str:
    """The call in IAM's notation. API Gateway's actions are the methods of HTTP."""
    service = response.service_name or ""
    if service.startswith("apigateway"):
        return f"apigateway:{response.method}"
    return f"{_NAMES.get(service, service)}:{response._get_action()}"
