"""Addition to moto's SSM: the public parameters with the newest release of EKS' AMIs, which AWS publishes.

`install` adds it to moto in this process before the server starts.
"""

from __future__ import annotations

import re
from typing import Any

from moto.core.utils import utcnow
from moto.ssm.models import Parameter, SimpleSystemManagerBackend

FIRST_RELEASE = "20261101"
"""The day of the release that every version of Kubernetes has, until another one is published."""
_NAME = re.compile(
    r"/aws/service/eks/optimized-ami/(?P<version>\d+\.\d+)/amazon-linux-2023/(arm64|x86_64)/standard/recommended/"
    r"release_version"
)

_get_parameter = SimpleSystemManagerBackend.get_parameter
_put_parameter = SimpleSystemManagerBackend.put_parameter


def get_parameter(self: SimpleSystemManagerBackend, name: str) -> Parameter | None:
    """The parameter; one of EKS' AMIs has a value from the beginning."""
    found = _NAME.fullmatch(name)
    if found and name not in self._parameters:
        return _parameter(self, name, f"{found['version']}.0-{FIRST_RELEASE}")
    return _get_parameter(self, name)


def put_parameter(self: SimpleSystemManagerBackend, name: str, *given: Any, **more: Any) -> Parameter:
    """As moto's, and for EKS' AMIs in the place of AWS, which publishes a release so."""
    if _NAME.fullmatch(name):
        value = more["value"] if "value" in more else given[1]
        self._parameters[name].append(_parameter(self, name, value))
        return _parameter(self, name, value)
    return _put_parameter(self, name, *given, **more)


def _parameter(backend: SimpleSystemManagerBackend, name: str, value: str) -> Any:
    return Parameter(
        account_id=backend.account_id,
        name=name,
        value=value,
        parameter_type="String",
        description="",
        allowed_pattern=None,
        keyid=None,
        last_modified_date=utcnow(),
        version=len(backend._parameters[name]) + 1 if name in backend._parameters else 1,
        data_type="text",
    )


def install() -> None:
    """Change moto's class in place."""
    setattr(SimpleSystemManagerBackend, "get_parameter", get_parameter)  # noqa: B010 - typed as it is in moto
    setattr(SimpleSystemManagerBackend, "put_parameter", put_parameter)  # noqa: B010
