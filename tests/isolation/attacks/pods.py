"""Attacks by pods: images, nodes, priorities, accounts, volumes, limits, and objects that never end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.kubernetes.manifests import OWNER_LABEL, PLATFORM, Manifest
from tests.isolation import objects as of
from tests.isolation.attack import (
    ADMIN,
    BASIC,
    CLUSTER_ADMIN,
    FORBIDDEN,
    NEIGHBOUR,
    OWN,
    STRICT,
    WIDE,
    Attack,
    commit,
    request,
)
from tests.isolation.defences import ADMISSION, LIMITS, POD_SECURITY, QUOTA, ROLE, SPACE, admission_policy

IS_LINUX = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


def images() -> Iterator[Attack]:
    """Images from registries that the tenant may not use."""
    defence, reason = (admission_policy("images"),), "not from a registry of this tenant: "

    def image(name: str) -> Manifest:
        return {"container": {"image": name}}

    evil = "quay.io/evil/miner:1"
    for what, build in (
        ("a Deployment", of.deployment),
        ("a StatefulSet", of.stateful_set),
        ("a Job", of.job),
        ("a CronJob", of.cron_job),
        ("a pod", of.pod),
    ):
        yield request(
            f"{what} runs an image of a foreign registry", defence, reason + evil, build(WIDE, **image(evil)), WIDE
        )
    for what, name, full in (
        (
            "a registry named like the start of an allowed one",
            "ghcr.io/stefanprodan-evil/x",
            "ghcr.io/stefanprodan-evil/x",
        ),
        ("somebody's image on Docker Hub", "evil/miner", "docker.io/evil/miner"),
        ("another port of an allowed registry", "registry.k8s.io:8443/x", "registry.k8s.io:8443/x"),
        ("Docker Hub by its other name", "index.docker.io/evil/miner", "docker.io/evil/miner"),
    ):
        yield request(f"an image comes from {what}", defence, reason + full, of.deployment(WIDE, **image(name)), WIDE)
    hidden = [{**of.CONTAINER, "name": "hidden", "image": evil}]
    volume = [{"name": "hidden", "image": {"reference": evil}}]
    yield request(
        "an init container runs a foreign image",
        defence,
        reason + evil,
        of.deployment(WIDE, initContainers=hidden),
        WIDE,
    )
    yield request("a volume is a foreign image", defence, reason + evil, of.deployment(WIDE, volumes=volume), WIDE)
    running = of.pod(CLUSTER_ADMIN)
    running["metadata"]["name"] = "running"
    yield request(
        "a debug container with a foreign image is added to a running pod",
        defence,
        reason + evil,
        {**running, "spec": {"ephemeralContainers": [{"name": "hidden", "image": evil}]}},
        CLUSTER_ADMIN,
        "merge",
        "ephemeralcontainers",
        given=(running,),
    )
    yield request(
        "a running pod's image is changed",
        defence,
        reason + evil,
        {**running, "spec": {"containers": [{"name": "product", "image": evil}]}},
        CLUSTER_ADMIN,
        "strategic",
        given=(running,),
    )


def pods() -> Iterator[Attack]:
    """Pods that share something with their node, or take something from others."""

    def tries(
        name: str, policy: str, reason: str, *, build: Any = of.deployment, tenant: str = BASIC, **changes: Any
    ) -> Attack:
        return request(name, (admission_policy(policy),), reason, build(tenant, **changes), tenant)

    for kind in ("platform", "system-node-critical"):
        reason = f"may not have the PriorityClass {kind}"
        yield tries(f"a Deployment takes the priority {kind}", "priority", reason, priorityClassName=kind)
    reason = "may not have the PriorityClass platform (allowed: business-hours)"
    yield tries("a pod takes a priority", "priority", reason, build=of.pod, tenant=WIDE, priorityClassName="platform")

    host_path = [{"name": "node", "hostPath": {"path": "/"}}]
    for build in (of.deployment, of.pod, of.cron_job):
        what = build.__name__.replace("_", " ")
        reason = "hostPath volumes are folders of the node, which are other tenants' too: node"
        yield tries(f"a {what} mounts the node's root", "nodes", reason, build=build, tenant=WIDE, volumes=host_path)
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        reason = f"Leave out: {field}"
        yield tries(f"a Deployment uses the node's own: {field}", "nodes", reason, tenant=WIDE, **{field: True})
    port = {"ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]}
    yield tries("a Deployment takes a port of the node", "nodes", "a hostPort takes", tenant=WIDE, container=port)
    privileged = {"securityContext": {"privileged": True}}
    yield tries("a Deployment is root on its node", "nodes", "is root on its node", container=privileged)

    yield tries("a Deployment chooses its node", "placement", "nodeName goes around", nodeName="simulated-a")
    yield tries(
        "a pod chooses its node", "placement", "nodeName goes", build=of.pod, tenant=WIDE, nodeName="simulated-a"
    )
    every = [{"operator": "Exists"}]
    yield tries("a Deployment tolerates every taint", "placement", "tolerates every taint", tolerations=every)
    control = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]
    waiting = of.pod(CLUSTER_ADMIN, schedulingGates=[{"name": "example.com/never"}])
    waiting["metadata"]["name"] = "waiting"
    others = {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {}}
    for what, reach in (
        ("all other tenants", {"namespaceSelector": {}}),
        ("a neighbour", {"namespaces": [NEIGHBOUR]}),
    ):
        term = {**others, **reach}
        for kind, rule in (
            ("podAntiAffinity", {REQUIRED: [term]}),
            ("podAffinity", {PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}),
        ):
            doing = "keeps out of its zone" if "Anti" in kind else "stays near"
            reason = "an affinity to pods of other namespaces"
            yield tries(f"a Deployment {doing} {what}", "placement", reason, affinity={kind: rule})
    term = {"labelSelector": {"matchExpressions": [{"key": "x", "operator": "Exists"}] * 40}, "topologyKey": "zone"}
    many = {"podAntiAffinity": {REQUIRED: [term] * 3}}
    yield tries("a Deployment has the scheduler compare for ever", "placement", "the scheduler works", affinity=many)
    nodes = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [IS_LINUX]}] * 101}}}
    yield tries("a Deployment has every node compared for ever", "placement", "the scheduler works", affinity=nodes)
    yield tries("a Deployment chooses its scheduler", "placement", "another scheduler", schedulerName="greedy")
    reason = "may not have the RuntimeClass on-the-platforms-nodes (allowed: none)"
    yield tries("a Deployment takes a RuntimeClass", "placement", reason, runtimeClassName="on-the-platforms-nodes")
    yield tries(
        "a Deployment takes a RuntimeClass that its tier does not list",
        "placement",
        "(allowed: sandboxed)",
        tenant=WIDE,
        runtimeClassName="on-the-platforms-nodes",
    )
    unmasked = {"securityContext": {"procMount": "Unmasked"}}
    reason = "without its masks /proc"
    yield tries("a Deployment sees all of /proc", "nodes", reason, container=unmasked, hostUsers=False)
    yield tries("a Deployment moves to the control plane", "placement", "for the cluster's own", tolerations=control)

    yield request(
        "a pod that waits gets a toleration of every taint",
        (admission_policy("placement"),),
        "tolerates every taint",
        waiting,
        CLUSTER_ADMIN,
        "json",
        body=[{"op": "add", "path": "/spec/tolerations/-", "value": every[0]}],
        given=(waiting,),
    )
    for what, build, tenant in (("a Deployment", of.deployment, BASIC), ("a pod", of.pod, WIDE)):
        for kind, volume in (
            ("a neighbour's EBS volume", {"awsElasticBlockStore": {"volumeID": "vol-0123456789abcdef0"}}),
            ("a file server by its address", {"nfs": {"server": "10.0.0.10", "path": "/"}}),
        ):
            reason = "name storage by its address"
            volumes = [{"name": "theirs", **volume}]
            yield tries(f"{what} mounts {kind}", "volumes", reason, build=build, tenant=tenant, volumes=volumes)
    server = {"driver": "nfs.csi.k8s.io", "volumeAttributes": {"server": "10.0.0.10", "share": "/"}}
    volumes = [{"name": "theirs", "csi": server}]
    yield tries("a Deployment mounts a file server by a driver", "volumes", "a csi volume names", volumes=volumes)
    template = {"volumeClaimTemplate": {"spec": of.claim(BASIC, volumeName="neighbours")["spec"]}}
    reason = "a template of claims chooses its volume"
    volumes = [{"name": "theirs", "ephemeral": template}]
    yield tries("a Deployment's pods claim another's volume", "volumes", reason, volumes=volumes)
    replicated = of.stateful_set(BASIC)
    claim = {"metadata": {"name": "data"}, "spec": of.claim(BASIC, volumeName="neighbours")["spec"]}
    replicated["spec"]["volumeClaimTemplates"] = [claim]
    yield request("a StatefulSet claims another's volume", (admission_policy("volumes"),), reason, replicated)
    selector = {"matchLabels": {"of": NEIGHBOUR}}
    template = {"volumeClaimTemplate": {"spec": of.claim(BASIC, selector=selector)["spec"]}}
    volumes = [{"name": "theirs", "ephemeral": template}]
    yield tries("a Deployment's pods select another's volume", "volumes", reason, volumes=volumes)
    template = {"volumeClaimTemplate": {"spec": of.claim(BASIC, volumeAttributesClassName="costly")["spec"]}}
    volumes = [{"name": "theirs", "ephemeral": template}]
    yield tries("a Deployment's pods choose what their volumes cost", "volumes", reason, volumes=volumes)
    yield tries(
        "a claim selects another's volume", "claims", "that selects its volume", build=of.claim, selector=selector
    )

    reason = "the service account basic is the reconciler's"
    yield tries("a Deployment runs as the reconciler", "accounts", reason, serviceAccountName=BASIC)
    yield tries(
        "a CronJob runs as the reconciler, by the old field",
        "accounts",
        reason,
        build=of.cron_job,
        serviceAccount=BASIC,
    )
    yield request(
        "a Secret asks for the reconciler's token",
        (admission_policy("tokens"),),
        "a token that never ends",
        of.make(
            "Secret",
            BASIC,
            type="kubernetes.io/service-account-token",
            metadata={"annotations": {"kubernetes.io/service-account.name": BASIC}},
        ),
    )
    yield tries("a claim takes another's volume", "claims", "names its volume", build=of.claim, volumeName="neighbours")
    pending = of.claim(BASIC)
    pending["metadata"]["name"] = "pending"
    yield request(
        "a claim that waits takes another's volume",
        (admission_policy("claims"),),
        "names its volume",
        {**pending, "spec": {"volumeName": "neighbours"}},
        verb="merge",
        given=(pending,),
    )


HUGE = 2_147_483_647
"""For each of so many replicas of a StatefulSet, kube-controller-manager allocates memory until it is killed."""


def numbers() -> Iterator[Attack]:
    """Numbers that Kubernetes' controllers turn into work before any quota counts.

    Without the policy each is only tried as a dry run, which stores nothing: no controller has to be restarted.
    """
    pods, ended = (
        "the quota has room for 20 pods at a time, not",
        "the quota has room for 200 pods that have ended, not",
    )

    def tries(name: str, reason: str, manifest: Manifest, tenant: str = BASIC, **how: Any) -> Attack:
        return request(name, (admission_policy("replicas"),), reason, manifest, tenant, **how)

    def of_spec(manifest: Manifest, **fields: Any) -> Manifest:
        return {**manifest, "spec": {**manifest["spec"], **fields}}

    for build in (of.deployment, of.stateful_set):
        kind = build(BASIC)["kind"]
        for count in (21, HUGE):
            yield tries(f"a {kind} of {count} replicas", f"{pods} {count}", of_spec(build(BASIC), replicas=count))
    replica_set = of_spec({**of.deployment(CLUSTER_ADMIN), "kind": "ReplicaSet"}, replicas=HUGE)
    yield tries(f"a ReplicaSet of {HUGE} replicas", pods, replica_set, CLUSTER_ADMIN)
    controller = of_spec(
        {**replica_set, "kind": "ReplicationController", "apiVersion": "v1"}, selector={"app": "product"}
    )
    yield tries(f"a ReplicationController of {HUGE} replicas", pods, controller, CLUSTER_ADMIN)
    for manifest in (of.deployment(CLUSTER_ADMIN), of.stateful_set(CLUSTER_ADMIN), replica_set, controller):
        scaled = of_spec({**manifest, "metadata": {**manifest["metadata"], "name": "scaled"}}, replicas=0)
        yield tries(
            f"a {manifest['kind']} is scaled to {HUGE} replicas",
            pods,
            scaled,
            CLUSTER_ADMIN,
            verb="merge",
            subresource="scale",
            body={"spec": {"replicas": HUGE}},
            given=(scaled,),
        )
    autoscaler = of_spec(of.autoscaler(BASIC), maxReplicas=HUGE)
    yield tries(f"an autoscaler goes up to {HUGE} replicas", pods, autoscaler)
    older = {**autoscaler, "apiVersion": "autoscaling/v1", "spec": {**autoscaler["spec"], "metrics": None}}
    del older["spec"]["metrics"]
    yield tries(f"an autoscaler of version 1 goes up to {HUGE} replicas", pods, older)
    yield tries(f"a Job runs {HUGE} pods at a time", pods, of_spec(of.job(BASIC), parallelism=HUGE))
    yield tries(f"a Job ends after {HUGE} pods", ended, of_spec(of.job(BASIC), completions=HUGE))
    for field, reason in (("parallelism", pods), ("completions", ended)):
        cron_job = of.cron_job(BASIC)
        cron_job["spec"]["jobTemplate"]["spec"] |= {field: HUGE}
        yield tries(f"a CronJob's Jobs have {field} of {HUGE}", reason, cron_job)


def storage() -> Iterator[Attack]:
    """Claims of StorageClasses by which volumes of others are taken."""
    none, beta = "a claim without a StorageClass takes", "volume.beta.kubernetes.io/storage-class"

    def tries(name: str, reason: str, manifest: Manifest, tenant: str = BASIC) -> Attack:
        return request(name, (admission_policy("storage-classes"),), reason, manifest, tenant)

    def templates(tenant: str, storage_class: str) -> Iterator[tuple[str, Manifest]]:
        claim = {"metadata": {"name": "data"}, "spec": {**of.claim(tenant)["spec"], "storageClassName": storage_class}}
        replicated = of.stateful_set(tenant)
        replicated["spec"]["volumeClaimTemplates"] = [claim]
        yield "a StatefulSet's claims", replicated
        volumes = [{"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": claim["spec"]}}}]
        yield "a Deployment's own volumes", of.deployment(tenant, volumes=volumes)
        if tenant == WIDE:
            yield "a pod's own volume", of.pod(tenant, volumes=volumes)

    yield tries("a claim has no StorageClass", none, of.claim(BASIC, storageClassName=""))
    annotated = of.claim(BASIC)
    annotated["metadata"]["annotations"] = {beta: ""}
    yield tries("a claim has no StorageClass by the old annotation", none, annotated)
    for what, manifest in templates(BASIC, ""):
        yield tries(f"{what} have no StorageClass", none, manifest)
    reason = "may not have the StorageClass prepared. Use standard or fast"
    yield tries("a claim has a foreign StorageClass", reason, of.claim(WIDE, storageClassName="prepared"), WIDE)
    annotated = of.claim(WIDE)
    annotated["metadata"]["annotations"] = {beta: "prepared"}
    yield tries("a claim has a foreign StorageClass by the old annotation", reason, annotated, WIDE)
    for what, manifest in templates(WIDE, "prepared"):
        yield tries(f"{what}: a foreign StorageClass", reason, manifest, WIDE)
    claims = (admission_policy("claims"),)
    costly = of.claim(BASIC, volumeAttributesClassName="costly")
    yield request("a claim chooses what its volume costs", claims, "changes what a volume costs", costly)


def endings() -> Iterator[Attack]:
    """Objects that Kubernetes' own controllers create, and that would block the deletion of the namespace."""
    stuck, reason = {"finalizers": ["example.com/never"]}, "a template's finalizers"

    def tries(name: str, reason: str, manifest: Manifest) -> Attack:
        return request(name, (admission_policy("endings"),), reason, manifest)

    deployment, cron_job, job = of.deployment(BASIC), of.cron_job(BASIC), of.cron_job(BASIC)
    deployment["spec"]["template"]["metadata"] |= stuck
    yield tries("a Deployment's pods can never be deleted", reason, deployment)
    cron_job["spec"]["jobTemplate"]["spec"]["template"]["metadata"] |= stuck
    yield tries("a CronJob's pods can never be deleted", reason, cron_job)
    job["spec"]["jobTemplate"]["metadata"] = stuck
    yield tries("a CronJob's Jobs can never be deleted", reason, job)
    replicated, claim = of.stateful_set(BASIC), of.claim(BASIC)["spec"]
    replicated["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data", **stuck}, "spec": claim}]
    yield tries("a StatefulSet's claims can never be deleted", reason, replicated)
    platforms, reason = {"labels": {OWNER_LABEL: PLATFORM}}, "marks the platform's own objects"
    labelled, job, replicated = of.deployment(BASIC), of.cron_job(BASIC), of.stateful_set(BASIC)
    labelled["spec"]["template"]["metadata"]["labels"] |= platforms["labels"]
    yield tries("a Deployment's pods pretend to be the platform's", reason, labelled)
    job["spec"]["jobTemplate"]["metadata"] = platforms
    yield tries("a CronJob's Jobs pretend to be the platform's", reason, job)
    replicated["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data", **platforms}, "spec": claim}]
    yield tries("a StatefulSet's claims pretend to be the platform's", reason, replicated)
    for build in (of.deployment, of.cron_job):
        what = build.__name__.replace("_", " ")
        lasting = build(BASIC, terminationGracePeriodSeconds=10**9)
        yield tries(f"a {what}'s pods take years to end", "the namespace waits for its pods", lasting)
    slow = of.pod(CLUSTER_ADMIN)
    slow["metadata"]["name"] = "slow"
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 10**9}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": slow["metadata"], "deleteOptions": options}
    for how, verb, subresource, body in (
        ("deleted", "delete", "", options),
        ("evicted", "create", "eviction", eviction),
    ):
        yield request(
            f"a pod takes years to end once it is {how}",
            (admission_policy("deletions"),),
            "the namespace waits for its pods",
            slow,
            CLUSTER_ADMIN,
            verb,
            subresource,
            body=body,
            given=(slow,),
        )


