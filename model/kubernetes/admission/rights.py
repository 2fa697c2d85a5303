"""Admission of changes to rights and platform objects by a tenant's own users, whatever role they have.

`admin` and `cluster-admin` widen a product's choice of objects, not its reach beyond its namespace.
"""

from __future__ import annotations

from model.kubernetes.admission.policy import TENANTS_USER, Check, Policy, Rule, user_of
from model.kubernetes.manifests import OWNER_LABEL, PLATFORM, TENANT_LABEL

WRITES = ("CREATE", "UPDATE", "DELETE")
TENANTS_USERS = {"tenants-user": TENANTS_USER}


def _marked(of: str) -> str:
    return f"{of} != null && dyn({of}).?metadata.?labels[?'{OWNER_LABEL}'].orValue('') == '{PLATFORM}'"


PLATFORM_OBJECTS = Policy(
    name="saas-tenant-platform-objects",
    promise="What the platform made in a tenant's namespace is changed and deleted by the platform only.",
    rules=(Rule("*", ("*/*",), WRITES),),
    conditions=TENANTS_USERS,
    checks=(
        Check(
            f"!({_marked('oldObject')})",
            "this object is the platform's. Take it out of the product's repository, or ask the platform team.",
            # Not request.name: it is empty when all objects of a kind are deleted at once.
            "request.resource.resource + ' ' + oldObject.metadata.name + ' is the platform\\'s. Take it out of the "
            "product\\'s repository, or ask the platform team.'",
        ),
        Check(
            f"!({_marked('object')})",
            f"the label {OWNER_LABEL}: {PLATFORM} marks the platform's own objects. Leave it out.",
        ),
    ),
)

NAMESPACE = Policy(
    name="saas-tenant-namespace",
    promise="A tenant changes nothing about its own namespace: its labels and annotations are its limits.",
    rules=(Rule("", ("namespaces", "namespaces/*"), ("UPDATE", "DELETE")),),
    # Not by the binding's selector: a namespace without its label would escape all policies.
    everywhere=True,
    conditions={
        "of-a-tenant": f"'{TENANT_LABEL}' in oldObject.metadata.?labels.orValue({{}})",
        "by-its-own-account": user_of("oldObject.metadata.name"),
    },
    checks=(
        Check(
            "false",
            "the namespace is the platform's: its labels and annotations are the tenant's limits. Take it out of the "
            "product's repository, or ask the platform team.",
        ),
    ),
)

MANAGED = (
    Rule(
        "",
        ("resourcequotas", "limitranges", "endpoints", "bindings", "pods/binding", "serviceaccounts/token", "*/status"),
        WRITES,
    ),
    # Kubernetes creates a StatefulSet's pods from revisions, without the tenant as their user.
    Rule("apps", ("controllerrevisions", "*/status"), WRITES),
    Rule("batch", ("*/status",), WRITES),
    Rule("discovery.k8s.io", ("endpointslices",), WRITES),
    Rule("networking.k8s.io", ("networkpolicies", "*/status"), WRITES),
    Rule(
        "gateway.networking.k8s.io",
        ("gateways", "listenersets", "referencegrants", "tcproutes", "udproutes", "*/status"),
        WRITES,
    ),
    Rule("gateway.networking.x-k8s.io", ("*",), WRITES),
    # Devices of nodes. Pods may use the claims that the platform team makes for them.
    Rule("resource.k8s.io", ("*",), WRITES),
    # Not every cluster has these controllers; if it does, their kinds are the platform's.
    Rule("networking.k8s.aws", ("*",), WRITES),
    Rule("vpcresources.k8s.aws", ("*",), WRITES),
    Rule("elbv2.k8s.aws", ("*",), WRITES),
    Rule("eks.amazonaws.com", ("*",), WRITES),
    Rule("crd.projectcalico.org", ("*",), WRITES),
    Rule("projectcalico.org", ("*",), WRITES),
    Rule("cilium.io", ("*",), WRITES),
    Rule("k8s.cni.cncf.io", ("*",), WRITES),
    Rule("externaldns.k8s.io", ("*",), WRITES),
)
"""Kinds by which a tenant could set its own limits, open its own network, or take another's traffic: endpoints,
bindings and status direct requests, and are written by controllers."""

