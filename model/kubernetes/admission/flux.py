"""Admission of Flux's objects: its controllers act on them with more rights than the tenant has."""

from __future__ import annotations

from model.kubernetes.admission.policy import HELM, TENANTS_USER, Check, Policy, Rule, enabled
from model.kubernetes.admission.traffic import outside

WRITES = ("CREATE", "UPDATE", "DELETE")
TENANTS_USERS = {"tenants-user": TENANTS_USER}

SOURCES = "source.toolkit.fluxcd.io"
RELEASES = "helm.toolkit.fluxcd.io"
GROUPS = (
    "kustomize.toolkit.fluxcd.io",
    SOURCES,
    "source.extensions.fluxcd.io",
    RELEASES,
    "notification.toolkit.fluxcd.io",
    "image.toolkit.fluxcd.io",
    "fluxcd.controlplane.io",
)
CHARTS = ("helmreleases", "helmcharts", "helmrepositories", "ocirepositories")

FLUX_OBJECTS = Policy(
    name="saas-tenant-flux",
    promise="What feeds a tenant is the platform's; only where the tier allows Helm a tenant has charts of its own.",
    rules=tuple(Rule(group, ("*/*",), WRITES) for group in GROUPS),
    conditions=TENANTS_USERS,
    variables={
        "charts": f"request.resource.resource in {list(CHARTS)!r} && request.?subResource.orValue('') == ''",
        "helm": enabled(HELM),
    },
    checks=(
        Check(
            "variables.charts",
            "Flux's objects are the platform's. Take it out of the product's repository.",
            "request.resource.resource + '.' + request.resource.group + ' are the platform\\'s. Take this out of the "
            "product\\'s repository.'",
        ),
        Check(
            # Releases from a time when Helm was allowed can be deleted.
            "!variables.charts || variables.helm || request.operation == 'DELETE'",
            "this tenant has no Helm. Render the chart into the product's repository, or ask the platform team for "
            "`helm: true` in tenants.yaml.",
        ),
    ),
)


OPERATIONS = ("install", "upgrade", "rollback", "uninstall", "test")


def _durations(*fields: str) -> str:
    """CEL: durations of those optional fields that are set."""
    return f"[{', '.join(fields)}].filter(one, one.hasValue()).map(one, duration(string(one.value())))"


def _own_namespace(reference: str) -> str:
    return f"{reference}.?namespace.orValue(request.namespace) in ['', request.namespace]"


RELEASE = Policy(
    name="saas-tenant-releases",
    promise="A tenant's HelmRelease acts as an account of the tenant, in its namespace, with its own charts.",
    rules=(Rule(RELEASES, ("helmreleases",)),),
    conditions=TENANTS_USERS,
    variables={
        "spec": "dyn(object).spec",
        "timeouts": _durations(
            "variables.spec.?timeout", *(f"variables.spec.?{operation}.?timeout" for operation in OPERATIONS)
        ),
        "intervals": _durations("variables.spec.?interval", "variables.spec.?chart.?spec.?interval"),
    },
    checks=(
        Check(
            # A few workers serve all tenants, and each waits as long as a release's timeout.
            "variables.timeouts.all(one, one <= duration('10m'))",
            "a release that is waited for keeps others' from being looked at. Leave timeouts at 10m or less.",
        ),
        Check(
            "variables.intervals.all(one, one >= duration('1m'))",
            "looking all the time keeps other tenants' releases from being looked at. Leave intervals at 1m or more.",
        ),
        Check(
            "variables.spec.?serviceAccountName.orValue('') != ''",
            "the release names no account to act as. Write spec.serviceAccountName.",
            "'the release names no account to act as. Write spec.serviceAccountName: ' + request.namespace + '.'",
        ),
        Check(
            "!has(variables.spec.kubeConfig)",
            "a release of a tenant goes into this cluster. Leave spec.kubeConfig out.",
        ),
        Check(
            "[variables.spec.?targetNamespace.orValue(''), variables.spec.?storageNamespace.orValue('')]"
            ".all(one, one in ['', request.namespace])",
            "a release of a tenant goes into the tenant's namespace. Leave targetNamespace and storageNamespace out.",
        ),
        Check(
            f"{_own_namespace('variables.spec.?chart.?spec.?sourceRef')} && "
            f"{_own_namespace('variables.spec.?chartRef')} && "
            f"variables.spec.?dependsOn.orValue([]).all(one, {_own_namespace('one')})",
            "a release refers to another namespace. Its chart's source and what it depends on are in its own.",
        ),
    ),
)

CHART_SOURCES = Policy(
    name="saas-tenant-chart-sources",
    promise="Where a tenant's charts come from is outside the cluster, and is told none of the platform's credentials.",
    rules=(Rule(SOURCES, ("helmrepositories", "ocirepositories")),),
    conditions=TENANTS_USERS,
    variables={
        "spec": "dyn(object).spec",
        # CEL variables cannot hold a URL, only its parts.
        "scheme": "isURL(variables.spec.url) ? url(variables.spec.url).getScheme() : ''",
        "host": "isURL(variables.spec.url) ? url(variables.spec.url).getHostname().lowerAscii() : ''",
        "timeouts": _durations("variables.spec.?timeout"),
        "intervals": _durations("variables.spec.?interval"),
    },
    checks=(
        Check(
            "variables.timeouts.all(one, one <= duration('2m')) && variables.intervals.all(one, one >= duration('1m'))",
            "a source that is waited for, or asked all the time, keeps other tenants' from being looked at. Leave "
            "spec.timeout at 2m or less, and spec.interval at 1m or more.",
        ),
        Check(
            "variables.spec.?provider.orValue('generic') == 'generic'",
            "with a cloud's provider Flux would sign in with the platform's own rights. Leave spec.provider out and "
            "name a Secret in spec.secretRef.",
        ),
        Check(
            "variables.scheme in ['https', 'oci'] && !variables.spec.?insecure.orValue(false)",
            "charts come by https:// or oci://, and encrypted. Change spec.url, and leave spec.insecure out.",
        ),
        Check(
            outside("variables.host"),
            "charts come from a host outside the cluster, by its name. Change spec.url.",
        ),
        Check(
            "!has(variables.spec.proxySecretRef)",
            "Flux would connect to whatever the proxy's Secret names. Leave spec.proxySecretRef out.",
        ),
    ),
)

FLUX = (FLUX_OBJECTS, RELEASE, CHART_SOURCES)
