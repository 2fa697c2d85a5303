"""Admission of pods and their templates.

Templates are refused so that the reconciler reports the error; pods once more, so that nothing bypasses the template.
"""

from __future__ import annotations

from model.kubernetes.admission.policy import (
    PODS_AS_RECONCILER,
    PRIORITY_CLASSES,
    REGISTRIES,
    SERVICE_ACCOUNT,
    TENANTS_USER,
    Check,
    Policy,
    Rule,
    enabled,
    listed,
    shown,
    unless_same,
)

TEMPLATES = (
    Rule("apps", ("deployments", "statefulsets", "daemonsets", "replicasets")),
    Rule("batch", ("jobs", "cronjobs")),
    Rule("", ("replicationcontrollers",)),
)
PODS = Rule("", ("pods",))
NEW_PODS = Rule("", ("pods",), ("CREATE",))
"""For fields of a pod that cannot change later."""


def _pod(of: str) -> str:
    """CEL: the pod spec of an object of any of these kinds."""
    return (
        f"(request.kind.kind == 'Pod' ? dyn({of}).spec : "
        f"request.kind.kind == 'CronJob' ? dyn({of}).spec.jobTemplate.spec.template.spec : "
        f"dyn({of}).spec.template.spec)"
    )


POD = {"pod": _pod("object")}
PODS_CHANGE = {
    # A controller has to be able to scale down pods that are older than the rule.
    "pods-change": f"request.operation == 'CREATE' || {_pod('object')} != {_pod('oldObject')}"
}
NOT_FROM_A_TEMPLATE = {
    # Pods from Kubernetes' controllers have the class of an admitted template, or the cluster's default.
    "not-from-a-template": "!(request.kind.kind == 'Pod' && "
    f"request.userInfo.username.startsWith('{SERVICE_ACCOUNT}kube-system:'))"
}

CONTAINERS = {
    "containers": "variables.pod.containers + variables.pod.?initContainers.orValue([]) + "
    "variables.pod.?ephemeralContainers.orValue([])"
}

IMAGES = Policy(
    name="saas-tenant-images",
    promise="A tenant's images come from registries that the platform team chose for it.",
    rules=(*TEMPLATES, Rule("", ("pods", "pods/ephemeralcontainers"))),
    conditions=PODS_CHANGE,
    variables={
        **POD,
        **CONTAINERS,
        "registries": listed(REGISTRIES),
        "mounted": "variables.pod.?volumes.orValue([]).map(one, one.?image.?reference.orValue('')).filter(i, i != '')",
        # Names as a node completes them: nginx is docker.io/library/nginx.
        "hosted": "(variables.containers.map(one, one.?image.orValue('')) + variables.mounted)"
        ".map(i, i.startsWith('index.docker.io/') ? 'docker.io/' + i.substring(16) : i)"
        ".map(i, i.matches('^([^/]*[.:A-Z][^/]*|localhost)/') ? i : 'docker.io/' + i)",
        "images": "variables.hosted"
        ".map(i, i.matches('^docker[.]io/[^/]*$') ? 'docker.io/library/' + i.substring(10) : i)",
        # With a slash at the end, ghcr.io/acme is not a prefix of ghcr.io/acme-other.
        "foreign": "variables.images.filter(i, !variables.registries.exists(registry, "
        "i.startsWith(registry.endsWith('/') ? registry : registry + '/')))",
    },
    checks=(
        Check(
            "variables.registries.size() == 0 || variables.foreign.size() == 0",
            "an image comes from a registry that this tenant may not use. Use one of the registries in the "
            "namespace's annotation, or ask the platform team to add this one to `registries` in tenants.yaml.",
            "'not from a registry of this tenant: ' + variables.foreign.join(', ') + '. Use ' + "
            "variables.registries.join(' or ') + ', or ask the platform team to add the registry to `registries` in "
            "tenants.yaml.'",
        ),
    ),
)

PRIORITY = Policy(
    name="saas-tenant-priority",
    promise="No tenant's pods push others off a node, unless its tier allows the class.",
    rules=(*TEMPLATES, NEW_PODS),
    conditions={**PODS_CHANGE, **NOT_FROM_A_TEMPLATE},
    variables={
        **POD,
        "class": "variables.pod.?priorityClassName.orValue('')",
        "classes": listed(PRIORITY_CLASSES),
    },
    checks=(
        Check(
            "variables.class == '' || (variables.class in variables.classes && !variables.class.startsWith('system-'))",
            "pods of this tenant may not have this PriorityClass. Leave priorityClassName out, or ask the platform "
            "team to add the class to `priorityClasses` in tenants.yaml.",
            "'pods of this tenant may not have the PriorityClass ' + variables.class + ' (allowed: ' + "
            f"{shown('variables.classes')} + '). Leave priorityClassName out, or ask the platform team to add the "
            "class to `priorityClasses` in tenants.yaml.'",
        ),
    ),
)

