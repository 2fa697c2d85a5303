"""Tiers: named sets of quotas, limits and permissions for tenants. `basic` and `premium` are built in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import InitErrorDetails, ValidationError

from model.config.annotations import DEFAULT_ANNOTATIONS, annotation
from model.config.base import Model, rule_error
from model.config.errors import suggestion
from model.config.names import DEFAULT_SHARD, LABEL_PATTERN, PLATFORM_SHARD
from model.config.network import NetworkRules
from model.config.overrides import Values
from model.config.quantities import Kind, amount, canonical, quantity_error
from model.config.yaml_lines import YamlPath

RECONCILER_ROLE = "saas-tenant-reconciler"
"""The default ClusterRole of reconcilers; model/kubernetes/roles.py lists its permissions."""
HELM_ROLE = "saas-tenant-helm"
"""The additional ClusterRole of reconcilers whose tenants may use HelmReleases."""

TENANT = "{tenant}"
"""The placeholder for the tenant's name in host names."""

DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_SHARD = 30
LONGEST_INTERVAL = 8760 * SECONDS["h"]
TIMEOUT = "1m0s"
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 30 * SECONDS["s"], 10 * SECONDS["m"]

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
"""The keys of a ResourceQuota that have fixed names."""

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
"""The API groups of common resources: `count/deployments` without its group counts nothing."""

UNLIMITED_PODS = 1000
"""The highest number of replicas of a tenant whose quota has no limit of pods."""

LIMITED: Mapping[str, Kind] = {"cpu": "cpu", "memory": "bytes", "ephemeral-storage": "bytes"}
"""The resources that a LimitRange limits per container."""


def seconds(duration: str) -> float:
    """The seconds of a Go duration. Raises rule_error for another text."""
    if not re.fullmatch(DURATION, duration):
        raise rule_error(f"{duration!r} is not a duration", "Write it as Go does: 30s, 1m0s, 1h.")
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", duration)
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def _interval(value: str) -> str:
    if seconds(value) < 1:
        raise rule_error(f"{value!r} would reconcile without a pause", "Write at least 1s; 1m0s is usual.")
    if seconds(value) > LONGEST_INTERVAL:
        # Beyond 2562047h Go cannot count: source-controller then lists no GitRepository at all, of any tenant.
        raise rule_error(f"{value!r} is longer than a year", "Write at most 8760h; 1m0s is usual.")
    return value


def _timeout(value: str) -> str:
    if not SHORTEST_TIMEOUT <= seconds(value) <= LONGEST_TIMEOUT:
        # Flux raises shorter ones to 30 s. A long one holds a worker that other tenants wait for.
        raise rule_error(f"{value!r} is not between 30s and 10m", f"Write a duration in between; {TIMEOUT} is usual.")
    return value


def _role(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9:._-]+", value):
        raise rule_error(
            f"{value!r} is not a valid ClusterRole name", f"Write a ClusterRole's name, such as {RECONCILER_ROLE}."
        )
    return value


