"""Durations, numbers and lists of the installed Flux kinds that tenants may write. A test compares this with the CRDs.

A new field of a Flux release is bounded by itself: the policy is generated from the release. It belongs here once its
bounds were reviewed, and is attacked from then on.
"""

from __future__ import annotations

from dataclasses import fields

from model.kubernetes.admission.flux_values import Fields

REVIEWED = {
    "HelmRelease": Fields(
        timeouts=(
            "spec.install.timeout",
            "spec.rollback.timeout",
            "spec.test.timeout",
            "spec.timeout",
            "spec.uninstall.timeout",
            "spec.upgrade.timeout",
        ),
        intervals=(
            "spec.chart.spec.interval",
            "spec.install.strategy.retryInterval",
            "spec.interval",
            "spec.upgrade.strategy.retryInterval",
        ),
        numbers=("spec.install.remediation.retries", "spec.maxHistory", "spec.upgrade.remediation.retries"),
        lists=(
            "spec.chart.spec.valuesFiles",
            "spec.dependsOn",
            "spec.driftDetection.ignore",
            "spec.driftDetection.ignore[].paths",
            "spec.healthCheckExprs",
            "spec.postRenderers",
            "spec.postRenderers[].kustomize.images",
            "spec.postRenderers[].kustomize.patches",
            "spec.test.filters",
            "spec.valuesFrom",
        ),
    ),
    "HelmChart": Fields((), ("spec.interval",), (), ("spec.valuesFiles", "spec.verify.matchOIDCIdentity")),
    "HelmRepository": Fields(("spec.timeout",), ("spec.interval",), (), ("spec.accessFrom.namespaceSelectors",)),
    "OCIRepository": Fields(("spec.timeout",), ("spec.interval",), (), ("spec.verify.matchOIDCIdentity",)),
}
"""Fields by kind."""


def of_all_kinds() -> Fields:
    """The fields of all kinds together, as the policy has them."""
    found = {
        field.name: tuple(sorted({path for kind in REVIEWED.values() for path in getattr(kind, field.name)}))
        for field in fields(Fields)
    }
    return Fields(**found)
