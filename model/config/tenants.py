"""tenants.yaml: one entry per tenant of the SaaS, merged with what it inherits and validated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from model.config import notifications
from model.config.aws_access import AwsAccess
from model.config.base import Finding, Model, rule_error, validate
from model.config.departures import (
    ACTIVE,
    LEAVING,
    SUSPENDED,
    Departed,
    Leaving,
    Suspension,
    departed_findings,
    departure_obstacle,
    state_findings,
)
from model.config.errors import Problem, raise_if_any, suggestion
from model.config.images import automation_findings
from model.config.inheritance import Inheritance, source_path
from model.config.keys import KeyConfirmed, KeyGeneration, key_findings, unused_generation
from model.config.names import LABEL_PATTERN, tenant_name_problem
from model.config.notifications import Notification
from model.config.overrides import ImageOverride, Patch, image_findings, patch_findings
from model.config.products import Product, ProductName, product_rules
from model.config.rings import Pin, expired
from model.config.sources import DefaultSource, Source, revision_rules, source_rules
from model.config.tiers import DEFAULT_TIER, TENANT, Tier, contradictions
from model.config.yaml_lines import YamlFile, YamlPath


def _tier_name(value: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, value):
        remedy = "Use lower-case letters, digits and hyphens, such as gold."
        raise rule_error(f"{value!r} is not a valid tier name", remedy)
    return value


def _name(value: str) -> str:
    if problem := tenant_name_problem(value):
        raise rule_error(*problem)
    return value


TierName = Annotated[str, AfterValidator(_tier_name)]
Name = Annotated[
    str, AfterValidator(_name), Field(description="The tenant's name, which is also its namespace; never changes")
]


class Tenant(Tier):
    """A customer: a namespace, and the product that Flux applies to it. Complete with all inherited values."""

    name: Name
    source: Source | None = Field(default=None, description="Its own repository; either this or product")
    product: str | None = Field(default=None, description="The name of the product below products that it runs")
    tier: str = Field(default=DEFAULT_TIER, description="Its tier: basic, premium or one below tiers")
    aws: AwsAccess | None = Field(default=None, description="Its permissions on AWS; default: none")
    notify: list[Notification] = Field(
        default=[], description="Who is notified when Flux cannot apply the tenant's product; default: none"
    )
    adopt: bool = Field(
        default=False, description="Take over a namespace that exists already; removing the tenant keeps it"
    )
    stack_shard: int | None = Field(
        default=None,
        alias="stackShard",
        ge=1,
        description="The shard whose stack has it, where a platform has several; default: by a hash of the name",
    )
    images: list[ImageOverride] = Field(default=[], description="Other images than its product's")
    patches: list[Patch] = Field(default=[], description="Changes of its product's objects")
    pin: Pin | None = Field(default=None, description="A version of its product that it keeps whatever its ring runs")
    synthetic: bool = Field(
        default=False, description="The platform's own test of its product: one that fails stops a rollout"
    )
    key_generation: KeyGeneration = 1
    key_confirmed: KeyConfirmed = 1
    suspended: Suspension | None = Field(
        default=None, description="It runs no pods and reaches no network, and its data stays; default: it runs"
    )
    leaving: Leaving | None = Field(
        default=None, description="It is suspended until its data may be deleted; default: it stays"
    )

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if self.source is None and self.product is None:
            error = rule_error("is missing", "Add `source: …`, or `product: …` for a product below `products:`.")
            details = InitErrorDetails(type=error, loc=("source",), input=None)
            raise ValidationError.from_exception_data("tenant", [details])
        return self

    @property
    def state(self) -> str:
        """active, suspended or leaving."""
        return LEAVING if self.leaving else SUSPENDED if self.suspended else ACTIVE

    @property
    def stopped(self) -> bool:
        """Whether it runs no pods: suspended or leaving."""
        return self.state != ACTIVE

    @property
    def url(self) -> str | None:
        """The address of its first host name that has no wildcard."""
        return next((f"https://{host}" for host in self.hosts if not host.startswith("*")), None)

    @property
    def own_source(self) -> Source:
        """The source of a tenant that runs no shared product."""
        if self.source is None:
            raise ValueError(f"{self.name} has no source of its own: it runs the product {self.product}")
        return self.source


class Defaults(Tier):
    """Default values of every tenant, whatever its tier."""

    source: DefaultSource | None = None
    product: str | None = None
    tier: str = DEFAULT_TIER
    aws: AwsAccess | None = None


class TenantsFile(Model):
    """The content of tenants.yaml."""

    defaults: Defaults | None = None
    tiers: dict[TierName, Tier] = Field(
        default={}, description="Custom tiers, based on basic, and changes to basic and premium"
    )
    products: dict[ProductName, Product] = Field(
        default={}, description="Repositories that several tenants run, by name"
    )
    tenants: list[Tenant]
    departed: list[Departed] = Field(default=[], description="Tenants that have left; they keep their names")

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            raise rule_error(
                "must be a mapping with the key tenants", "Begin with `tenants:`, or `tenants: []` for none."
            )
        return cast("dict[str, Any]", content)


@dataclass(frozen=True)
class PlacedSource:
    """A source that Flux reads, and its place: a tenant's own, or a product's."""

    path: YamlPath
    """The path of its holder: ("tenants", 2) or ("products", "shop")."""
    holder: str
    """The tenant's or the product's name."""
    source: Source

    @property
    def shared(self) -> bool:
        """Whether it is a product's."""
        return self.path[0] == "products"


