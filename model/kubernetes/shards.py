"""Flux's controllers in shards, so that a tenant's commit that makes one compute for ever holds up its shard only.

Each shard has a source-controller, a kustomize-controller and, for charts, a helm-controller of its own. They select
objects by Flux's sharding label. The manifest's own controllers reconcile what has no label: tenants of the default
shard. The infra repository has a shard that no tenant can be in. So an object whose label was forgotten, such as the
HelmChart that helm-controller makes for a release, is with the tenants and never with the platform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, cast

from model.config.names import DEFAULT_SHARD, PLATFORM_SHARD
from model.config.tenants import Tenant, TenantList
from model.kubernetes.flux import FluxManifest
from model.kubernetes.manifests import SHARD_LABEL, Manifest

SHARDED = ("source-controller", "kustomize-controller", "helm-controller")
"""The controllers that read what tenants wrote. Flux's others have no label selector."""
SELECTOR = "--watch-label-selector"


@dataclass(frozen=True)
class Shard:
    """A name, and the controllers that its objects need."""

    name: str
    controllers: tuple[str, ...]


def shards(
    tenants: TenantList, components: Sequence[str], until_now: Mapping[str, bool] | None = None
) -> tuple[Shard, ...]:
    """The shards besides the default one: the platform's, and those that products and tenants name.

    `until_now` are shards that have to stay for tenants of other stacks, and whether these have charts.
    """
    helm = {product.shard: False for product in tenants.products.values()}
    for name, charts in [*in_use(tenants.tenants).items(), *(until_now or {}).items()]:
        helm[name] = helm.get(name, False) or charts
    helm.pop(DEFAULT_SHARD, None)
    named = [(PLATFORM_SHARD, False), *sorted(helm.items())]
    return tuple(Shard(name, _controllers(charts, components)) for name, charts in named)


def in_use(tenants: Sequence[Tenant]) -> dict[str, bool]:
    """The shards of tenants, and whether any of them may have charts."""
    helm: dict[str, bool] = {}
    for tenant in tenants:
        helm[tenant.shard] = helm.get(tenant.shard, False) or tenant.helm
    return helm


def _controllers(charts: bool, components: Sequence[str]) -> tuple[str, ...]:
    wanted = SHARDED if charts else SHARDED[:2]
    return tuple(name for name in wanted if name in components)


def with_shards(manifest: FluxManifest, shards: Sequence[Shard]) -> FluxManifest:
    """The manifest with a copy of its controllers for each shard, and a label selector for each controller."""
    controllers = list(manifest.controllers)
    copies = [
        _copy(controller, shard.name)
        for shard in shards
        for controller in controllers
        if controller["metadata"]["name"] in shard.controllers
    ]
    own = [_selecting(controller, f"!{SHARD_LABEL}") for controller in controllers]
    return replace(manifest, controllers=(*own, *copies))


def name_in(shard: str, controller: str) -> str:
    """The name of a controller's Deployment or Service in a shard."""
    return controller if shard == DEFAULT_SHARD else f"{controller}-{shard}"


def parts(name: str) -> tuple[str, str]:
    """The controller and the shard of a Deployment or Service."""
    base = next((base for base in SHARDED if name.startswith(f"{base}-")), name)
    return base, name[len(base) + 1 :] or DEFAULT_SHARD


def _selecting(manifest: Manifest, selector: str) -> Manifest:
    if manifest["kind"] != "Deployment" or manifest["metadata"]["name"] not in SHARDED:
        return manifest
    selecting = deepcopy(manifest)
    container = selecting["spec"]["template"]["spec"]["containers"][0]
    container["args"] = [*container.get("args", []), f"{SELECTOR}={selector}"]
    return selecting


def _copy(manifest: Manifest, shard: str) -> Manifest:
    name = manifest["metadata"]["name"]
    copy = _renamed(_selecting(manifest, f"{SHARD_LABEL}={shard}"), shard)
    copy["metadata"]["name"] = name_in(shard, name)
    selectors = [copy["spec"]["selector"]]
    if manifest["kind"] == "Deployment":
        selectors = [copy["spec"]["selector"]["matchLabels"], copy["spec"]["template"]["metadata"]["labels"]]
    for labels in selectors:
        labels["app"] = name_in(shard, name)
    return copy


def _renamed(value: Any, shard: str) -> Any:
    """A copy in which the host names of source-controller's Service are those of the shard's."""
    if isinstance(value, dict):
        return {key: _renamed(inner, shard) for key, inner in cast("Manifest", value).items()}
    if isinstance(value, list):
        return [_renamed(inner, shard) for inner in cast("list[Any]", value)]
    if isinstance(value, str):
        return value.replace("source-controller.", f"{name_in(shard, 'source-controller')}.")
    return value
