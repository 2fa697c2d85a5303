"""Resource types and functions of the AWS stand-in."""

from __future__ import annotations

from collections.abc import Mapping

from standins.aws import (
    cognito,
    ec2,
    ecr,
    eks,
    functions,
    iam,
    kms,
    launch_template,
    logs,
    security_groups,
)
from standins.aws.engine import AwsFunction, AwsKind

_MODULES = (ec2, security_groups, launch_template, kms, logs, iam, eks, ecr, cognito)

KINDS: tuple[type[AwsKind], ...] = tuple(kind for module in _MODULES for kind in module.KINDS)
FUNCTIONS: Mapping[str, AwsFunction] = {**functions.FUNCTIONS, **eks.FUNCTIONS}
