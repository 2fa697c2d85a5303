"""Record of the API calls that moto served, by the access key that signed them."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from moto.core.responses import BaseResponse

_call_action = BaseResponse.call_action
_NAMES = {"elbv2": "elasticloadbalancing"}
"""IAM's names of services that moto calls otherwise."""


def install(path: Path) -> None:
    """Write a line `KEY SERVICE:Action` to the file for each kind of call, in IAM's notation."""
    seen: set[str] = set()
    lock = threading.Lock()

    def call_action(self: BaseResponse) -> Any:
        signed = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        line = f"{signed[1] if signed else '-'} {_action(self)}\n"
        with lock:
            if line not in seen:
                seen.add(line)
                with path.open("a") as file:
                    file.write(line)
        return _call_action(self)

    BaseResponse.call_action = call_action


def _action(response: BaseResponse) -> str:
    """The call in IAM's notation. API Gateway's actions are the methods of HTTP."""
    service = response.service_name or ""
    if service.startswith("apigateway"):
        return f"apigateway:{response.method}"
    return f"{_NAMES.get(service, service)}:{response._get_action()}"
