"""Admission of incoming traffic: a tenant's own host names, through the platform's controllers."""

from __future__ import annotations

from model.config.annotations import COPIES, SHARED, SNIPPETS, UNNAMED
from model.kubernetes.admission.policy import TENANTS_USER, Check, Policy, Rule, listed, shown, unless_same
from model.kubernetes.manifests import ANNOTATIONS, HOSTS, OWNER_LABEL, PLATFORM, SERVICES

GATEWAY = "gateway.networking.k8s.io"
INGRESSES = Rule("networking.k8s.io", ("ingresses",))
ROUTES = Rule(GATEWAY, ("grpcroutes", "httproutes", "tlsroutes"))

PUBLIC_NAME = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+([a-z]{2,}|xn--[a-z0-9-]+)$"
"""Host name in public DNS: neither an address in any notation nor a single word."""

INSIDE = ".*[.](svc|local|localdomain|internal|localhost|arpa)$"
"""Names that a cluster or a cloud resolves to internal addresses."""


def outside(host: str) -> str:
    """CEL: whether a host name is outside of the cluster and of the cloud's network."""
    return f"({host}.matches('{PUBLIC_NAME}') && !{host}.matches('{INSIDE}'))"


OWN_SERVICE = "url(one).getHostname().matches('^[a-z0-9-]+[.]' + request.namespace + '[.]svc([.]cluster[.]local)?$')"
"""CEL: whether the URL `one` names a Service in the tenant's namespace."""


def _own(host: str) -> str:
    """CEL: whether a host name or wildcard belongs to the tenant.

    Its form is checked too: ingress controllers accept regular expressions as aliases.
    """
    return (
        f"({host}.matches('^([*][.])?[a-z0-9][a-z0-9.-]*$') && variables.allowed.exists(mine, "
        f"mine.startsWith('*.') ? {host}.endsWith(mine.substring(1)) : {host} == mine))"
    )


def _annotations(of: str) -> str:
    return f"dyn({of}).metadata.?annotations.orValue({{}})"


ANNOTATED = {"annotations": _annotations("object")}
CHANGES = {"changes": f"{unless_same('spec')} || {_annotations('object')} != {_annotations('oldObject')}"}

NAMED_BY_ANNOTATION = (
    "cert-manager.io/alt-names",
    "cert-manager.io/common-name",
    "external-dns.alpha.kubernetes.io/hostname",
    "external-dns.alpha.kubernetes.io/internal-hostname",
    "nginx.ingress.kubernetes.io/server-alias",
)
"""Annotations that claim host names in addition to the spec."""

TOOLS = (
    "app.kubernetes.io",
    "argocd.argoproj.io",
    "config.kubernetes.io",
    "helm.sh",
    "helm.toolkit.fluxcd.io",
    "internal.config.kubernetes.io",
    "kompose.io",
    "kubectl.kubernetes.io",
    "kustomize.toolkit.fluxcd.io",
    "meta.helm.sh",
    "prometheus.io",
    "pulumi.com",
    "service.kubernetes.io",
)
"""Domains of annotations by which no controller routes traffic, makes load balancers or gives rights."""
UNPRIVILEGED = (
    "kubernetes.io/change-cause",
    "kubernetes.io/description",
    "kubernetes.io/enforce-mountable-secrets",
    "kubernetes.io/ingress.class",
    "kubernetes.io/tls-acme",
)
"""Annotations of this kind in a domain that some clouds' controllers read, too."""

ALLOWED_ANNOTATIONS = Policy(
    name="saas-tenant-annotations",
    promise="A tenant gives the platform's controllers no instructions by annotations but those that its tier allows.",
    # By their domain: no list of instructions of all controllers would be complete.
    rules=(INGRESSES, ROUTES, Rule("", ("services", "serviceaccounts"))),
    conditions={
        "annotations-change": f"request.operation == 'CREATE' || {_annotations('object')} != "
        f"{_annotations('oldObject')}",
        # The platform and its controllers write annotations, too. A person with rights in this namespace only could
        # write the label as well.
        "not-the-platforms": f"{TENANTS_USER} || !(request.userInfo.username.startsWith('system:') || "
        f"(dyn(object).metadata.?labels[?'{OWNER_LABEL}'].orValue('') == '{PLATFORM}' && "
        "authorizer.group('').resource('resourcequotas').namespace(request.namespace).check('create').allowed()))",
    },
    variables={
        **ANNOTATED,
        "allowed": listed(ANNOTATIONS),
        "before": f"oldObject == null ? {{}} : {_annotations('oldObject')}",
        "foreign": "variables.annotations.map(key, key).filter(key, key.contains('/') && "
        f"!(key.split('/')[0] in {list(TOOLS)!r}) && !(key in {list(UNPRIVILEGED)!r}) && "
        "!(key in variables.before && variables.before[key] == variables.annotations[key]) && "
        "!variables.allowed.exists(one, one == key || "
        "(one.endsWith('/*') && key.startsWith(one.substring(0, one.size() - 1)))))",
    },
    checks=(
        Check(
            "variables.foreign.size() == 0",
            "an annotation instructs a controller of the platform. Leave it out, or ask the platform team to add it to "
            "`annotations` in tenants.yaml.",
            "'not among the annotations of this tenant: ' + variables.foreign.join(', ') + '. Leave them out, or ask "
            "the platform team to add them to `annotations` in tenants.yaml.'",
        ),
    ),
)

