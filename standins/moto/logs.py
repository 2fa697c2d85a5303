"""Addition to moto's CloudWatch Logs: the key of a log group that exists can be changed.

`install` adds it to moto in this process before the server starts.
"""

from __future__ import annotations

from moto.logs.exceptions import ResourceNotFoundException
from moto.logs.models import LogGroup
from moto.logs.responses import LogsResponse


def _group(self: LogsResponse) -> LogGroup:
    name = self._get_param("logGroupName")
    if name not in self.logs_backend.groups:
        raise ResourceNotFoundException()
    return self.logs_backend.groups[name]


def associate_kms_key(self: LogsResponse) -> str:
    """The operation AssociateKmsKey."""
    _group(self).kms_key_id = self._get_param("kmsKeyId")
    return ""


def disassociate_kms_key(self: LogsResponse) -> str:
    """The operation DisassociateKmsKey."""
    _group(self).kms_key_id = None
    return ""


def install() -> None:
    """Change moto's class in place."""
    for operation in (associate_kms_key, disassociate_kms_key):
        setattr(LogsResponse, operation.__name__, operation)