@dataclass(frozen=True)
class TenantList:
    """The tenants of a file in its order, its products, and the layers that the tenants' values come from."""

    tenants: tuple[Tenant, ...]
    inheritance: Inheritance
    content: TenantsFile

    def problem(self, index: int, path: YamlPath, message: str, remedy: str) -> Problem:
        """A problem of a tenant, at the line that defined the value: in its entry, the defaults or its tier."""
        return self.inheritance.problem(index, path, message, remedy)

    @property
    def products(self) -> Mapping[str, Product]:
        """The products by name, those without tenants included."""
        return self.content.products

    @property
    def sources(self) -> list[PlacedSource]:
        """All sources: those of products, and those of tenants that run no product."""
        shared = [PlacedSource(("products", name), name, product.source) for name, product in self.products.items()]
        own = [
            PlacedSource(("tenants", index), tenant.name, tenant.source)
            for index, tenant in enumerate(self.tenants)
            if tenant.source
        ]
        return [*shared, *own]

    @property
    def departed(self) -> Mapping[str, tuple[int, Departed]]:
        """Tenants that have left, by name, with their places in the list."""
        return {left.name: (index, left) for index, left in enumerate(self.content.departed)}

    def lost(self, name: str, update: str) -> Problem:
        """A tenant that an update has deployed, and that the file does not have any more."""
        message = f"{name} was deployed by {update} and is neither in tenants nor in departed"
        remedy = f"Restore its entry. If it is to go, run `./saas tenant leave {name} --keep 30d` then."
        return self.inheritance.file.problem(("tenants",), message, remedy)

    def part(self, indexes: Sequence[int], *, products: bool) -> TenantList:
        """Some of the tenants with their lines, with all products or with none."""
        file = self.inheritance.file
        places = {index: place for place, index in enumerate(indexes)}
        lines = {
            ("tenants", places[int(path[1])], *path[2:]) if path[:1] == ("tenants",) and len(path) > 1 else path: line
            for path, line in file.lines.items()
            if path[:1] != ("tenants",) or len(path) == 1 or path[1] in places
        }
        entries = [self.inheritance.entries[index] for index in indexes]
        inheritance = Inheritance(YamlFile(file.name, {**file.content, "tenants": entries}, lines))
        chosen = [self.tenants[index] for index in indexes]
        content = {"tenants": chosen, "products": self.content.products if products else {}}
        return TenantList(tuple(chosen), inheritance, self.content.model_copy(update=content))

    def source_problem(self, placed: PlacedSource, path: YamlPath, message: str, remedy: str) -> Problem:
        """A problem of a source, at the line that defined the value; the path begins with `source`."""
        at = self.inheritance.source_path((*placed.path, *path))
        return self.inheritance.file.problem(at, message, remedy)


def parse(file: YamlFile) -> TenantList:
    """The tenants of a file, after both rounds of validation. Raises InvalidConfigError with a round's problems."""
    listed = merge_and_validate(file)
    raise_if_any(broken_rules(listed))
    return listed


def merge_and_validate(file: YamlFile) -> TenantList:
    """Round one: every tenant merged with what it inherits, and all shapes. Raises InvalidConfigError."""
    inheritance = Inheritance(file)
    content = validate(TenantsFile, inheritance.merged(), file, inheritance.source_path)
    return TenantList(tuple(content.tenants), inheritance, content)


