"""Everything that the AWS stand-in has a mapping for."""

from __future__ import annotations

from collections.abc import Mapping

from standins.aws import (
    cognito,
    ecr,
    eks,
    eks_workers,
    endpoints,
    flow_logs,
    functions,
    gateways,
    iam,
    kms,
    launch_template,
    logs,
    routes,
    security_groups,
    security_rules,
    vpc,
)
from standins.aws.kind import AwsFunction, AwsKind

_MODULES = (
    *(vpc, gateways, routes, endpoints, security_groups, security_rules, flow_logs, launch_template),
    *(kms, logs, iam, eks, eks_workers, ecr, cognito),
)

KINDS: tuple[type[AwsKind], ...] = tuple(kind for module in _MODULES for kind in module.KINDS)
FUNCTIONS: Mapping[str, AwsFunction] = {**functions.FUNCTIONS, **eks.FUNCTIONS}