def limits() -> Iterator[Attack]:
    """More resources than the tier allows."""
    exceeded = "exceeded quota: tenant"
    huge = of.claim(BASIC, resources={"requests": {"storage": "1Ti"}})
    yield request("a claim beyond the quota", (QUOTA,), exceeded, huge)
    ports = [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in range(80, 86)]
    many_ports = of.service(WIDE, type="NodePort", ports=ports)
    yield request("a Service takes more ports of the nodes than the quota", (QUOTA,), exceeded, many_ports, WIDE)
    much = {"requests": {"memory": "900Mi"}, "limits": {"memory": "900Mi"}}
    many = [{**of.CONTAINER, "name": f"c{number}", "resources": much} for number in range(5)]
    yield request("a pod's memory beyond the quota", (QUOTA,), exceeded, of.pod(WIDE, containers=many), WIDE)
    large = {"resources": {"limits": {"cpu": "64", "memory": "64Mi"}, "requests": {"cpu": "10m"}}}
    reason = "maximum cpu usage per Container"
    yield request("a container of a whole node", (LIMITS,), reason, of.pod(WIDE, container=large), WIDE)

    reason = 'violates PodSecurity "baseline:latest"'
    for what, changes in (
        ("takes capabilities of the node's administrator", {"capabilities": {"add": ["SYS_ADMIN"]}}),
        ("turns off seccomp", {"seccompProfile": {"type": "Unconfined"}}),
    ):
        manifest = of.pod(ADMIN, container={"securityContext": changes})
        yield request(f"a pod {what}", (POD_SECURITY,), reason, manifest, ADMIN)
    sysctls = {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}
    yield request(
        "a pod sets the node's sysctls", (POD_SECURITY,), reason, of.pod(ADMIN, securityContext=sysctls), ADMIN
    )
    root = of.pod(STRICT, securityContext={"runAsUser": 0}, container={"securityContext": {}})
    reason = 'violates PodSecurity "restricted:latest"'
    yield request("a pod runs as root where the tier is restricted", (POD_SECURITY,), reason, root, STRICT)
    privileged = of.pod(ADMIN, container={"securityContext": {"privileged": True}})
    # The policy's own check also covers tiers that are not privileged.
    yield request("a pod is root on its node, at baseline", (POD_SECURITY,), "privileged", privileged, ADMIN)
    unmasked = of.pod(ADMIN, container={"securityContext": {"procMount": "Unmasked"}}, hostUsers=False)
    yield request("a pod sees all of /proc, at baseline", (POD_SECURITY,), "procMount", unmasked, ADMIN)
    nodes = (admission_policy("nodes"), POD_SECURITY)
    for what, changes in (
        ("shares the node's network", {"hostNetwork": True}),
        ("mounts the node's root", {"volumes": [{"name": "node", "hostPath": {"path": "/"}}]}),
    ):
        yield request(f"a pod {what}, at baseline", nodes, "", of.pod(ADMIN, **changes), ADMIN)


