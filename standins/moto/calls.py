"""Record of the API calls that moto served, by the access key that signed them."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from moto.core.responses import BaseResponse

_call_action = BaseResponse.call_action


def install(path: Path) -> None:
    """Write a line `KEY SERVICE:Action` to the file for each kind of call, in IAM's notation."""
    seen: set[str] = set()
    lock = threading.Lock()

    def call_action(self: BaseResponse) -> Any:
        signed = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        line = f"{signed[1] if signed else '-'} {self.service_name}:{self._get_action()}\n"
        with lock:
            if line not in seen:
                seen.add(line)
                with path.open("a") as file:
                    file.write(line)
        return _call_action(self)

    BaseResponse.call_action = call_action