HOST_NAMES = Policy(
    name="saas-tenant-hosts",
    promise="A tenant answers for its own host names only, and for none that nobody named.",
    rules=(INGRESSES, ROUTES, Rule("", ("services",))),
    conditions=CHANGES,
    variables={
        **ANNOTATED,
        "allowed": listed(HOSTS),
        "named": "request.kind.kind == 'Service' ? [] : "
        "request.kind.kind == 'Ingress' ? dyn(object).spec.?rules.orValue([]).map(rule, rule.?host.orValue('')) : "
        "dyn(object).spec.?hostnames.orValue([])",
        "aliases": "["
        + ", ".join(f"'{annotation}'" for annotation in NAMED_BY_ANNOTATION)
        + "].filter(key, key in variables.annotations).map(key, variables.annotations[key])",
        "foreign": f"variables.named.filter(host, host != '' && !{_own('host')})",
        "tls": "request.kind.kind == 'Ingress' ? dyn(object).spec.?tls.orValue([]) : []",
    },
    checks=(
        Check(
            "variables.foreign.size() == 0",
            "a host name is not this tenant's. Use one in the namespace's annotation, or ask the platform team to add "
            "it to `hosts` in tenants.yaml.",
            "'not host names of this tenant: ' + variables.foreign.join(', ') + '. Use ' + "
            f"{shown('variables.allowed')} + ', or ask the platform team to add them to `hosts` in tenants.yaml.'",
        ),
        Check(
            f"variables.tls.all(one, one.?hosts.orValue([]).all(host, {_own('host')}))",
            "tls.hosts holds a host name that is not this tenant's. Use one in the namespace's annotation, or ask the "
            "platform team to add it to `hosts` in tenants.yaml.",
        ),
        Check(
            f"variables.aliases.all(list, list.split(',').all(host, {_own('host.trim()')}))",
            "an annotation (external-dns, cert-manager, server-alias) holds a host name that is not this tenant's. "
            "Use one in the namespace's annotation, or ask the platform team to add it to `hosts` in tenants.yaml.",
        ),
        Check(
            f"{list(UNNAMED)!r}.all(key, !(key in variables.annotations))",
            "an annotation claims a name that is in no rule, or something that is no host name. Leave out: "
            + ", ".join(UNNAMED)
            + ".",
        ),
        Check(
            "request.kind.kind == 'Service' || (variables.named.size() > 0 && !('' in variables.named))",
            "without a host name this would answer for everybody's. Name a host in every rule.",
        ),
        Check(
            "request.kind.kind != 'Ingress' || !has(object.spec.defaultBackend)",
            "a default backend answers for host names that are nobody's yet. Use rules with a host.",
        ),
    ),
)