def commits() -> Iterator[Attack]:
    """Commits with pods of a product."""
    promise = "A tenant's pods share nothing with the node that they run on, nor take others' place there."
    away = ADMISSION
    pods = f"/api/v1/namespaces/{OWN}/pods?labelSelector=app%3Dattack"
    root = [{"name": "node", "hostPath": {"path": "/"}}]
    for what, reason, policy, level, changes in (
        ("is root on its node", "is root on its node", "nodes", True, _container(privileged=True)),
        ("mounts the node's root", "hostPath volumes are folders", "nodes", True, {"volumes": root}),
        ("has the node's network", "Leave out: hostNetwork", "nodes", True, {"hostNetwork": True}),
        ("sees the node's processes", "Leave out: hostPID", "nodes", True, {"hostPID": True}),
        ("chooses its node", "nodeName goes around", "placement", False, {"nodeName": "simulated-a"}),
        (
            "pushes others off their node",
            "may not have the PriorityClass",
            "priority",
            False,
            {"priorityClassName": "system-node-critical"},
        ),
        (
            "runs on every tainted node",
            "tolerates every taint",
            "placement",
            False,
            {"tolerations": [{"operator": "Exists"}]},
        ),
    ):
        deployment = of.attacking_pods(OWN, **changes)
        needed = away | SPACE if level or "priority" in policy else away
        proof = "" if "priority" in policy else pods
        yield commit(
            f"a Deployment {what}",
            promise,
            reason,
            f"admission: saas-tenant-{policy}",
            needed if proof else away,
            objects=(deployment,),
            proof=proof,
        )
        if level:
            yield commit(
                f"a Deployment {what}, and no admission policy is there",
                promise,
                'violates PodSecurity "baseline:latest"',
                "Pod Security: baseline",
                needed,
                away,
                objects=(deployment,),
                seen_at="event",
                proof=pods,
            )
    capable = of.attacking_pods(OWN, **_container(capabilities={"add": ["SYS_ADMIN"]}))
    yield commit(
        "a Deployment has the capability to administer its node",
        promise,
        'violates PodSecurity "baseline:latest"',
        "Pod Security: baseline",
        SPACE,
        objects=(capable,),
        seen_at="event",
        proof=pods,
    )
    promise = "No tenant takes more than its share of the cluster."
    huge = of.claim(OWN, resources={"requests": {"storage": "100Ti"}})
    large = of.attacking_pods(OWN, container={"resources": {"limits": {"memory": "32Gi"}}})
    many = of.attacking_pods(
        OWN, container={"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "64Mi"}}}
    )
    many["spec"]["replicas"] = 30
    yield commit(
        "more replicas than the quota has room for",
        promise,
        "the quota has room for 20 pods at a time, not 30",
        "admission: saas-tenant-replicas",
        ADMISSION,
        objects=(many,),
    )
    away = SPACE
    yield commit(
        "a claim beyond the quota of storage",
        promise,
        "exceeded quota: tenant",
        "ResourceQuota",
        away,
        objects=(of.evil(huge),),
    )
    yield commit(
        "more pods than the quota has, and no admission policy is there",
        promise,
        "exceeded quota: tenant",
        "ResourceQuota",
        ADMISSION | SPACE,
        ADMISSION,
        objects=(many,),
        seen_at="event",
        proof=f"/api/v1/namespaces/{OWN}/pods?labelSelector=app%3Dattack&at-least=30",
    )
    yield commit(
        "a container larger than the limits allow",
        promise,
        "maximum memory usage per Container is 4Gi",
        "LimitRange",
        away,
        objects=(large,),
        seen_at="event",
        proof=pods,
    )
    agent = of.evil(of.daemon_set(OWN))
    yield commit("an agent on every node", promise, FORBIDDEN, ROLE, frozenset({ROLE}), objects=(agent,))
    taken = of.evil(of.claim(OWN, volumeName="neighbours"))
    yield commit(
        "a claim takes a neighbour's volume",
        "A tenant gets new volumes, and takes none that was made for another.",
        "names its volume",
        "admission: saas-tenant-volumes",
        ADMISSION,
        objects=(taken,),
    )


def _container(**security: Any) -> dict[str, Any]:
    return {"container": {"securityContext": {"allowPrivilegeEscalation": True, **security}}}


ATTACKS = (*images(), *pods(), *numbers(), *storage(), *endings(), *limits(), *commits())
