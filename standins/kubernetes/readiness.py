"""When an object counts as ready: one function per kind, from the live object to what is still missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from standins.codec import get
from standins.kubernetes import jsonpath
from standins.kubernetes.api import Api, NoSuchKindError, Object

SKIP = "pulumi.com/skipAwait"
WAIT_FOR = "pulumi.com/waitFor"


class FailedError(Exception):
    """The object will not become ready by waiting longer."""


Check = Callable[[Api, Object], str | None]
"""What the object still lacks, in words; None once it is ready. Raises FailedError."""


def check_for(item: Object) -> Check | None:
    """How to tell that such an object is ready, None if it is as soon as it exists.

    The annotations pulumi.com/skipAwait and pulumi.com/waitFor go before what the kind has. Raises ValueError if
    waitFor is malformed.
    """
    annotations = get(item, "metadata", "annotations") or {}
    if annotations.get(SKIP) == "true":
        return None
    if annotations.get(WAIT_FOR):
        return _custom(annotations[WAIT_FOR])
    return _CHECKS.get((item["apiVersion"], item["kind"]))


def condition(item: Object, kind: str) -> dict[str, Any]:
    """The status condition of a type, empty if there is none."""
    conditions = get(item, "status", "conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), {})


def _custom(text: str) -> Check:
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = text
    expressions = parsed if isinstance(parsed, list) else [text]
    if not expressions:
        raise ValueError(f"the annotation {WAIT_FOR} lists no condition")
    checks = [_expression(str(expression)) for expression in expressions]

    def check(_: Api, item: Object) -> str | None:
        generation = get(item, "metadata", "generation")
        observed = get(item, "status", "observedGeneration")
        if isinstance(observed, int) and isinstance(generation, int) and observed < generation:
            return "its controller has not seen the change yet"
        return next((problem for one in checks if (problem := one(item))), None)

    return check


def _expression(text: str) -> Callable[[Object], str | None]:
    prefix, _, rest = text.partition("=")
    if prefix == "condition":
        name, _, wanted = rest.partition("=")

        def has_condition(item: Object) -> str | None:
            found = condition(item, name)
            if str(found.get("status", "")).lower() == (wanted or "True").lower():
                return None
            state = f"{found['status']}: {found.get('reason', '')} {found.get('message', '')}" if found else "not set"
            return f"condition {name} is {state}".strip()

        return has_condition
    if prefix == "jsonpath":
        path, wanted = jsonpath.parse(rest)

        def matches(item: Object) -> str | None:
            values = jsonpath.find(item, path)
            if wanted is None and values:
                return None
            shown = ", ".join(str(value) for value in values) or "not set"
            return None if wanted in [jsonpath.text(value) for value in values] else f"{rest}: it is {shown}"

        return matches
    raise ValueError(
        f"the annotation {WAIT_FOR} wants condition=TYPE[=STATUS] or jsonpath={{PATH}}[=VALUE], got {text!r}"
    )


def _namespace(_: Api, item: Object) -> str | None:
    phase = get(item, "status", "phase")
    return None if phase == "Active" else f"its phase is {phase}"


def _crd(api: Api, item: Object) -> str | None:
    accepted, established = condition(item, "NamesAccepted"), condition(item, "Established")
    if accepted.get("status") == "False":
        raise FailedError(f"its names are not accepted: {accepted.get('message', '')}")
    if established.get("status") != "True":
        return established.get("message") or "it is not established yet"
    for version in item["spec"]["versions"]:
        if version.get("served"):
            try:
                api.kind(f"{item['spec']['group']}/{version['name']}", item["spec"]["names"]["kind"])
            except NoSuchKindError:
                return f"its version {version['name']} is not served yet"
    return None


def _deployment(api: Api, item: Object) -> str | None:
    if unseen := _unseen(item):
        return unseen
    if get(item, "spec", "paused"):
        return None
    progressing = condition(item, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        raise FailedError(f"{progressing.get('message', '')} {_pod_problems(api, item)}".strip())
    wanted = get(item, "spec", "replicas")
    status = item.get("status", {})
    updated, total, available = (status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas"))
    if updated < wanted:
        return f"{updated} of {wanted} pods are up to date. {_pod_problems(api, item)}".strip()
    if total > updated:
        return f"{total - updated} old pods are still there"
    if available < wanted:
        return f"{available} of {wanted} pods are available. {_pod_problems(api, item)}".strip()
    return None


def _stateful_set(api: Api, item: Object) -> str | None:
    if unseen := _unseen(item):
        return unseen
    wanted = get(item, "spec", "replicas")
    status = item.get("status", {})
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    if get(item, "spec", "updateStrategy", "type") == "OnDelete":
        updated = wanted
    wanted_updated = wanted - (get(item, "spec", "updateStrategy", "rollingUpdate", "partition") or 0)
    if ready < wanted or updated < wanted_updated:
        return f"{ready} of {wanted} pods are ready, {updated} up to date. {_pod_problems(api, item)}".strip()
    return None


def _daemon_set(api: Api, item: Object) -> str | None:
    if unseen := _unseen(item):
        return unseen
    status = item.get("status", {})
    wanted, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    updated = status.get("updatedNumberScheduled", 0)
    if get(item, "spec", "updateStrategy", "type") == "OnDelete":
        updated = wanted
    if min(available, updated) < wanted:
        return f"{available} of {wanted} pods are available, {updated} up to date. {_pod_problems(api, item)}".strip()
    return None


def _job(api: Api, item: Object) -> str | None:
    failed = condition(item, "Failed")
    if failed.get("status") == "True":
        raise FailedError(f"{failed.get('reason', '')}: {failed.get('message', '')} {_pod_problems(api, item)}".strip())
    if condition(item, "Complete").get("status") == "True" or get(item, "spec", "suspend"):
        return None
    status = item.get("status", {})
    counts = ", ".join(f"{status.get(key, 0)} {key}" for key in ("active", "succeeded", "failed"))
    return f"its pods: {counts}. {_pod_problems(api, item)}".strip()


def _pod(_: Api, item: Object) -> str | None:
    phase = get(item, "status", "phase")
    if phase == "Succeeded" or condition(item, "Ready").get("status") == "True":
        return None
    problem = _pod_problem(item)
    if phase == "Failed":
        raise FailedError(f"it failed. {problem}")
    return f"its phase is {phase}. {problem}".strip()


def _service(api: Api, item: Object) -> str | None:
    spec = item["spec"]
    if spec.get("type") == "ExternalName":
        return None
    if spec.get("type") == "LoadBalancer" and not get(item, "status", "loadBalancer", "ingress"):
        return "its load balancer has no address yet"
    if not spec.get("selector") or spec.get("clusterIP") == "None":
        return None
    slices = api.list(
        api.kind("discovery.k8s.io/v1", "EndpointSlice"),
        item["metadata"]["namespace"],
        {"labelSelector": f"kubernetes.io/service-name={item['metadata']['name']}"},
    )
    for endpoint in (endpoint for one in slices for endpoint in one.get("endpoints") or []):
        # A missing `ready` means unknown, to be taken as ready.
        if get(endpoint, "conditions", "ready") is not False:
            return None
    selector = ",".join(f"{key}={value}" for key, value in spec["selector"].items())
    return f"no ready pod matches its selector {selector}"


def _claim(api: Api, item: Object) -> str | None:
    phase = get(item, "status", "phase")
    if phase == "Bound":
        return None
    name = get(item, "spec", "storageClassName")
    if name:
        storage_class = api.get(api.kind("storage.k8s.io/v1", "StorageClass"), None, name)
        if get(storage_class, "volumeBindingMode") == "WaitForFirstConsumer":
            return None
    return f"its phase is {phase}: no volume is bound to it"


def _volume(_: Api, item: Object) -> str | None:
    phase = get(item, "status", "phase")
    return None if phase in ("Available", "Bound") else f"its phase is {phase}"


def _quota(_: Api, item: Object) -> str | None:
    return None if get(item, "status", "hard") == get(item, "spec", "hard") else "its limits are not in force yet"


_CHECKS: dict[tuple[str, str], Check] = {
    ("v1", "Namespace"): _namespace,
    ("v1", "Pod"): _pod,
    ("v1", "Service"): _service,
    ("v1", "PersistentVolume"): _volume,
    ("v1", "PersistentVolumeClaim"): _claim,
    ("v1", "ResourceQuota"): _quota,
    ("apps/v1", "Deployment"): _deployment,
    ("apps/v1", "StatefulSet"): _stateful_set,
    ("apps/v1", "DaemonSet"): _daemon_set,
    ("batch/v1", "Job"): _job,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): _crd,
}


def _unseen(item: Object) -> str | None:
    observed = get(item, "status", "observedGeneration") or 0
    if observed < get(item, "metadata", "generation"):
        return "kube-controller-manager has not seen it yet"
    return None


def _pod_problems(api: Api, owner: Object) -> str:
    labels = get(owner, "spec", "selector", "matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    if not selector:
        return ""
    pods = api.list(api.kind("v1", "Pod"), owner["metadata"]["namespace"], {"labelSelector": selector})
    problems = dict.fromkeys(problem for pod in pods if (problem := _pod_problem(pod)))
    return "; ".join(list(problems)[:5])


def _pod_problem(pod: Object) -> str:
    name = pod["metadata"]["name"]
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"pod {name} can't be scheduled: {scheduled.get('message', '')}"
    for status in _container_statuses(pod):
        waiting, ended = get(status, "state", "waiting") or {}, get(status, "state", "terminated") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"pod {name}, container {status['name']}: {waiting['reason']}: {waiting.get('message', '')}"
        if ended.get("exitCode"):
            return f"pod {name}, container {status['name']}: exit code {ended['exitCode']} {ended.get('message', '')}"
    return ""


def _container_statuses(pod: Object) -> Iterable[Object]:
    for key in ("initContainerStatuses", "containerStatuses"):
        yield from get(pod, "status", key) or []