def broken_rules(listed: TenantList) -> Iterator[Problem]:
    """Round two: values that are valid, but not together."""
    yield from _rules_of_tiers_and_defaults(listed)
    yield from _product_notifications(listed)
    for index, tenant in enumerate(listed.tenants):
        for path, message, remedy in (*_tier_rules(listed, tenant.tier), *_product_rules(listed, index)):
            yield listed.problem(index, path, message, remedy)
        for path, message, remedy in notifications.broken_rules(tenant.notify):
            yield listed.problem(index, ("notify", *path), message, remedy)
        keys = (*unused_generation(tenant, tenant.source), *key_findings(tenant, tenant.source))
        for path, message, remedy in (*keys, *state_findings(tenant.suspended, tenant.leaving)):
            yield listed.problem(index, path, message, remedy)
        layers = listed.inheritance.tenant_layers(index)
        for paths, message, remedy in contradictions(tenant):
            yield listed.inheritance.file.problem(source_path(layers, paths), message, remedy)
    for placed in listed.sources:
        for path, message, remedy in source_rules(placed.source):
            yield listed.source_problem(placed, path, message, remedy)
    for name, product in listed.products.items():
        found = automation_findings(product.images, product.automation, product.source)
        for path, message, remedy in (*found, *product_rules(product), *key_findings(product, product.source)):
            yield listed.inheritance.file.problem(("products", name, *path), message, remedy)
    yield from _duplicate_names(listed)
    yield from _departed(listed)
    yield from _shared_backups(listed)
    yield from _shared_hosts(listed)


def vanished(
    listed: TenantList, deployed: Mapping[str, Mapping[str, Any]], today: date, *, protected: bool
) -> Iterator[Problem]:
    """Tenants of the last update, with their outputs, that go without having left: a deleted line is no decision.

    `protected` says whether the last update protects the namespaces of those that were not leaving.
    """
    file = listed.inheritance.file
    tenants, departed = {tenant.name for tenant in listed.tenants}, listed.departed
    for name in sorted(deployed.keys() - tenants):
        if name not in departed:
            yield listed.lost(name, "the last update")
            continue
        index, left = departed[name]
        if obstacle := departure_obstacle(left, deployed[name], today, protected=protected):
            yield file.problem(("departed", index), *obstacle)


def expired_pins(listed: TenantList, today: date) -> Iterator[Problem]:
    """Pins whose last day is over: the only problem that comes with time, so that no version is forgotten."""
    for index, tenant in enumerate(listed.tenants):
        if tenant.pin and (error := expired(tenant.pin, today)):
            yield listed.problem(index, ("pin", "until"), *error)


def _rules_of_tiers_and_defaults(listed: TenantList) -> Iterator[Problem]:
    """The rules of tiers and defaults hold even if no tenant uses them."""
    file, defaults = listed.inheritance.file, listed.content.defaults
    for name, tier in listed.content.tiers.items():
        layers = listed.inheritance.tier_layers(name)
        own_interval = any(layer.path and layer.defines(("interval",)) for layer in layers)
        for paths, message, remedy in contradictions(tier):
            # Without an interval of the tier's own, that of a tenant depends on whether its product is shared.
            if own_interval or ("interval",) not in paths:
                yield file.problem(source_path(layers, paths), message, remedy)
    if defaults:
        for path, message, remedy in _tier_rules(listed, defaults.tier):
            yield file.problem(("defaults", *path), message, remedy)
        if error := _unknown_product(listed, defaults.product):
            yield file.problem(("defaults", "product"), *error)
        if defaults.source:
            for path, message, remedy in revision_rules(defaults.source):
                yield file.problem(("defaults", *path), message, remedy)


def _product_notifications(listed: TenantList) -> Iterator[Problem]:
    for name, product in listed.content.products.items():
        for path, message, remedy in notifications.broken_rules(product.notify):
            yield listed.inheritance.file.problem(("products", name, "notify", *path), message, remedy)


def _tier_rules(listed: TenantList, tier: str) -> Iterator[Finding]:
    known = listed.inheritance.known_tiers
    if tier not in known:
        yield ("tier",), f"unknown tier {tier!r}", f"{suggestion(tier, known)} Define custom tiers below `tiers:`."


def _product_rules(listed: TenantList, index: int) -> Iterator[Finding]:
    """Rules about what a tenant runs: a shared product with overrides, or a source of its own."""
    tenant, products = listed.tenants[index], listed.products
    if tenant.product is None:
        for key in ("values", "images", "patches", "ring", "pin", "synthetic"):
            if getattr(tenant, key):
                remedy = f"Write `product:` instead of `source:`, or remove {key}."
                verb = "are" if key.endswith("s") else "is"
                yield (key,), f"{key} {verb} for tenants of a shared product", remedy
        return
    if tenant.source is not None:
        yield ("source",), "product and source exclude each other", "Keep only one of them."
    if error := _unknown_product(listed, tenant.product):
        yield ("product",), *error
    elif tenant.shard != products[tenant.product].shard:
        # Only its entry can differ: the product's shard wins over tiers and defaults.
        message = f"{tenant.shard} is not the shard of its product, {products[tenant.product].shard}"
        remedy = f"Remove it, or write `shard: {tenant.shard}` below products.{tenant.product}."
        yield ("shard",), message, remedy
    else:
        yield from _ring_rules(products[tenant.product], tenant)
    yield from image_findings(tenant.images)
    yield from patch_findings(tenant.patches)


