"""Changed tags of what has an ARN, by the three operations that many services share."""

from __future__ import annotations

from collections.abc import Mapping

from standins.aws.kind import tag_changes, tag_list
from standins.aws.session import Session


def update_tags(
    aws: Session,
    service: str,
    arn: str,
    actual: Mapping[str, str],
    wanted: Mapping[str, str],
    *,
    as_list: bool = False,
    key: str = "resourceArn",
) -> None:
    """Make the tags be the wanted ones. `as_list` for services that take them as Key and Value."""
    gone, added = tag_changes(actual, wanted)
    if gone:
        aws.call(service, "untag_resource", **{key: arn, _same_case(key, "tagKeys"): gone})
    if added:
        tags = tag_list(added) if as_list else added
        aws.call(service, "tag_resource", **{key: arn, _same_case(key, "tags"): tags})


def _same_case(key: str, name: str) -> str:
    return name if key[0].islower() else name[0].upper() + name[1:]