NODES = Policy(
    name="saas-tenant-nodes",
    promise="A tenant's pods share nothing with the node that they run on, whatever Pod Security level it has.",
    rules=(*TEMPLATES, NEW_PODS),
    conditions=PODS_CHANGE,
    variables={
        **POD,
        **CONTAINERS,
        "hostPaths": "variables.pod.?volumes.orValue([]).filter(one, has(one.hostPath)).map(one, one.name)",
        "namespaces": "['hostNetwork', 'hostPID', 'hostIPC'].filter(one, variables.pod[?one].orValue(false))",
        "level": "namespaceObject.metadata.?labels[?'pod-security.kubernetes.io/enforce'].orValue('')",
    },
    checks=(
        Check(
            "variables.hostPaths.size() == 0",
            "a hostPath volume is a folder of the node, which is other tenants' too. Use emptyDir, a "
            "PersistentVolumeClaim, a ConfigMap or a Secret.",
            "'hostPath volumes are folders of the node, which are other tenants\\' too: ' + "
            "variables.hostPaths.join(', ') + '. Use emptyDir, a PersistentVolumeClaim, a ConfigMap or a Secret.'",
        ),
        Check(
            "variables.namespaces.size() == 0",
            "pods of tenants have their own network, processes and memory. Leave hostNetwork, hostPID and hostIPC out.",
            "'pods of tenants have their own network, processes and memory. Leave out: ' + "
            "variables.namespaces.join(', ') + '.'",
        ),
        Check(
            "variables.containers.all(one, one.?ports.orValue([]).all(port, port.?hostPort.orValue(0) == 0))",
            "a hostPort takes the port from everybody else on the node. Leave hostPort out and use a Service.",
        ),
        # Pod Security refuses pods but only warns about templates: the reconciler would report success.
        Check(
            "variables.level == 'privileged' || "
            "variables.containers.all(one, !one.?securityContext.?privileged.orValue(false))",
            "a privileged container is root on its node. Leave securityContext.privileged out and name the "
            "capabilities that it needs.",
        ),
    ),
)

PLACEMENT = Policy(
    name="saas-tenant-placement",
    promise="The scheduler places a tenant's pods, on nodes that are meant for them.",
    # A pending pod can get tolerations.
    rules=(*TEMPLATES, PODS),
    conditions=PODS_CHANGE,
    variables={
        **POD,
        "tolerated": "variables.pod.?tolerations.orValue([]).map(one, one.?key.orValue(''))",
        "affinities": "[variables.pod.?affinity.?podAffinity, variables.pod.?affinity.?podAntiAffinity]"
        ".filter(one, one.hasValue()).map(one, one.value())",
        "terms": "variables.affinities.map(one, "
        "one.?requiredDuringSchedulingIgnoredDuringExecution.orValue([]) + "
        "one.?preferredDuringSchedulingIgnoredDuringExecution.orValue([]).map(some, some.podAffinityTerm)).flatten()",
    },
    checks=(
        Check(
            # On a running pod it is set, and immutable.
            "request.kind.kind == 'Pod' && request.operation == 'UPDATE' || variables.pod.?nodeName.orValue('') == ''",
            "nodeName goes around the scheduler, and with it around taints and free capacity. Leave it out; "
            "nodeSelector and affinity choose among the nodes that are meant for tenants.",
        ),
        Check(
            "!('' in variables.tolerated)",
            "a toleration without a key tolerates every taint, those of other tenants' nodes included. Name the key.",
        ),
        Check(
            "variables.tolerated.all(key, !(key in ['node-role.kubernetes.io/control-plane', "
            "'node-role.kubernetes.io/master', 'CriticalAddonsOnly']))",
            "this toleration is for the cluster's own pods. Leave it out.",
        ),
        Check(
            # The scheduler respects the anti-affinity of running pods for every new pod.
            "variables.terms.all(one, !has(one.namespaceSelector) && "
            "one.?namespaces.orValue([]).all(some, some == request.namespace))",
            "an affinity to pods of other namespaces keeps them off nodes, or tells where they are. Leave namespaces "
            "and namespaceSelector out.",
        ),
    ),
)

ACCOUNTS = Policy(
    name="saas-tenant-accounts",
    promise="A product does not run as its own reconciler: who breaks into a pod cannot redeploy the tenant.",
    rules=(*TEMPLATES, NEW_PODS),
    conditions=PODS_CHANGE,
    variables=POD,
    checks=(
        Check(
            f"variables.pod.?serviceAccountName.orValue('') != request.namespace || {enabled(PODS_AS_RECONCILER)}",
            "this service account is the reconciler's. Give the product one of its own, and only the rights it needs.",
            "'the service account ' + request.namespace + ' is the reconciler\\'s. Give the product one of its own, "
            "and only the rights that it needs.'",
        ),
    ),
)