def _ring_rules(product: Product, tenant: Tenant) -> Iterator[Finding]:
    if tenant.ring is None or tenant.ring in product.rings:
        return
    if product.rings:
        yield ("ring",), f"unknown ring {tenant.ring!r} of {tenant.product}", suggestion(tenant.ring, product.rings)
    else:
        remedy = f"Remove it, or define rings below products.{tenant.product}."
        yield ("ring",), f"the product {tenant.product} has no rings", remedy


def _unknown_product(listed: TenantList, product: str | None) -> tuple[str, str] | None:
    if product is None or product in listed.products:
        return None
    known = suggestion(product, listed.products) if listed.products else "This file has none."
    return f"unknown product {product!r}", f"{known} Define products below `products:`."


def _duplicate_names(listed: TenantList) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, tenant in enumerate(listed.tenants):
        if tenant.name in first:
            line = listed.inheritance.file.line(("tenants", first[tenant.name], "name"))
            message = f"duplicate tenant {tenant.name!r}, first defined on line {line}"
            yield listed.problem(index, ("name",), message, "Give each tenant a name of its own.")
        first.setdefault(tenant.name, index)


def _departed(listed: TenantList) -> Iterator[Problem]:
    file = listed.inheritance.file
    lines = {tenant.name: file.line(("tenants", index, "name")) for index, tenant in enumerate(listed.tenants)}
    for path, message, remedy in departed_findings(listed.content.departed, lines):
        yield file.problem(("departed", *path), message, remedy)


def _shared_backups(listed: TenantList) -> Iterator[Problem]:
    """Backups that two tenants name: of one of them the data would be gone with its purge."""
    file, first = listed.inheritance.file, dict[str, str]()
    leaving = [
        (("tenants", index, "leaving"), tenant.name, tenant.leaving.backup)
        for index, tenant in enumerate(listed.tenants)
        if tenant.leaving
    ]
    departed = [(("departed", index), left.name, left.backup) for index, left in enumerate(listed.content.departed)]
    for path, name, backup in (*departed, *leaving):
        for key in ("id", "sha256"):
            value = getattr(backup, key, None)
            if value is not None and first.setdefault(value, name) != name:
                message = f"this is the backup of {first[value]}"
                yield file.problem((*path, "backup", key), message, f"Record a backup of {name}.")


def _shared_hosts(listed: TenantList) -> Iterator[Problem]:
    """Hosts of more than one tenant: the same host, or a host that another tenant's wildcard covers.

    A wildcard covers every name below it, however deep, as in HTTPRoutes. Of two equal hosts the second is reported.
    """
    file, tenants = listed.inheritance.file, listed.tenants
    owners: dict[str, list[int]] = {}
    for index, tenant in enumerate(tenants):
        for host in dict.fromkeys(tenant.hosts):
            owners.setdefault(host, []).append(index)
    for index, tenant in enumerate(tenants):
        for host in dict.fromkeys(tenant.hosts):
            rivals = [(host, owner) for owner in owners[host][:1] if owner < index]
            rivals += [(wildcard, owner) for wildcard in _wildcards_over(host) for owner in owners.get(wildcard, ())]
            for rival_host, owner in rivals:
                other = tenants[owner].name
                if other == tenant.name:
                    continue
                path = listed.inheritance.source_path(("tenants", index, "hosts"))
                if path[0] != "tenants":
                    message = f"{host} would belong to both {other} and {tenant.name}"
                    yield file.problem(path, message, f"Write {TENANT} in it, or give each tenant its own hosts.")
                    continue
                covered = f" through {rival_host}" if rival_host != host else ""
                message = f"{host} already belongs to {other}{covered} (line {file.line(('tenants', owner, 'hosts'))})"
                remedy = "Remove it here or there: a host belongs to one tenant only."
                yield file.problem((*path, tenant.hosts.index(host)), message, remedy)


def _wildcards_over(host: str) -> Iterator[str]:
    """The wildcards that cover a host, except the host itself."""
    labels = host.removeprefix("*.").split(".")
    for start in range(0 if host.startswith("*.") else 1, len(labels)):
        wildcard = f"*.{'.'.join(labels[start:])}"
        if wildcard != host:
            yield wildcard