def _registry(value: str) -> str:
    # The trailing slash keeps ghcr.io/acme from also matching ghcr.io/acme-of-another-owner.
    if not re.fullmatch(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*/", value):
        bare = re.sub(r"^[a-z]+://", "", value.lower()).rstrip("/*")
        good = re.fullmatch(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*", bare)
        remedy = f"Write {bare}/." if good else "Write HOST/ or HOST/PATH/, such as ghcr.io/acme/."
        raise rule_error(f"{value!r} is not a valid prefix of image names", remedy)
    return value


def _priority_class(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise rule_error(
            f"{value!r} is not a valid PriorityClass name", "Use lower-case letters, digits, hyphens and dots."
        )
    if value.startswith("system-"):
        raise rule_error(
            f"{value} would rank a tenant's pods above the cluster's own",
            "Create a PriorityClass for tenants and name it.",
        )
    return value


def _class_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise rule_error(f"{value!r} is not a valid name of a class", "Write the name as `kubectl get` shows it.")
    return value


def _shard(value: str) -> str:
    # Part of names such as kustomize-controller-customers, of which Kubernetes makes labels and names of pods.
    if not re.fullmatch(LABEL_PATTERN, value) or len(value) > LONGEST_SHARD:
        remedy = f"Use up to {LONGEST_SHARD} lower-case letters, digits and hyphens, such as customers."
        raise rule_error(f"{value!r} is not a valid name of a shard", remedy)
    if value == PLATFORM_SHARD:
        remedy = f"Leave shard out for {DEFAULT_SHARD}, or choose another name, such as customers."
        raise rule_error(f"the shard {PLATFORM_SHARD} reconciles the infra repository, and no tenant", remedy)
    return value


def _host(value: str) -> str:
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    name = value.replace(TENANT, "tenant")
    if not re.fullmatch(rf"(\*\.)?({label}\.)+{label}", name) or len(name) > 253:
        remedy = f"Write it in lower case, without port and path: {TENANT}.example.com, or *.{TENANT}.example.com."
        raise rule_error(f"{value!r} is not a host name", remedy)
    return value


def _amounts(kind_of: Callable[[str], Kind | tuple[str, str]]) -> Callable[[Any], Any]:
    """A validator of a mapping from resources to amounts. It removes resources whose amount is null."""

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        amounts: dict[str, str] = {}
        errors: list[InitErrorDetails] = []
        for key, given in cast("dict[str, Any]", value).items():
            kind = kind_of(key)
            error = kind if isinstance(kind, tuple) else None
            if not isinstance(kind, tuple) and given is not None:
                text = str(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else ""
                error = quantity_error(text or repr(given), kind)
                if not error:
                    amounts[key] = canonical(text)
            if error:
                errors.append(InitErrorDetails(type=rule_error(*error), loc=(key,), input=given))
        if errors:
            raise ValidationError.from_exception_data("amounts", errors)
        return amounts

    return check


def quota_kind(key: str) -> Kind | tuple[str, str]:
    """The kind of amount that a quota's key takes; message and remedy for an invalid key."""
    if key in QUOTA:
        return QUOTA[key]
    if found := re.fullmatch(r"count/([a-z]+)(\.[a-z0-9][a-z0-9.-]*)?", key):
        if not found[2] and found[1] in GROUPS:
            return f"{key} counts nothing without an API group", f"Write {key}.{GROUPS[found[1]]}."
        return "count"
    if found := re.fullmatch(r"[a-z0-9.-]+\.storageclass\.storage\.k8s\.io/(requests\.storage|persistent\w+)", key):
        return "bytes" if found[1] == "requests.storage" else "count"
    if re.fullmatch(r"requests\.[a-z0-9.-]+/[A-Za-z0-9._-]+", key):
        return "count"
    if key in LIMITED:
        return f"{key} could be requests or limits", f"Write requests.{key} or limits.{key}."
    return f"unknown quota {key!r}", f"{suggestion(key, QUOTA)} For objects of any kind: count/RESOURCE.GROUP."


def _limit_kind(key: str) -> Kind | tuple[str, str]:
    return LIMITED.get(key) or (f"unknown container limit {key!r}", suggestion(key, LIMITED))


_AMOUNTS = WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}})

Interval = Annotated[
    str,
    AfterValidator(_interval),
    Field(
        description="How often Flux reconciles, as a Go duration such as 1m0s; 10m0s by default for a shared product"
    ),
]
RetryInterval = Annotated[
    str,
    AfterValidator(_interval),
    Field(alias="retryInterval", description="How soon Flux tries again after a failure; at most the interval"),
]
Timeout = Annotated[
    str, AfterValidator(_timeout), Field(description="How long Flux works on a revision before it gives up: 30s to 10m")
]
Role = Annotated[
    str,
    AfterValidator(_role),
    Field(description="The ClusterRole that the reconciler has in the tenant's namespace"),
]
IdentityKind = Annotated[
    Literal["group", "client", "pool"],
    Field(description="Its users: a group of the shared pool, a group with its own app client, or its own pool"),
]
Shard = Annotated[
    str,
    AfterValidator(_shard),
    Field(description="The Flux controllers that reconcile it: shards do not wait for each other"),
]
Quota = Annotated[dict[str, str], BeforeValidator(_amounts(quota_kind)), _AMOUNTS]
Amounts = Annotated[dict[str, str], BeforeValidator(_amounts(_limit_kind)), _AMOUNTS]
ImagePrefix = Annotated[str, AfterValidator(_registry)]
PriorityClass = Annotated[str, AfterValidator(_priority_class)]
ClassName = Annotated[str, AfterValidator(_class_name)]
Annotation = Annotated[str, AfterValidator(annotation)]
Host = Annotated[str, AfterValidator(_host)]
ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]


