"""Objects that exist already: which are this stack's, and which belong to others and must not be taken over.

The Kubernetes provider adopts whatever has the name of an object that it creates, and deletes it with that object.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from model.config.departures import LEAVING
from model.config.errors import Problem
from model.config.names import FLUX_NAMESPACE, PRODUCT_LABEL, STATE_LABEL, product_namespace
from model.config.stack import Settings
from model.config.tenants import Tenant, TenantList
from model.config.yaml_lines import YamlFile
from model.kubernetes.manifests import ADOPTED, CLUSTER_LABEL, NOT_FLUX_BUSINESS, TIER_LABEL
from model.kubernetes.tenant import isolation_objects

KINDS = ("serviceaccounts", "rolebindings", "resourcequotas", "limitranges", "networkpolicies", "secrets", "configmaps")
"""Kinds of the platform's objects in a tenant's namespace, except for Flux's."""


RENAME = "Choose another name for the product."


def namespace_problems(
    namespaces: Mapping[str, Mapping[str, Any]], settings: Settings, tenants: TenantList, stack_file: YamlFile
) -> Iterator[Problem]:
    """Namespaces that the stack would take over. `namespaces` are the metadata of all that exist, by name."""
    flux = namespaces.get(FLUX_NAMESPACE)
    if flux is not None and not NOT_FLUX_BUSINESS.items() <= _part(flux, "annotations").items():
        mark = " ".join(f"{key}={value}" for key, value in NOT_FLUX_BUSINESS.items())
        remedy = (
            "Remove it with `flux uninstall`; or give it to this stack, which then upgrades and removes it: "
            f"`kubectl annotate namespace {FLUX_NAMESPACE} {mark}`."
        )
        message = f"the cluster has a Flux already, in {FLUX_NAMESPACE}, which this stack did not install"
        yield stack_file.problem(("cluster",), message, remedy)
    for product in tenants.products:
        namespace = product_namespace(product)
        if namespace in namespaces and (error := _product_error(namespaces[namespace], namespace, settings.cluster)):
            yield tenants.inheritance.file.problem(("products", product), *error)
    for index, tenant in enumerate(tenants.tenants):
        if tenant.name in namespaces and (found := _claim_problem(namespaces[tenant.name], tenant, settings.cluster)):
            yield tenants.problem(index, *found)


def departure_problems(
    namespaces: Mapping[str, Mapping[str, Any]], cluster: str, everyone: TenantList
) -> Iterator[Problem]:
    """Tenants' namespaces that go although their tenants have not left, after an update that did not end.

    Such an update has changed the cluster, and the stack's outputs, which `tenants.vanished` reads, say nothing of it.
    `everyone` are the tenants of all shards.
    """
    file = everyone.inheritance.file
    tenants, departed = {tenant.name for tenant in everyone.tenants}, everyone.departed
    for name, namespace in sorted(namespaces.items()):
        labels = _part(namespace, "labels")
        mine = labels.get(CLUSTER_LABEL) == cluster and TIER_LABEL in labels
        # An adopted namespace stays when its tenant goes.
        if not mine or name in tenants or ADOPTED in _part(namespace, "annotations"):
            continue
        if name not in departed:
            yield everyone.lost(name, "an update that did not end,")
            continue
        index, left = departed[name]
        if left.break_glass is None and labels.get(STATE_LABEL) != LEAVING:
            message = f"{name} may not depart: an update that did not end has changed it, and it is not leaving"
            remedy = f"Restore its entry, run `./saas tenant leave {name} --keep 30d`, and update."
            yield file.problem(("departed", index), message, remedy)


def _product_error(existing: Mapping[str, Any], namespace: str, cluster: str) -> tuple[str, str] | None:
    """Message and remedy for a product's namespace that this stack did not make."""
    labels = _part(existing, "labels")
    if labels.get(CLUSTER_LABEL, cluster) != cluster:
        return f"the namespace {namespace} belongs to the stack whose `cluster` is {labels[CLUSTER_LABEL]}", RENAME
    if PRODUCT_LABEL not in labels:
        return f"the namespace {namespace} exists already, and this stack did not make it", RENAME
    return None


def _claim_problem(
    namespace: Mapping[str, Any], tenant: Tenant, cluster: str
) -> tuple[tuple[str, ...], str, str] | None:
    """Path, message and remedy for a namespace that is not the tenant's."""
    labels, annotations = _part(namespace, "labels"), _part(namespace, "annotations")
    other = labels.get(CLUSTER_LABEL, cluster)
    if other != cluster:
        message = f"the namespace {tenant.name} belongs to the stack whose `cluster` is {other}"
        return ("name",), message, "Choose another name for the tenant."
    if tenant.adopt:
        return None
    if ADOPTED in annotations:
        message = f"the namespace {tenant.name} was adopted: the next removal would delete it with everything in it"
        return ("adopt",), message, "Keep `adopt: true`."
    # Releases before this one set no label for the cluster.
    if TIER_LABEL not in labels:
        message = f"the namespace {tenant.name} exists already, and this stack did not make it"
        remedy = (
            "Choose another name for the tenant. Or add `adopt: true`: then it becomes the tenant's, and stays when "
            "the tenant is removed, with what was in it."
        )
        return ("name",), message, remedy
    return None


def object_problems(
    index: int, existing: Collection[tuple[str, str]], settings: Settings, tenants: TenantList
) -> Iterator[Problem]:
    """Others' objects in an adopted namespace that have the names of the stack's; `existing` are kinds and names."""
    tenant = tenants.tenants[index]
    made = {
        (item["kind"], item["metadata"]["name"]) for _, item in isolation_objects(tenant, settings.cluster_addresses)
    }
    if tenant.source and tenant.source.private:
        made.add(("Secret", tenant.name))
    if settings.aws and settings.aws.identity:
        made.add(("ConfigMap", "identity"))
    for kind, name in sorted(made & set(existing)):
        message = f"{kind} {name} exists already in the namespace {tenant.name}, and the tenant needs its own"
        yield tenants.problem(index, ("adopt",), message, "Rename or remove it, or choose another name for the tenant.")


def _part(metadata: Mapping[str, Any], key: str) -> dict[str, str]:
    return cast("dict[str, str]", metadata.get(key) or {})
