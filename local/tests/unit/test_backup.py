"""Which resources a selection of AWS Backup takes."""

from __future__ import annotations

import pytest

from local.backup import selects

VOLUME = "arn:aws:ec2:eu-west-1:123456789012:volume/vol-1"
OWN = {"Stack": "prod-eu", "tenant": "tenant-001"}
SELECTION = {
    "Resources": ["arn:aws:ec2:eu-west-1:123456789012:volume/*"],
    "Conditions": {
        "StringEquals": [{"ConditionKey": "aws:ResourceTag/Stack", "ConditionValue": "prod-eu"}],
        "StringLike": [{"ConditionKey": "aws:ResourceTag/tenant", "ConditionValue": "*"}],
    },
}


@pytest.mark.parametrize(
    ("arn", "tags", "taken"),
    [
        (VOLUME, OWN, True),
        (VOLUME, {"Stack": "prod-us", "tenant": "tenant-001"}, False),
        (VOLUME, {"Stack": "prod-eu"}, False),
        ("arn:aws:dynamodb:eu-west-1:123456789012:table/orders", OWN, False),
    ],
)
def test_a_selection_takes_what_meets_all_of_its_conditions(arn: str, tags: dict[str, str], taken: bool) -> None:
    assert selects(SELECTION, arn, tags) is taken
