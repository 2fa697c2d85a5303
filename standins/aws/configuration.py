"""The AWS stand-in as a whole: what it has, and the configuration it takes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from standins.aws import VERSION
from standins.aws.kinds import FUNCTIONS, KINDS
from standins.aws.session import Session
from standins.provider import UNKNOWN, RefusedError, StandIn, Values

_TAKEN = {"region", "allowedAccountIds", "defaultTags", "version", "pluginDownloadURL"}
_HARMLESS = {
    *("skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation"),
    *("maxRetries", "retryMode", "httpProxy", "httpsProxy", "noProxy", "userAgents"),
}
"""Configuration about how to reach AWS, which makes no difference here. The SDK sets some of it by itself."""


def stand_in() -> StandIn:
    aws = Session()
    return StandIn(
        "aws",
        VERSION,
        "on an emulator of AWS",
        kinds={kind.token: kind(aws) for kind in KINDS},
        functions={token: function.bound(aws) for token, function in FUNCTIONS.items()},
        configure=lambda values: _configure(aws, values),
        check_config=_check_config,
    )


def _check_config(values: Values) -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if name not in _TAKEN | _HARMLESS:
            yield name, f"the aws stand-in has no mapping for the provider's {name}: leave it out"
        elif name == "defaultTags" and value is not UNKNOWN and (unknown := set(_decoded(value)) - {"tags"}):
            yield name, f"the aws stand-in has no mapping for {', '.join(sorted(unknown))} of defaultTags: use tags"


def _configure(aws: Session, values: Values) -> None:
    aws.open_from_environment(values.get("region") or "", _decoded(values.get("defaultTags") or {}).get("tags"))
    allowed = _decoded(values.get("allowedAccountIds") or [])
    if allowed and aws.account not in allowed:
        raise RefusedError(
            f"AWS account ID not allowed: {aws.account}. The provider allows {', '.join(allowed)}: "
            "use that account's credentials, or correct the account in the stack's settings"
        )


def _decoded(value: Any) -> Any:
    """Configuration that is neither text nor a number comes as JSON."""
    return json.loads(value) if isinstance(value, str) else value
