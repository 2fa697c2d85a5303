"""Admission of shards: which of Flux's controllers reconcile a tenant's object, and that it stays suspended if held."""

from __future__ import annotations

from model.config.names import FLUX_NAMESPACE, HELD, HOLDS, WATCHDOG
from model.kubernetes.admission.flux import GROUPS
from model.kubernetes.admission.policy import SERVICE_ACCOUNT, TENANTS_USER, Check, Policy, Rule, namespace_annotation
from model.kubernetes.manifests import SHARD_ANNOTATION, SHARD_LABEL

# helm-controller makes a release's HelmChart with its own rights, and with labels that the release chose.
HELM_CONTROLLER = f"{SERVICE_ACCOUNT}{FLUX_NAMESPACE}:helm-controller"
CHARTS_FOR_TENANTS = f"request.userInfo.username == '{HELM_CONTROLLER}' && request.resource.resource == 'helmcharts'"
WATCHDOGS_USER = f"{SERVICE_ACCOUNT}{FLUX_NAMESPACE}:{WATCHDOG}"


def _label(metadata: str) -> str:
    return f"{metadata}.?labels[?'{SHARD_LABEL}'].orValue('')"


def _annotation(of: str, name: str) -> str:
    return f"dyn({of}).metadata.?annotations[?'{name}'].orValue('')"


REMEDY = (
    f"(variables.shard == '' ? 'Leave the label {SHARD_LABEL} out' : "
    f"'Write the label {SHARD_LABEL}: ' + variables.shard) + '.'"
)
OTHERWISE = f"Leave the label {SHARD_LABEL} out, or write your own shard."

SHARD = Policy(
    name="saas-tenant-shards",
    promise="A tenant's objects are reconciled by the controllers of its tier's shard, and by no others.",
    rules=tuple(Rule(group, ("*",)) for group in GROUPS),
    conditions={"tenants-user-or-chart": f"({TENANTS_USER}) || ({CHARTS_FOR_TENANTS})"},
    variables={"shard": namespace_annotation(SHARD_ANNOTATION)},
    checks=(
        Check(
            f"{_label('dyn(object).metadata')} == variables.shard",
            f"the controllers of another shard would reconcile this. {OTHERWISE}",
            f"'the controllers of another shard would reconcile this. ' + {REMEDY}",
        ),
        Check(
            "request.resource.resource != 'helmreleases' || !has(dyn(object).spec.chart) || "
            f"{_label('dyn(object).spec.chart.?metadata')} == variables.shard",
            f"the controllers of another shard would read this release's chart. {OTHERWISE}",
            "'the controllers of another shard would read this release\\'s chart. In spec.chart.metadata.labels: ' + "
            f"{REMEDY}",
        ),
    ),
)

HOLD = Policy(
    name="saas-tenant-holds",
    promise="What the watchdog suspended because it held up other tenants, its tenant does not resume.",
    rules=tuple(Rule(group, ("*",)) for group in GROUPS),
    conditions={"tenants-user": TENANTS_USER},
    variables={"held": f"request.operation == 'UPDATE' && {_annotation('oldObject', HELD)} != ''"},
    checks=(
        Check(
            "!variables.held || dyn(object).spec.?suspend.orValue(false) == true",
            "the watchdog suspended this, because other tenants waited. Leave spec.suspend out.",
        ),
        Check(
            " && ".join(
                f"{_annotation('object', name)} == "
                f"(request.operation == 'UPDATE' ? {_annotation('oldObject', name)} : '')"
                for name in (HELD, HOLDS)
            ),
            f"the annotations {HELD} and {HOLDS} are the watchdog's. Leave them out.",
        ),
    ),
)

SHARDS = (SHARD, HOLD)

OF_WATCHDOG = Policy(
    name="saas-watchdog",
    promise="The watchdog suspends and resumes objects of tenants, and changes nothing else of them.",
    rules=(*(Rule(group, ("*",)) for group in GROUPS),),
    conditions={"watchdog": f"request.userInfo.username == '{WATCHDOGS_USER}'"},
    checks=(
        Check(
            f"request.namespace != '{FLUX_NAMESPACE}'",
            f"the watchdog leaves {FLUX_NAMESPACE} alone. Look who has its token.",
        ),
        Check(
            "dyn(object).spec.all(key, key == 'suspend' || "
            "(key in dyn(oldObject).spec && dyn(object).spec[key] == dyn(oldObject).spec[key])) && "
            "dyn(oldObject).spec.all(key, key == 'suspend' || key in dyn(object).spec)",
            "the watchdog changes spec.suspend only. Look who has its token.",
        ),
    ),
    everywhere=True,
)
"""Its rights would be enough to have a Kustomization apply something else."""
