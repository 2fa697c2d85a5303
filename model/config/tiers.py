"""Tiers: what a tenant gets and may do, unless its own entry says otherwise. `basic` and `premium` are built in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import InitErrorDetails, ValidationError

from model.config.document import Place
from model.config.mistakes import nearest
from model.config.network_rules import NetworkRules
from model.config.quantities import EXAMPLES, Kind, amount, canonical, problem
from model.config.schema import Model, wrong

RECONCILER_ROLE = "saas-tenant-reconciler"
"""The ClusterRole that the program makes for reconcilers; model/kubernetes/roles.py says what it permits."""
HELM_ROLE = "saas-tenant-helm"
"""The ClusterRole for the reconcilers of tenants that may have HelmReleases."""

WIDE_ROLES: Mapping[str, str] = {
    "admin": "DaemonSets, commands in pods, acting as any account there, and all that operators add to the role",
    "cluster-admin": "any verb on objects of any kind there, those of every operator and roles without limit included",
}
"""What Kubernetes' own roles permit in the namespace beyond the default one, and admission policies do not refuse."""

TENANT = "{tenant}"
"""Stands for the tenant's name in host names."""

DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

QUOTA: Mapping[str, Kind] = {
    "requests.cpu": "cpu",
    "limits.cpu": "cpu",
    "requests.memory": "bytes",
    "limits.memory": "bytes",
    "requests.ephemeral-storage": "bytes",
    "limits.ephemeral-storage": "bytes",
    "requests.storage": "bytes",
    "persistentvolumeclaims": "count",
    "pods": "count",
    "services": "count",
    "services.loadbalancers": "count",
    "services.nodeports": "count",
    "configmaps": "count",
    "secrets": "count",
    "replicationcontrollers": "count",
}
"""What a ResourceQuota counts under a name of its own."""

GROUPS: Mapping[str, str] = {
    "deployments": "apps",
    "statefulsets": "apps",
    "daemonsets": "apps",
    "replicasets": "apps",
    "jobs": "batch",
    "cronjobs": "batch",
    "ingresses": "networking.k8s.io",
    "horizontalpodautoscalers": "autoscaling",
    "poddisruptionbudgets": "policy",
}
"""A quota for one of these that leaves out the group counts nothing at all."""

LIMITED: Mapping[str, Kind] = {"cpu": "cpu", "memory": "bytes", "ephemeral-storage": "bytes"}
"""What a LimitRange limits for a container."""


def _interval(value: str) -> str:
    if not re.fullmatch(DURATION, value):
        raise wrong(f"{value!r} is not a duration", "Write it as Go does: 30s, 1m0s, 1h.")
    if (
        sum(float(number) * SECONDS[unit] for number, _, unit in re.findall(r"([0-9]+(\.[0-9]+)?)(ms|s|m|h)", value))
        < 1
    ):
        raise wrong(f"{value!r} would reconcile without a pause", "Write 1s or more; 1m0s is usual.")
    return value


def _role(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9:._-]+", value):
        raise wrong(f"{value!r} cannot name a ClusterRole", f"Write the name of one, such as {RECONCILER_ROLE}.")
    return value