MANAGED_KINDS = Policy(
    name="saas-tenant-managed-kinds",
    promise="Quotas, limits, network rules, endpoints and tokens of a tenant are for the platform to make.",
    rules=MANAGED,
    conditions=TENANTS_USERS,
    checks=(
        Check(
            "false",
            "objects of this kind are for the platform to make. Take it out of the product's repository; quota, limits "
            "and network rules of a tenant stand in tenants.yaml.",
            "request.resource.resource + (request.?subResource.orValue('') == '' ? '' : '/' + request.subResource) + "
            "' are for the platform to make. Take this out of the product\\'s repository; quota, limits and network "
            "rules of a tenant stand in tenants.yaml.'",
        ),
    ),
)

ROLE_BINDINGS = Policy(
    name="saas-tenant-role-bindings",
    promise="A tenant gives rights in its namespace to its own service accounts, and to nobody else.",
    rules=(Rule("rbac.authorization.k8s.io", ("rolebindings",)),),
    conditions=TENANTS_USERS,
    checks=(
        Check(
            "object.?subjects.orValue([]).all(one, one.kind == 'ServiceAccount' && "
            "one.?namespace.orValue('') == request.namespace)",
            "a subject is none of this namespace's service accounts. People get their rights from the platform team.",
            "'only service accounts of ' + request.namespace + ' can be subjects here, not ' + "
            "object.?subjects.orValue([]).filter(one, one.kind != 'ServiceAccount' || "
            "one.?namespace.orValue('') != request.namespace).map(one, one.kind + ' ' + one.name).join(', ') + "
            "'. People get their rights from the platform team.'",
        ),
    ),
)

BUILT_IN_FINALIZERS = ("kubernetes.io/pvc-protection", "foregroundDeletion", "orphan")
"""Finalizers that the API server sets on behalf of any user."""

FINALIZERS = Policy(
    name="saas-tenant-finalizers",
    promise="Nothing of a tenant keeps its namespace from going when the tenant goes.",
    rules=(Rule("*", ("*/*",)),),
    conditions=TENANTS_USERS,
    variables={
        "before": "oldObject == null ? [] : dyn(oldObject).?metadata.?finalizers.orValue([])",
        "added": "dyn(object).?metadata.?finalizers.orValue([]).filter(one, !(one in variables.before) && "
        f"!(one in {list(BUILT_IN_FINALIZERS)!r}))",
    },
    checks=(
        Check(
            "variables.added.size() == 0",
            "a finalizer that nobody takes away keeps the namespace for ever. Controllers add their own.",
            "'finalizers that nobody takes away keep the namespace for ever: ' + "
            "variables.added.join(', ') + '. Leave them out; controllers add their own.'",
        ),
    ),
)

CLUSTER_SCOPED = ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Node", "PersistentVolume")
"""Kinds outside of all namespaces, whose Events administrators read; their names do not say whose they are."""

ABOUT = ("involvedObject", "regarding", "related")
"""Fields of Events that refer to an object; the first two are one field, in Kubernetes' two groups of Events."""

EVENTS = Policy(
    name="saas-tenant-events",
    promise="A tenant's Events are about objects of its own namespace.",
    rules=(Rule("", ("events",)), Rule("events.k8s.io", ("events",))),
    conditions=TENANTS_USERS,
    variables={
        "about": f"[{', '.join(f'dyn(object).?{name}' for name in ABOUT)}]"
        ".filter(one, one.hasValue()).map(one, one.value())",
        # Objects outside of all namespaces, such as nodes, are in none of the tenant's.
        "foreign": "variables.about.filter(one, one.?namespace.orValue('') != request.namespace || "
        "(one.?kind.orValue('') == 'Namespace' && one.?name.orValue('') != request.namespace) || "
        f"one.?kind.orValue('') in {list(CLUSTER_SCOPED)!r})",
    },
    checks=(
        Check(
            "variables.foreign.size() == 0",
            "an Event is about an object that is not in this namespace. Write the namespace of the tenant into "
            "`regarding` and `related`.",
            "'an Event of ' + request.namespace + ' is about ' + "
            "variables.foreign.map(one, one.?kind.orValue('') + ' ' + one.?namespace.orValue('') + '/' + "
            "one.?name.orValue('')).join(', ') + '. Write objects of this namespace into `regarding` and `related`.'",
        ),
    ),
)

RIGHTS = (PLATFORM_OBJECTS, NAMESPACE, MANAGED_KINDS, ROLE_BINDINGS, FINALIZERS, EVENTS)
