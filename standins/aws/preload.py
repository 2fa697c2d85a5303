"""Imported by the fork server: botocore, with the descriptions of APIs parsed once for all programs that need them.

Each `pulumi` command starts the stand-in and, for each client of Kubernetes, AWS' CLI. Parsing was most of their time.
"""

from __future__ import annotations

import functools
from typing import Any

from botocore.loaders import JSONFileLoader

from standins.aws.session import Session

SERVICES = (
    *("apigatewayv2", "backup", "cloudwatch", "cognito-idp", "ec2", "ecr", "eks", "elbv2", "events", "iam", "kms"),
    *("logs", "s3", "sns", "ssm", "sts"),
)

_read = JSONFileLoader.load_file


@functools.cache
def _read_once(path: str) -> Any:
    return _read(JSONFileLoader(), path)


def _load_file(self: JSONFileLoader, file_path: str) -> Any:
    return _read_once(file_path)


# In botocore's own class: the fork server keeps installed packages only, and no module of this project.
JSONFileLoader.load_file = _load_file

_session = Session()
_session.open("http://127.0.0.1", "key", "secret", "eu-west-1")
for _service in SERVICES:
    _session.client(_service)