def _registry(value: str) -> str:
    # The slash at the end keeps ghcr.io/acme from meaning ghcr.io/acme-and-somebody-else too.
    if not re.fullmatch(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*/", value):
        bare = re.sub(r"^[a-z]+://", "", value.lower()).rstrip("/*")
        good = re.fullmatch(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*", bare)
        remedy = f"Write {bare}/." if good else "Write HOST/ or HOST/PATH/, such as ghcr.io/acme/."
        raise wrong(f"{value!r} is not what an image's name begins with", remedy)
    return value


def _priority_class(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise wrong(f"{value!r} cannot name a PriorityClass", "Write lower-case letters, digits, hyphens and dots.")
    if value.startswith("system-"):
        raise wrong(f"{value} puts a tenant's pods before the cluster's own", "Make a PriorityClass for tenants.")
    return value


def _host(value: str) -> str:
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    name = value.replace(TENANT, "tenant")
    if not re.fullmatch(rf"(\*\.)?({label}\.)+{label}", name) or len(name) > 253:
        remedy = f"Write it in lower case, without port and path: {TENANT}.example.com, or *.{TENANT}.example.com."
        raise wrong(f"{value!r} is no host name", remedy)
    return value


def _amounts(kind_of: Callable[[str], Kind | tuple[str, str]]) -> Callable[[Any], Any]:
    """Checks amounts by name, all at once; what is null is taken away."""

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        good: dict[str, str] = {}
        found: list[InitErrorDetails] = []
        for key, given in cast("dict[str, Any]", value).items():
            kind = kind_of(key)
            finding = kind if isinstance(kind, tuple) else None
            if not isinstance(kind, tuple) and given is not None:
                text = str(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else ""
                finding = problem(text, kind) if text else (f"{given!r} is no amount", f"Write {EXAMPLES[kind]}.")
                if not finding:
                    good[key] = canonical(text)
            if finding:
                found.append(InitErrorDetails(type=wrong(*finding), loc=(key,), input=given))
        if found:
            raise ValidationError.from_exception_data("amounts", found)
        return good

    return check


def quota_kind(key: str) -> Kind | tuple[str, str]:
    """What a quota's key counts; for a key that counts nothing, what is wrong and what to write."""
    if key in QUOTA:
        return QUOTA[key]
    if found := re.fullmatch(r"count/([a-z]+)(\.[a-z0-9][a-z0-9.-]*)?", key):
        if not found[2] and found[1] in GROUPS:
            return f"{key} counts nothing without its API group", f"Write {key}.{GROUPS[found[1]]}."
        return "count"
    if found := re.fullmatch(r"[a-z0-9.-]+\.storageclass\.storage\.k8s\.io/(requests\.storage|persistent\w+)", key):
        return "bytes" if found[1] == "requests.storage" else "count"
    if re.fullmatch(r"requests\.[a-z0-9.-]+/[A-Za-z0-9._-]+", key):
        return "count"
    if key in LIMITED:
        return f"{key} has two sides", f"Write requests.{key} or limits.{key}."
    return f"a quota knows no {key!r}", f"{nearest(key, QUOTA)} Objects of any kind: count/RESOURCE.GROUP."


def _limit_kind(key: str) -> Kind | tuple[str, str]:
    return LIMITED.get(key) or (f"containers have no limit of {key!r}", nearest(key, LIMITED))


_AMOUNTS = WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}})

Interval = Annotated[str, AfterValidator(_interval), Field(description="How often Flux looks, as Go writes durations")]
Role = Annotated[
    str,
    AfterValidator(_role),
    Field(description="The ClusterRole that the reconciler has inside the tenant's namespace"),
]
IdentityKind = Annotated[
    Literal["group", "client", "pool"],
    Field(description="Who its users are: a group of the shared user pool, with a client of its own, or a pool"),
]
Quota = Annotated[dict[str, str], BeforeValidator(_amounts(quota_kind)), _AMOUNTS]
Amounts = Annotated[dict[str, str], BeforeValidator(_amounts(_limit_kind)), _AMOUNTS]
Registry = Annotated[str, AfterValidator(_registry)]
PriorityClass = Annotated[str, AfterValidator(_priority_class)]
Host = Annotated[str, AfterValidator(_host)]
ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]


class Limits(Model):
    """What one container may take."""

    # The default limit of CPU is the most there is: a lower one would refuse containers that ask for more than it
    # and, as many do on purpose, name no limit.
    default: Amounts = Field(
        default={"cpu": "2", "memory": "1Gi", "ephemeral-storage": "2Gi"},
        description="The limit of a container that names none",
    )
    default_request: Amounts = Field(
        default={"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "64Mi"},
        alias="defaultRequest",
        description="The request of a container that names none",
    )
    max: Amounts = Field(
        default={"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi"},
        description="The highest limit that a container may have",
    )


class Tier(Model):
    """What tenants get and may do. The defaults are the tier basic: enough for a product of a few small pods."""

    quota: Quota = Field(
        default={
            # What a tenant is promised. There is no quota of limits.cpu: CPU that nobody asked for is shared by
            # requests, and limits counted together would only stop rollouts and autoscalers.
            "requests.cpu": "2",
            "requests.memory": "4Gi",
            # Memory cannot be shared: how far a tenant may go beyond what it asked for.
            "limits.memory": "16Gi",
            "pods": "20",
            "requests.storage": "20Gi",
            "persistentvolumeclaims": "5",
            # Costs money, and opens ports of every node.
            "services.loadbalancers": "0",
            "services.nodeports": "0",
            # Keep one tenant from filling the API server, whose room is everybody's.
            "services": "20",
            "configmaps": "100",
            "secrets": "100",
            "count/deployments.apps": "20",
            "count/jobs.batch": "50",
            "count/cronjobs.batch": "20",
            "count/statefulsets.apps": "10",
            "count/ingresses.networking.k8s.io": "20",
            "count/horizontalpodautoscalers.autoscaling": "20",
            "count/poddisruptionbudgets.policy": "20",
            "count/leases.coordination.k8s.io": "20",
            "count/serviceaccounts": "20",
            "count/roles.rbac.authorization.k8s.io": "20",
            "count/rolebindings.rbac.authorization.k8s.io": "20",
            # Also pods that have ended, which `pods` does not count.
            "count/pods": "200",
            "count/replicasets.apps": "300",
        },
        description="The tenant's ResourceQuota; null lifts a limit",
    )
    limits: Limits = Limits()
    pod_security: Literal["restricted", "baseline", "privileged"] = Field(
        default="baseline",
        alias="podSecurity",
        description="The Pod Security Standard that its pods have to meet; restricted is warned about in any case",
    )
    role: Role = RECONCILER_ROLE
    network: NetworkRules = NetworkRules()
    identity: IdentityKind = "group"
    interval: Interval = "1m0s"
    prune: bool = Field(default=True, description="Whether what leaves the repository leaves the cluster")
    helm: bool = Field(default=False, description="Whether it may have HelmReleases, and sources of charts")
    services: list[ServiceType] = Field(default=["ClusterIP"], description="The types that its Services may have")
    registries: list[Registry] = Field(default=[], description="What its images' names have to begin with; none: any")
    priority_classes: list[PriorityClass] = Field(
        default=[], alias="priorityClasses", description="The PriorityClasses that its pods may have"
    )
    hosts: list[Host] = Field(
        default=[],
        description=f"The host names that its Ingresses and routes may have; {TENANT} stands for its name",
    )


BASIC: Mapping[str, Any] = Tier().model_dump(by_alias=True)

PREMIUM: Mapping[str, Any] = {
    "quota": {
        "requests.cpu": "8",
        "requests.memory": "16Gi",
        "limits.memory": "64Gi",
        "pods": "100",
        "requests.storage": "200Gi",
        "persistentvolumeclaims": "20",
        "services": "50",
        "configmaps": "300",
        "secrets": "300",
        "count/deployments.apps": "100",
        "count/jobs.batch": "200",
        "count/cronjobs.batch": "50",
        "count/statefulsets.apps": "50",
        "count/ingresses.networking.k8s.io": "50",
        "count/horizontalpodautoscalers.autoscaling": "100",
        "count/poddisruptionbudgets.policy": "100",
        "count/leases.coordination.k8s.io": "50",
        "count/serviceaccounts": "50",
        "count/roles.rbac.authorization.k8s.io": "50",
        "count/rolebindings.rbac.authorization.k8s.io": "50",
        "count/pods": "1000",
        "count/replicasets.apps": "1500",
    },
    "limits": {"default": {"cpu": "4"}, "max": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "20Gi"}},
    "helm": True,
}
"""What premium has that basic has not: room for several services of more and larger pods, and Helm."""