class Limits(Model):
    """The LimitRange of a tenant: requests and limits per container."""

    # Without a default, Kubernetes uses the maximum. A lower one would refuse containers that request more than it and
    # set no limit, as most charts do.
    default: Amounts = Field(default={}, description="The limit of a container that sets none; without: the maximum")
    default_request: Amounts = Field(
        default={"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "64Mi"},
        alias="defaultRequest",
        description="The request of a container that sets none",
    )
    max: Amounts = Field(
        default={"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi"},
        description="The highest limit that a container may have",
    )


class Tier(Model):
    """A tier's quotas, limits and permissions. The defaults are the tier basic: enough for a few small pods."""

    quota: Quota = Field(
        default={
            # Requests are guaranteed. There is no quota of limits.cpu: spare CPU is shared in proportion to requests,
            # and a quota of limits would only block rollouts and autoscalers.
            "requests.cpu": "2",
            "requests.memory": "4Gi",
            # A container without a limit counts with limits.max.memory, so there is room for `pods` of them.
            "limits.memory": "80Gi",
            "pods": "20",
            "requests.storage": "20Gi",
            "persistentvolumeclaims": "5",
            # Load balancers cost money; node ports open ports of every node.
            "services.loadbalancers": "0",
            "services.nodeports": "0",
            # Keep one tenant from filling the API server's storage, which all tenants share.
            "services": "20",
            "configmaps": "100",
            "secrets": "100",
            "replicationcontrollers": "20",
            "count/deployments.apps": "20",
            "count/jobs.batch": "50",
            "count/cronjobs.batch": "20",
            "count/statefulsets.apps": "10",
            "count/daemonsets.apps": "10",
            "count/ingresses.networking.k8s.io": "20",
            "count/horizontalpodautoscalers.autoscaling": "20",
            "count/poddisruptionbudgets.policy": "20",
            "count/leases.coordination.k8s.io": "20",
            "count/serviceaccounts": "20",
            "count/roles.rbac.authorization.k8s.io": "20",
            "count/rolebindings.rbac.authorization.k8s.io": "20",
            # Includes pods that have ended, which `pods` does not count.
            "count/pods": "200",
            # Include the past revisions that revisionHistoryLimit keeps.
            "count/replicasets.apps": "300",
            "count/controllerrevisions.apps": "300",
        },
        description="The tenant's ResourceQuota; null removes a limit",
    )
    limits: Limits = Limits()
    pod_security: Literal["restricted", "baseline", "privileged"] = Field(
        default="baseline",
        alias="podSecurity",
        description="The enforced Pod Security Standard; violations of restricted are always warned about",
    )
    role: Role = RECONCILER_ROLE
    network: NetworkRules = NetworkRules()
    identity: IdentityKind = "group"
    interval: Interval = "1m0s"
    retry_interval: RetryInterval = "1m0s"
    timeout: Timeout = TIMEOUT
    prune: bool = Field(default=True, description="Whether Flux deletes objects that were removed from the repository")
    shard: Shard = DEFAULT_SHARD
    helm: bool = Field(default=False, description="Whether it may use HelmReleases and chart sources")
    services: list[ServiceType] = Field(default=["ClusterIP"], description="The allowed types of its Services")
    registries: list[ImagePrefix] = Field(default=[], description="Allowed prefixes of its image names; empty: any")
    priority_classes: list[PriorityClass] = Field(
        default=[], alias="priorityClasses", description="The allowed PriorityClasses of its pods"
    )
    runtime_classes: list[ClassName] = Field(
        default=[], alias="runtimeClasses", description="The allowed RuntimeClasses of its pods"
    )
    storage_classes: list[ClassName] = Field(
        default=[],
        alias="storageClasses",
        description="The allowed StorageClasses of its claims, the cluster's default one included; empty: any",
    )
    annotations: list[Annotation] = Field(
        default=list(DEFAULT_ANNOTATIONS),
        description="The allowed annotations of its Services, Ingresses, routes and service accounts: DOMAIN/NAME or "
        "DOMAIN/*; those of tools, such as app.kubernetes.io/…, always are",
    )
    hosts: list[Host] = Field(
        default=[],
        description=f"The allowed host names of its Ingresses and routes; {TENANT} is replaced by its name",
    )
    values: Values = Field(
        default={},
        description=f"Variables of its product, as text; {TENANT} is replaced by its name; null removes one",
    )

    ring: str | None = Field(default=None, description="Its ring of its product; default: the product's first ring")

    @property
    def max_replicas(self) -> int:
        """The highest number of replicas of a workload: the quota has room for no more pods at a time."""
        return int(amount(self.quota.get("pods", str(UNLIMITED_PODS))))

    @property
    def max_completions(self) -> int:
        """The highest number of completions of a Job, whose finished pods stay and are counted."""
        return int(amount(self.quota.get("count/pods", str(UNLIMITED_PODS))))


BASIC: Mapping[str, Any] = Tier().model_dump(by_alias=True)

PREMIUM: Mapping[str, Any] = {
    "quota": {
        "requests.cpu": "8",
        "requests.memory": "16Gi",
        "limits.memory": "800Gi",
        "pods": "100",
        "requests.storage": "200Gi",
        "persistentvolumeclaims": "20",
        "services": "50",
        "configmaps": "300",
        "secrets": "300",
        "replicationcontrollers": "100",
        "count/deployments.apps": "100",
        "count/jobs.batch": "200",
        "count/cronjobs.batch": "50",
        "count/statefulsets.apps": "50",
        "count/daemonsets.apps": "20",
        "count/ingresses.networking.k8s.io": "50",
        "count/horizontalpodautoscalers.autoscaling": "100",
        "count/poddisruptionbudgets.policy": "100",
        "count/leases.coordination.k8s.io": "50",
        "count/serviceaccounts": "50",
        "count/roles.rbac.authorization.k8s.io": "50",
        "count/rolebindings.rbac.authorization.k8s.io": "50",
        "count/pods": "1000",
        "count/replicasets.apps": "1500",
        "count/controllerrevisions.apps": "1500",
    },
    "limits": {"max": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "20Gi"}},
    "helm": True,
}
"""The differences of premium from basic: room for several services with more and larger pods, and Helm."""