TOKENS = Policy(
    name="saas-tenant-tokens",
    promise="No token of a service account lies in a Secret, where it never ends.",
    rules=(Rule("", ("secrets",), ("CREATE",)),),
    checks=(
        Check(
            "object.?type.orValue('') != 'kubernetes.io/service-account-token'",
            "such a Secret would hold a token that never ends. Pods get one of their account that is renewed; see "
            "`serviceAccountToken` below `projected` for one with another audience.",
        ),
    ),
)

DRIVERS = ("csi.cert-manager.io", "csi.spiffe.io", "secrets-store.csi.k8s.io")
"""CSI drivers with volumes of the pod's own; others let the pod name the address of a server."""

VOLUME_KINDS = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "hostPath",  # has its own reason above
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
"""Kinds of volumes that hold the tenant's own data, or use a claim. All others name storage by its address."""

CLAIM_TEMPLATES = (
    "variables.pod.?volumes.orValue([]).map(one, one.?ephemeral.?volumeClaimTemplate).filter(one, one.hasValue())"
    ".map(one, one.value()) + "
    "(request.kind.kind == 'StatefulSet' ? dyn(object).spec.?volumeClaimTemplates.orValue([]) : [])"
)

VOLUMES = Policy(
    name="saas-tenant-volumes",
    promise="A tenant gets new volumes, and takes none that was made for another.",
    rules=(*TEMPLATES, NEW_PODS),
    conditions=PODS_CHANGE,
    variables={
        **POD,
        "volumes": "variables.pod.?volumes.orValue([])",
        "foreign": "variables.volumes.filter(one, one.exists(key, key != 'name' && "
        f"!(key in {list(VOLUME_KINDS)!r}))).map(one, one.name)",
        "claims": CLAIM_TEMPLATES,
    },
    checks=(
        Check(
            "variables.foreign.size() == 0",
            "a volume names storage by its address, which may be another tenant's. Use a PersistentVolumeClaim.",
            "'these volumes name storage by its address, which may be another tenant\\'s: ' + "
            "variables.foreign.join(', ') + '. Use a PersistentVolumeClaim.'",
        ),
        Check(
            f"variables.volumes.all(one, one.?csi.?driver.orValue('{DRIVERS[0]}') in {list(DRIVERS)!r})",
            "a csi volume names storage by its address, which may be another tenant's. Use a PersistentVolumeClaim; "
            f"of drivers a pod may name {', '.join(DRIVERS)}.",
        ),
        Check(
            # Kubernetes' controllers create the claims, so the policy for the tenant's claims does not match them.
            "variables.claims.all(one, one.spec.?volumeName.orValue('') == '' && !has(one.spec.selector))",
            "a template of claims chooses its volume, which may be another tenant's. Leave out volumeName and "
            "selector.",
        ),
    ),
)

CLAIMS = Policy(
    name="saas-tenant-claims",
    promise=VOLUMES.promise,
    rules=(Rule("", ("persistentvolumeclaims",)),),
    conditions={"tenants-user": TENANTS_USER},
    checks=(
        Check(
            "object.spec.?volumeName.orValue('') == '' || (oldObject != null && "
            "oldObject.spec.?volumeName.orValue('') == object.spec.?volumeName.orValue(''))",
            "a claim that names its volume may get one that was made for another tenant. Leave volumeName out; for an "
            "existing volume the platform team sets claimRef in the PersistentVolume.",
        ),
        Check(
            "request.operation != 'CREATE' || !has(object.spec.selector)",
            "a claim that selects its volume may get one that was made for another tenant. Leave selector out.",
        ),
    ),
)

LONGEST_GRACE = 600
"""Maximum grace period in seconds: a tenant's removal waits for its pods."""

ENDINGS = Policy(
    name="saas-tenant-endings",
    promise="Nothing that Kubernetes makes for a tenant keeps its namespace from going when the tenant goes.",
    rules=(*TEMPLATES, NEW_PODS),
    conditions={"spec-changes": unless_same("spec"), **NOT_FROM_A_TEMPLATE},
    variables={
        **POD,
        # Controllers copy finalizers from templates to pods and claims.
        "templates": "request.kind.kind == 'Pod' ? [] : request.kind.kind == 'CronJob' ? "
        "[dyn(object).spec.jobTemplate, dyn(object).spec.jobTemplate.spec.template] : [dyn(object).spec.template]",
        "claims": CLAIM_TEMPLATES,
        "finalizers": "(variables.templates + variables.claims)"
        ".map(one, one.?metadata.?finalizers.orValue([])).flatten()",
    },
    checks=(
        Check(
            "variables.finalizers.size() == 0",
            "a template's finalizers, which nobody takes away, keep the namespace for ever. Leave them out.",
        ),
        Check(
            f"variables.pod.?terminationGracePeriodSeconds.orValue(30) <= {LONGEST_GRACE}",
            f"the namespace waits for its pods to end. Leave terminationGracePeriodSeconds at {LONGEST_GRACE} or less.",
        ),
    ),
)

WORKLOADS = (IMAGES, PRIORITY, NODES, PLACEMENT, ACCOUNTS, TOKENS, VOLUMES, CLAIMS, ENDINGS)