BUILT_IN: Mapping[str, Mapping[str, Any]] = {"basic": {}, "premium": PREMIUM}
DEFAULT_TIER = "basic"

Problem = tuple[Sequence[Place], str, str]
"""The places that contradict each other, what is wrong, what to write."""


def problems(tier: Tier) -> Iterator[Problem]:
    """Values that are good each by itself and cannot hold together; the API server would refuse them, or every pod."""
    default, request, most = tier.limits.default, tier.limits.default_request, tier.limits.max
    for resource in LIMITED:
        # Where no default is named, Kubernetes takes the maximum.
        limit_at: Place = ("limits", "default" if resource in default else "max", resource)
        max_at: Place = ("limits", "max", resource)
        limit = default.get(resource) or most.get(resource)
        request_at: Place = ("limits", "defaultRequest", resource)
        for lower, lower_at, upper, upper_at in (
            (limit, limit_at, most.get(resource), max_at),
            (request.get(resource), request_at, limit, limit_at),
            (limit, limit_at, tier.quota.get(f"limits.{resource}"), ("quota", f"limits.{resource}")),
            (request.get(resource), request_at, tier.quota.get(f"requests.{resource}"), _requests(resource)),
            (tier.quota.get(f"requests.{resource}"), _requests(resource), *_limits(tier, resource)),
        ):
            if lower is not None and upper is not None and amount(lower) > amount(upper):
                what, than = ".".join(map(str, lower_at)), ".".join(map(str, upper_at))
                yield (lower_at, upper_at), f"{what} of {lower} is above {than} of {upper}", "Lower one or raise one."
    for kind, key in (("LoadBalancer", "services.loadbalancers"), ("NodePort", "services.nodeports")):
        if kind in tier.services and tier.quota.get(key) == "0":
            also = ", and services.nodeports: each of its ports takes one" if kind == "LoadBalancer" else ""
            message = f"services of type {kind} are allowed, and the quota of {key} is 0"
            yield (("services",), ("quota", key)), message, f"Write `{key}: 1` or more below quota{also}."


def _requests(resource: str) -> Place:
    return ("quota", f"requests.{resource}")


def _limits(tier: Tier, resource: str) -> tuple[str | None, Place]:
    return tier.quota.get(f"limits.{resource}"), ("quota", f"limits.{resource}")


def tier_name_problem(name: str) -> tuple[str, str] | None:
    """What is wrong with a tier's name, which becomes a label; None for a good one."""
    if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        return None
    return f"{name!r} cannot name a tier", "Write lower-case letters, digits and hyphens, such as gold."


def role_warnings(roles: Mapping[str, str]) -> Iterator[str]:
    """What to tell of tenants' roles, by tenant: those with which a reconciler can change what confines it."""
    for role, reach in WIDE_ROLES.items():
        if names := [name for name, given in roles.items() if given == role]:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            yield (
                f"The role {role} permits the reconcilers of {shown} more than a product usually needs: {reach}. "
                "Admission policies keep them off their limits, network policies and Flux objects all the same. "
                f"Without `role:` they have {RECONCILER_ROLE}."
            )