BUILT_IN: Mapping[str, Mapping[str, Any]] = {"basic": {}, "premium": PREMIUM}
DEFAULT_TIER = "basic"

SHARED_INTERVAL = "10m0s"
"""The interval of tenants of a shared product: their source is polled once for all, and a new revision comes at once.
What is left is the repair of changes by hand, which takes 0.2 CPU seconds for each tenant (docs/scale.md)."""

Contradiction = tuple[Sequence[YamlPath], str, str]
"""The paths of the values, message, remedy."""


def contradictions(tier: Tier) -> Iterator[Contradiction]:
    """Values that are valid but contradict each other: the API server would refuse them, or every pod."""
    default, request, most = tier.limits.default, tier.limits.default_request, tier.limits.max
    for resource in LIMITED:
        # Without a default, Kubernetes uses the maximum.
        limit_at: YamlPath = ("limits", "default" if resource in default else "max", resource)
        max_at: YamlPath = ("limits", "max", resource)
        limit = default.get(resource) or most.get(resource)
        request_at: YamlPath = ("limits", "defaultRequest", resource)
        for lower, lower_at, upper, upper_at in (
            (limit, limit_at, most.get(resource), max_at),
            (request.get(resource), request_at, limit, limit_at),
            (limit, limit_at, tier.quota.get(f"limits.{resource}"), ("quota", f"limits.{resource}")),
            (request.get(resource), request_at, tier.quota.get(f"requests.{resource}"), _requests(resource)),
            (tier.quota.get(f"requests.{resource}"), _requests(resource), *_limits(tier, resource)),
        ):
            if lower is not None and upper is not None and amount(lower) > amount(upper):
                what, than = ".".join(map(str, lower_at)), ".".join(map(str, upper_at))
                yield (
                    (lower_at, upper_at),
                    f"{what} of {lower} is above {than} of {upper}",
                    f"Lower {what} or raise {than}.",
                )
        if limit is None and f"limits.{resource}" in tier.quota:
            yield (
                (max_at, ("quota", f"limits.{resource}")),
                f"quota.limits.{resource} refuses every container that sets no limit of {resource}",
                f"Write limits.max.{resource}, or `limits.{resource}: null` in quota.",
            )
    if seconds(tier.timeout) > max(seconds(tier.interval), seconds(TIMEOUT)):
        message = f"timeout of {tier.timeout} is above interval of {tier.interval}"
        yield (("timeout",), ("interval",)), message, "Lower timeout or raise interval."
    for kind, key in (("LoadBalancer", "services.loadbalancers"), ("NodePort", "services.nodeports")):
        if kind in tier.services and tier.quota.get(key) == "0":
            also = ", and services.nodeports: each port of a LoadBalancer takes one" if kind == "LoadBalancer" else ""
            message = f"Services of type {kind} are allowed, but the quota of {key} is 0"
            yield (("services",), ("quota", key)), message, f"Write `{key}: 1` or more in quota{also}."


def _requests(resource: str) -> YamlPath:
    return ("quota", f"requests.{resource}")


def _limits(tier: Tier, resource: str) -> tuple[str | None, YamlPath]:
    return tier.quota.get(f"limits.{resource}"), ("quota", f"limits.{resource}")
