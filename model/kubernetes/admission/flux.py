"""Admission of Flux's objects: its controllers act on them with more rights than the tenant has."""

from __future__ import annotations

from model.kubernetes.admission.flux_values import CHARTS, RELEASES, SOURCES
from model.kubernetes.admission.policy import TENANTS_USER, Check, Policy, Rule, enabled
from model.kubernetes.admission.traffic import outside
from model.kubernetes.manifests import HELM, PREFIX

WRITES = ("CREATE", "UPDATE", "DELETE")
TENANTS_USERS = {"tenants-user": TENANTS_USER}

GROUPS = (
    "kustomize.toolkit.fluxcd.io",
    SOURCES,
    "source.extensions.fluxcd.io",
    RELEASES,
    "notification.toolkit.fluxcd.io",
    "image.toolkit.fluxcd.io",
    "fluxcd.controlplane.io",
)
CHART_KINDS = [kind for kinds in CHARTS.values() for kind in kinds]

FLUX_OBJECTS = Policy(
    name="saas-tenant-flux",
    promise="What feeds a tenant is the platform's; only where the tier allows Helm a tenant has charts of its own.",
    rules=tuple(Rule(group, ("*/*",), WRITES) for group in GROUPS),
    conditions=TENANTS_USERS,
    variables={
        "charts": f"request.resource.resource in {CHART_KINDS!r} && request.?subResource.orValue('') == ''",
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


def _own_namespace(reference: str) -> str:
    return f"{reference}.?namespace.orValue(request.namespace) in ['', request.namespace]"


RESERVED = [PREFIX.rstrip("/"), "toolkit.fluxcd.io"]
"""Domains of labels and annotations by which the platform and Flux decide."""

RELEASE = Policy(
    name="saas-tenant-releases",
    promise="A tenant's HelmRelease acts as an account of the tenant, in its namespace, with its own charts.",
    rules=(Rule(RELEASES, ("helmreleases",)),),
    conditions=TENANTS_USERS,
    variables={
        "spec": "dyn(object).spec",
        "keys": "[variables.spec.?chart.?metadata.?labels, variables.spec.?chart.?metadata.?annotations]"
        ".map(one, one.orValue({}).map(key, key)).flatten()",
        "reserved": "variables.keys.filter(key, key.contains('/') && "
        f"{RESERVED!r}.exists(domain, key.split('/')[0].endsWith(domain)))",
    },
    checks=(
        Check(
            "variables.spec.?serviceAccountName.orValue('') != ''",
            "the release names no account to act as. Write spec.serviceAccountName.",
            "'the release names no account to act as. Write spec.serviceAccountName: ' + request.namespace + ', or, in "
            "a product that several tenants run, an account of the product.'",
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
        Check(
            # The controller makes the HelmChart itself, so no other policy sees these as a tenant's.
            "variables.reserved.size() == 0",
            f"labels and annotations of {RESERVED[0]} and of Flux are the platform's. Leave them out of "
            "spec.chart.metadata.",
            "'these labels and annotations are the platform\\'s: ' + variables.reserved.join(', ') + '. Leave them out "
            "of spec.chart.metadata.'",
        ),
        Check(
            "!has(variables.spec.healthCheckExprs) && "
            "variables.spec.?dependsOn.orValue([]).all(one, !has(one.readyExpr))",
            "an expression holds a worker of Flux for as long as it is evaluated. Leave out spec.healthCheckExprs and "
            "readyExpr in spec.dependsOn.",
        ),
        Check(
            "[variables.spec.?install, variables.spec.?upgrade].all(one, one.?disableSchemaValidation.orValue(false))",
            "a chart's values.schema.json makes Flux read files and URLs, without any limit. Write "
            "disableSchemaValidation: true in spec.install and in spec.upgrade.",
        ),
        Check(
            # Helm allocates a list up to the index, for each entry.
            "variables.spec.?valuesFrom.orValue([]).all(one, !one.?targetPath.orValue('').matches('[0-9]{3}[]]'))",
            "a large index makes Flux allocate a list of that length. Use indexes below 100 in "
            "spec.valuesFrom.targetPath.",
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
    },
    checks=(
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
