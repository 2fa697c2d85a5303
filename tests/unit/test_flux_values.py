"""Fields that need bounds are found in the schemas of Flux's definitions."""

from __future__ import annotations

import pytest

from model.kubernetes.admission.flux_values import Fields, bounded_fields
from model.kubernetes.manifests import Manifest

DURATION = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"}


def definition(*versions: Manifest, plural: str = "helmreleases", group: str = "helm.toolkit.fluxcd.io") -> Manifest:
    """A definition whose versions have these fields in their spec."""
    return {
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": group,
            "names": {"plural": plural},
            "versions": [
                {
                    "served": version.pop("served", True),
                    "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": version}}}},
                }
                for version in versions
            ],
        },
    }


@pytest.mark.parametrize(
    ("field", "schema", "expected"),
    [
        ("interval", DURATION, Fields((), ("spec.interval",), (), ())),
        ("timeout", DURATION, Fields(("spec.timeout",), (), (), ())),
        ("jitter", DURATION, Fields((), ("spec.jitter",), (), ())),
        ("age", {"type": "string", "format": "duration"}, Fields((), ("spec.age",), (), ())),
        ("pollInterval", {"type": "string"}, Fields((), ("spec.pollInterval",), (), ())),
        ("interval", {"type": "string", "enum": ["short", "long"]}, Fields((), (), (), ())),
        ("targetPath", {"type": "string", "pattern": "^[a-z0-9]+$"}, Fields((), (), (), ())),
        ("retryDelay", {"type": "string", "pattern": r"^\pN+$"}, Fields((), ("spec.retryDelay",), (), ())),
        ("retries", {"type": "integer"}, Fields((), (), ("spec.retries",), ())),
        ("port", {"x-kubernetes-int-or-string": True}, Fields((), (), ("spec.port",), ())),
        ("names", {"type": "array", "items": {"type": "string"}}, Fields((), (), (), ("spec.names",))),
        (
            "tests",
            {"type": "array", "items": {"properties": {"timeout": DURATION}}},
            Fields(("spec.tests[].timeout",), (), (), ("spec.tests",)),
        ),
        ("byName", {"additionalProperties": DURATION}, Fields((), ("spec.byName{}",), (), ())),
        ("values", {"x-kubernetes-preserve-unknown-fields": True}, Fields((), (), (), ())),
    ],
)
def test_a_field_that_a_controller_turns_into_work_is_found(field: str, schema: Manifest, expected: Fields) -> None:
    assert bounded_fields([definition({field: schema})]) == expected


def test_every_served_version_counts() -> None:
    old, new, gone = {"interval": DURATION}, {"every": DURATION}, {"other": DURATION, "served": False}
    assert bounded_fields([definition(old, new, gone)]).intervals == ("spec.every", "spec.interval")


def test_kinds_that_tenants_may_not_write_need_no_bounds() -> None:
    kustomizations = definition({"interval": DURATION}, plural="kustomizations", group="kustomize.toolkit.fluxcd.io")
    assert bounded_fields([kustomizations, {"kind": "Namespace"}]) == Fields((), (), (), ())
