"""Admission of pods and their templates.

Templates are refused so that the reconciler reports the error; pods once more, so that nothing bypasses the template.
"""

from __future__ import annotations

from model.kubernetes.admission.policy import (
    SERVICE_ACCOUNT,
    TENANTS_USER,
    Check,
    Policy,
    Rule,
    enabled,
    limit,
    listed,
    shown,
    unless_same,
)
from model.kubernetes.manifests import (
    MAX_COMPLETIONS,
    MAX_REPLICAS,
    OWNER_LABEL,
    PLATFORM,
    PODS_AS_RECONCILER,
    PRIORITY_CLASSES,
    REGISTRIES,
    RUNTIME_CLASSES,
    STORAGE_CLASSES,
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


def _pods_at_a_time(of: str) -> str:
    """CEL: the number of pods that a controller is to keep running."""
    return (
        f"(request.kind.kind == 'HorizontalPodAutoscaler' ? dyn({of}).spec.maxReplicas : "
        f"request.kind.kind == 'CronJob' ? dyn({of}).spec.jobTemplate.spec.?parallelism.orValue(1) : "
        f"request.kind.kind == 'Job' ? dyn({of}).spec.?parallelism.orValue(1) : "
        f"dyn({of}).?spec.?replicas.orValue(0))"
    )


def _completions(of: str) -> str:
    """CEL: the number of pods that a Job needs altogether."""
    return (
        f"(request.kind.kind == 'CronJob' ? dyn({of}).spec.jobTemplate.spec.?completions.orValue(1) : "
        f"request.kind.kind == 'Job' ? dyn({of}).spec.?completions.orValue(1) : 1)"
    )


REPLICAS = Policy(
    name="saas-tenant-replicas",
    promise="No controller works on more pods of a tenant than its quota has room for.",
    # kube-controller-manager allocates memory for every replica of a StatefulSet before any quota counts its pods.
    rules=(
        Rule(
            "apps",
            (
                "deployments",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ),
        ),
        Rule("", ("replicationcontrollers", "replicationcontrollers/scale")),
        Rule("autoscaling", ("horizontalpodautoscalers",)),
        Rule("batch", ("cronjobs", "jobs")),
    ),
    conditions={
        "spec-changes": unless_same("spec"),
        # In the middle of a rollout, one of a Deployment's ReplicaSets may have a few more than the Deployment.
        "not-of-a-deployment": f"!(request.kind.kind == 'ReplicaSet' && request.userInfo.username in "
        f"['{SERVICE_ACCOUNT}kube-system:deployment-controller', 'system:kube-controller-manager'])",
    },
    variables={
        "replicas": _pods_at_a_time("object"),
        "completions": _completions("object"),
        # An object from before the rule can be scaled down step by step.
        "replicas_before": f"oldObject == null ? 0 : int({_pods_at_a_time('oldObject')})",
        "completions_before": f"oldObject == null ? 0 : int({_completions('oldObject')})",
        "most": limit(MAX_REPLICAS),
        "most_completions": limit(MAX_COMPLETIONS),
    },
    checks=(
        Check(
            "variables.replicas <= variables.most || variables.replicas <= variables.replicas_before",
            "the quota has no room for this many pods at a time. Lower replicas, maxReplicas or parallelism, or ask "
            "the platform team to raise `pods` below `quota` in tenants.yaml.",
            "'the quota has room for ' + string(variables.most) + ' pods at a time, not ' + "
            "string(variables.replicas) + '. Lower replicas, maxReplicas or parallelism, or ask the platform team to "
            "raise `pods` below `quota` in tenants.yaml.'",
        ),
        Check(
            "variables.completions <= variables.most_completions || "
            "variables.completions <= variables.completions_before",
            "the quota has no room for this many pods that have ended. Lower completions, or ask the platform team to "
            "raise `count/pods` below `quota` in tenants.yaml.",
            "'the quota has room for ' + string(variables.most_completions) + ' pods that have ended, not ' + "
            "string(variables.completions) + '. Lower completions, or ask the platform team to raise `count/pods` "
            "below `quota` in tenants.yaml.'",
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
        Check(
            # Pod Security permits it to pods with user namespaces of their own.
            "variables.level == 'privileged' || "
            "variables.containers.all(one, one.?securityContext.?procMount.orValue('Default') == 'Default')",
            "without its masks /proc shows and changes settings of the node's kernel. Leave procMount out.",
        ),
    ),
)

MOST_CONSTRAINTS = 100
"""The highest number of a pod's rules for the scheduler."""

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
        "node_affinity": "variables.pod.?affinity.?nodeAffinity.orValue({})",
        # What holds labels against expressions: (anti-)affinity to pods, spread, affinity to nodes.
        "selectors": "variables.terms.map(one, one.?labelSelector.orValue({})) + "
        "variables.pod.?topologySpreadConstraints.orValue([]).map(one, one.?labelSelector.orValue({})) + "
        "variables.node_affinity.?requiredDuringSchedulingIgnoredDuringExecution.?nodeSelectorTerms.orValue([]) + "
        "variables.node_affinity.?preferredDuringSchedulingIgnoredDuringExecution.orValue([])"
        ".map(one, one.preference)",
        "constraints": "variables.tolerated.size() + variables.selectors.map(one, 1 + "
        "one.?matchExpressions.orValue([]).size() + one.?matchFields.orValue([]).size()).sum()",
        "runtime": "variables.pod.?runtimeClassName.orValue('')",
        "runtimes": listed(RUNTIME_CLASSES),
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
        Check(
            # It compares them with every node, anti-affinities with every new pod of any tenant.
            f"variables.constraints <= {MOST_CONSTRAINTS}",
            f"the scheduler works on each of them for all tenants. Leave at most {MOST_CONSTRAINTS} affinities, "
            "expressions, tolerations and topologySpreadConstraints.",
        ),
        Check(
            "variables.pod.?schedulerName.orValue('default-scheduler') == 'default-scheduler'",
            "another scheduler may ignore which nodes are meant for tenants. Leave schedulerName out.",
        ),
        Check(
            # Its class may bring tolerations and a nodeSelector.
            "variables.runtime == '' || variables.runtime in variables.runtimes",
            "pods of this tenant may not have this RuntimeClass. Leave runtimeClassName out, or ask the platform team "
            "to add the class to `runtimeClasses` in tenants.yaml.",
            "'pods of this tenant may not have the RuntimeClass ' + variables.runtime + ' (allowed: ' + "
            f"{shown('variables.runtimes')} + '). Leave runtimeClassName out, or ask the platform team to add the "
            "class to `runtimeClasses` in tenants.yaml.'",
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
            "variables.claims.all(one, one.spec.?volumeName.orValue('') == '' && !has(one.spec.selector) && "
            "!has(one.spec.volumeAttributesClassName))",
            "a template of claims chooses its volume, which may be another tenant's, or what it costs. Leave out "
            "volumeName, selector and volumeAttributesClassName.",
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
        Check(
            "!has(object.spec.volumeAttributesClassName) || (oldObject != null && "
            "has(oldObject.spec.volumeAttributesClassName) && "
            "oldObject.spec.volumeAttributesClassName == object.spec.volumeAttributesClassName)",
            "a VolumeAttributesClass changes what a volume costs. Leave volumeAttributesClassName out, or ask the "
            "platform team to set it on the claim.",
        ),
    ),
)

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
"""The annotation of a claim that still wins over storageClassName."""

STORAGE = Policy(
    name="saas-tenant-storage-classes",
    promise="A tenant's volumes are made by a StorageClass that its tier allows.",
    # Whoever creates the claim: claims from templates come from Kubernetes' controllers.
    rules=(*TEMPLATES, NEW_PODS, Rule("", ("persistentvolumeclaims",))),
    conditions={"spec-changes": unless_same("spec")},
    variables={
        **POD,
        "templates": CLAIM_TEMPLATES,
        "is_claim": "request.kind.kind == 'PersistentVolumeClaim'",
        "chosen": "(variables.is_claim ? [dyn(object)] : variables.templates)"
        f".map(one, one.?metadata.?annotations[?'{BETA_CLASS}'].or(one.?spec.?storageClassName))",
        # The API server has filled in the cluster's default class. A claim still without any takes volumes that have
        # no class either, as one with an empty class does; a template may leave it out.
        "classes": "variables.chosen.filter(one, variables.is_claim || one.hasValue()).map(one, one.orValue(''))",
        "allowed": listed(STORAGE_CLASSES),
        "foreign": "variables.classes.filter(one, one != '' && variables.allowed.size() > 0 && "
        "!(one in variables.allowed))",
    },
    checks=(
        Check(
            "!('' in variables.classes)",
            "a claim without a StorageClass takes a volume that was made for another tenant. Name a class; leave "
            "storageClassName out only if the cluster has a default class.",
        ),
        Check(
            "variables.foreign.size() == 0",
            "claims of this tenant may not have this StorageClass. Use another, or ask the platform team to add it to "
            "`storageClasses` in tenants.yaml.",
            "'claims of this tenant may not have the StorageClass ' + variables.foreign.join(', ') + '. Use ' + "
            "variables.allowed.join(' or ') + ', or ask the platform team to add the class to `storageClasses` in "
            "tenants.yaml.'",
        ),
    ),
)

LONGEST_GRACE = 600
"""Maximum grace period in seconds: a tenant's removal waits for its pods."""

ENDINGS = Policy(
    name="saas-tenant-endings",
    promise="What Kubernetes makes for a tenant goes with its namespace, and does not pass as the platform's.",
    rules=(*TEMPLATES, NEW_PODS),
    conditions={"spec-changes": unless_same("spec"), **NOT_FROM_A_TEMPLATE},
    variables={
        **POD,
        # Controllers copy finalizers and labels from templates to jobs, pods and claims.
        "templates": "request.kind.kind == 'Pod' ? [] : request.kind.kind == 'CronJob' ? "
        "[dyn(object).spec.jobTemplate, dyn(object).spec.jobTemplate.spec.template] : [dyn(object).spec.template]",
        "claims": CLAIM_TEMPLATES,
        "metadata": "(variables.templates + variables.claims).map(one, one.?metadata)",
        "finalizers": "variables.metadata.map(one, one.?finalizers.orValue([])).flatten()",
    },
    checks=(
        Check(
            "variables.finalizers.size() == 0",
            "a template's finalizers, which nobody takes away, keep the namespace for ever. Leave them out.",
        ),
        Check(
            f"!variables.metadata.exists(one, one.?labels[?'{OWNER_LABEL}'].orValue('') == '{PLATFORM}')",
            f"a template's label {OWNER_LABEL}: {PLATFORM} marks the platform's own objects. Leave it out.",
        ),
        Check(
            f"variables.pod.?terminationGracePeriodSeconds.orValue(30) <= {LONGEST_GRACE}",
            f"the namespace waits for its pods to end. Leave terminationGracePeriodSeconds at {LONGEST_GRACE} or less.",
        ),
    ),
)

DELETIONS = Policy(
    name="saas-tenant-deletions",
    promise="Nothing that Kubernetes makes for a tenant keeps its namespace from going when the tenant goes.",
    rules=(Rule("", ("pods",), ("DELETE",)), Rule("", ("pods/eviction",), ("CREATE",))),
    conditions={"tenants-user": TENANTS_USER},
    variables={
        "grace": "(request.?subResource.orValue('') == 'eviction' ? dyn(object).?deleteOptions.?gracePeriodSeconds : "
        "dyn(request).?options.?gracePeriodSeconds).orValue(0)",
    },
    checks=(
        Check(
            # Once a pod is being deleted, the deletion of its namespace no longer shortens this.
            f"variables.grace <= {LONGEST_GRACE}",
            f"the namespace waits for its pods to end. Leave gracePeriodSeconds at {LONGEST_GRACE} or less.",
        ),
    ),
)

WORKLOADS = (
    IMAGES,
    REPLICAS,
    PRIORITY,
    NODES,
    PLACEMENT,
    ACCOUNTS,
    TOKENS,
    VOLUMES,
    CLAIMS,
    STORAGE,
    ENDINGS,
    DELETIONS,
)