ROUTING = Policy(
    name="saas-tenant-routing",
    promise="What a tenant tells the ingress controller concerns its own traffic, and its own objects.",
    rules=(INGRESSES, ROUTES),
    conditions=CHANGES,
    variables={
        **ANNOTATED,
        "snippets": f"variables.annotations.map(key, key).filter(key, key.matches('{SNIPPETS}'))",
        "shared": f"variables.annotations.map(key, key).filter(key, key.matches('{SHARED}'))",
        "references": "variables.annotations.map(key, key).filter(key, key.matches('-(secret|configmap|headers)$') && "
        "variables.annotations[key].contains('/') && !variables.annotations[key].startsWith(request.namespace + '/'))",
        # It writes their values, and paths, into the configuration of all.
        "written": "variables.annotations.map(key, key).filter(key, key.startsWith('nginx.ingress.kubernetes.io/'))"
        ".map(key, variables.annotations[key]) + (request.kind.kind != 'Ingress' ? [] : "
        "dyn(object).spec.?rules.orValue([]).map(rule, rule.?http.?paths.orValue([])"
        ".map(path, path.?path.orValue(''))).flatten())",
        "copies": f"variables.annotations.map(key, key).filter(key, key.matches('{COPIES}'))",
        # The server that authorizes requests, and answers with headers.
        "asked": "variables.annotations.map(key, key).filter(key, key.endsWith('/auth-url'))"
        ".map(key, variables.annotations[key])",
        "rules": "request.kind.kind == 'Ingress' ? [] : dyn(object).spec.?rules.orValue([])",
        # Filters of a rule and of a backend name backends too.
        "backends": "variables.rules.map(rule, rule.?backendRefs.orValue([]))",
        "filters": "variables.rules.map(rule, rule.?filters.orValue([])) + "
        "variables.backends.map(some, some.map(one, one.?filters.orValue([])).flatten())",
        "destinations": "variables.backends.flatten() + variables.filters.flatten().map(one, "
        "[one.?requestMirror.?backendRef, one.?externalAuth.?backendRef]"
        ".filter(some, some.hasValue()).map(some, some.value())).flatten()",
        "parents": "request.kind.kind == 'Ingress' ? [] : dyn(object).spec.?parentRefs.orValue([])",
    },
    checks=(
        Check(
            "variables.snippets.size() == 0",
            "snippets are configuration of the whole ingress controller. Use its annotations for what you need.",
            "'snippets are configuration of the whole ingress controller. Leave out: ' + "
            "variables.snippets.join(', ') + '.'",
        ),
        Check(
            r"""variables.written.all(one, !one.matches('[";\'\\r\\n]'))""",
            "with quotes, semicolons or line breaks, an annotation or a path could add to the configuration of the "
            "whole ingress controller. Leave them out.",
        ),
        Check(
            "variables.shared.size() == 0",
            "annotations of an AWS load balancer's group, rules or name reach other tenants' traffic. The platform "
            "team sets a shared load balancer in the IngressClass.",
            "'these annotations reach other tenants\\' traffic: ' + variables.shared.join(', ') + '. Leave them out; "
            "the platform team sets a shared load balancer in the IngressClass.'",
        ),
        Check(
            "variables.copies.size() == 0",
            "an annotation has the ingress controller send requests to whatever it names, which may be a neighbour. "
            "Leave it out.",
            "'these annotations have the ingress controller send requests to whatever they name, which may be a "
            "neighbour: ' + variables.copies.join(', ') + '. Leave them out.'",
        ),
        Check(
            f"variables.asked.all(one, isURL(one) && ({OWN_SERVICE} || "
            f"(url(one).getScheme() == 'https' && {outside('url(one).getHostname()')})))",
            "auth-url leads to an address inside the cluster, which may be a neighbour's. Name a Service of this "
            "namespace (http://NAME.NAMESPACE.svc.cluster.local/), or a host outside by https.",
        ),
        Check(
            "variables.references.size() == 0",
            "an annotation names a Secret or ConfigMap of another namespace. Put what it needs into this namespace.",
            "'these annotations name objects of another namespace: ' + variables.references.join(', ') + "
            "'. Put what they need into ' + request.namespace + '.'",
        ),
        Check(
            "variables.parents.all(one, one.?kind.orValue('Gateway') == 'Gateway' || "
            "one.?namespace.orValue(request.namespace) == request.namespace)",
            "a route changes the traffic of a Service in another namespace. Its parents are Gateways, or Services of "
            "this namespace.",
        ),
        Check(
            "variables.destinations.all(one, one.?namespace.orValue(request.namespace) == request.namespace)",
            "a route sends requests to another namespace. Its backends are Services of this namespace.",
        ),
    ),
)

MOST_PORTS = 100
"""The highest number of ports of a Service."""

SERVICE_TYPES = Policy(
    name="saas-tenant-services",
    promise="A tenant's Services are of the types that its tier allows, and take nobody's address.",
    rules=(Rule("", ("services",)),),
    conditions={"spec-changes": unless_same("spec")},
    variables={
        "type": "object.spec.?type.orValue('ClusterIP')",
        "annotated": listed(SERVICES),
        "types": "variables.annotated.size() == 0 ? ['ClusterIP'] : variables.annotated",
        "external": "object.spec.?externalName.orValue('').lowerAscii()",
        "absolute": "variables.external.endsWith('.')",
        "host": "variables.absolute ? variables.external.substring(0, variables.external.size() - 1) : "
        "variables.external",
    },
    checks=(
        Check(
            "variables.type in variables.types",
            "Services of this type are not for this tenant. Use another, or ask the platform team to add it to "
            "`services` in tenants.yaml.",
            "'Services of type ' + variables.type + ' are not for this tenant. Use ' + variables.types.join(' or ') + "
            "', or ask the platform team to add the type to `services` in tenants.yaml.'",
        ),
        Check(
            "object.spec.?externalIPs.orValue([]).size() == 0",
            "externalIPs take an address from whoever has it. Leave them out and use an Ingress.",
        ),
        Check(
            f"object.spec.?ports.orValue([]).size() <= {MOST_PORTS}",
            f"every node has rules for each port of a Service and each of its pods. Leave at most {MOST_PORTS} ports.",
        ),
        Check(
            f"variables.type != 'ExternalName' || {outside('variables.host')}",
            "an ExternalName inside the cluster leads the ingress controller to other tenants. Name a host outside.",
            "variables.external + ' is inside the cluster: it would lead the ingress controller to other tenants. "
            "Name a host outside.'",
        ),
        Check(
            # A resolver may append the search domains first: product.neighbour is a Service, too.
            "variables.type != 'ExternalName' || variables.absolute",
            "an ExternalName without a dot at its end may be completed to a Service of another tenant. Add the dot.",
            "'without a dot at its end it may be completed to a Service of another tenant. Write externalName: ' + "
            "variables.external + '.'",
        ),
    ),
)

TRAFFIC = (ALLOWED_ANNOTATIONS, HOST_NAMES, ROUTING, SERVICE_TYPES)
