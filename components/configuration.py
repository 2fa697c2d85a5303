"""Loads the stack's configuration and the files it names, and validates all of it before anything is registered."""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pulumi

from components.stack_file import read_stack_file
from model import checks
from model.config import images, mirrors, notifications, stack, stack_shards, tenants, yaml_lines
from model.config.base import validate
from model.config.errors import InvalidConfigError, Problem
from model.config.mirrors import Mirror
from model.config.products import Product
from model.config.stack import Settings
from model.config.tenants import Tenant, TenantList
from model.config.yaml_lines import YamlFile
from model.kubernetes import flux
from model.kubernetes.flux import FluxManifest
from model.kubernetes.flux_size import with_size
from model.kubernetes.shards import shards, with_shards
from model.kubernetes.watchdog import Watchdog, with_watchdog

T = TypeVar("T")
PROGRAM = Path(__file__).resolve().parents[1] / "watchdog" / "watchdog.py"


@dataclass(frozen=True)
class Configuration:
    """The program's inputs as plain data. The shape of the stack depends on nothing else."""

    settings: Settings
    stack_file: YamlFile
    tenant_list: TenantList
    """The tenants of this stack with their lines in the file; so has `stack_file`. For problems that only a provider
    knows of. The stack of a shard has no products."""
    everyone: TenantList
    """The tenants of all shards, and the products."""
    mirrors: tuple[Mirror, ...]
    flux: FluxManifest
    flux_components: tuple[str, ...]
    """The controllers that are installed: those of the settings, and what the products' image automation needs."""
    earlier: Mapping[str, Any]
    """The stack's outputs of its last update; empty before the first one. For identities that are in a provider, such
    as a region or a repository's owner, so that the engine sees no change."""
    platform: Mapping[str, Any]
    """The outputs of the platform's stack: in a stack that is no shard, its own."""

    @property
    def tenants(self) -> tuple[Tenant, ...]:
        """The tenants of this stack, complete with all inherited values."""
        return self.tenant_list.tenants

    @property
    def products(self) -> Mapping[str, Product]:
        """The products that this stack has, by name."""
        return self.tenant_list.products


def refusal(problems: Iterable[Problem]) -> pulumi.RunError:
    """The error that ends the program with all problems of the inputs."""
    return pulumi.RunError(str(InvalidConfigError(problems)))


def load(folder: Path) -> Configuration:
    """Read the stack's configuration and its files, relative to the project's folder.

    Raises pulumi.RunError with every problem of a round: first the shapes of all inputs, then the rules.
    """
    try:
        file = read_stack_file(folder)
    except InvalidConfigError as error:
        raise refusal(error.problems) from None
    problems: list[Problem] = []

    def collect(step: Callable[[], T]) -> T | None:
        """The step's result; if it finds problems, they are collected and the next step still runs."""
        try:
            return step()
        except InvalidConfigError as error:
            problems.extend(error.problems)
            return None

    mirrors_name, tenants_name = file.content["mirrorsFile"], file.content["tenantsFile"]
    settings = collect(lambda: validate(Settings, file.content, file))
    mirror_list = collect(lambda: mirrors.load(folder, mirrors_name))
    tenant_list = collect(lambda: tenants.merge_and_validate(yaml_lines.read(folder, tenants_name or "tenants.yaml")))
    if settings is None or mirror_list is None or tenant_list is None:
        raise refusal(problems)

    problems += stack.broken_rules(settings, file)
    here, itself = stack_shards.tenants_of(tenant_list, settings.shard), pulumi.get_stack()
    outputs = _outputs(settings)
    earlier, platform = outputs[itself], settings.platform or itself
    problems += tenants.broken_rules(tenant_list)
    today = datetime.now(UTC).date()
    problems += tenants.expired_pins(tenant_list, today)
    problems += checks.notification_rules(settings, file, here, _secret)
    before = earlier.get("tenants", {})
    problems += tenants.vanished(tenant_list, before, today, protected=settings.protected)
    problems += checks.key_generations(settings, file, here, earlier.get("deployKeys", {}))
    problems += stack_shards.written_shards(tenant_list, settings.shard)
    problems += stack_shards.displaced(tenant_list, here, settings.shard, itself, platform, outputs)
    problems += stack_shards.unfinished_moves(tenant_list, itself, platform, outputs)
    if settings.is_shard:
        problems += stack_shards.outdated_platform(file, settings.shard, platform, outputs[platform])
    else:
        problems += stack_shards.products_in_use(tenant_list, itself, outputs)
    problems += checks.broken_rules(settings, file, tenant_list, mirror_list, pulumi.get_project(), platform)
    if settings.aws is None and not (folder / Path(settings.kubeconfig).expanduser()).is_file():
        remedy = "Name the kubeconfig of the cluster; for the embedded platform run `make up`."
        problems.append(file.problem(("kubeconfig",), f"the file {settings.kubeconfig} does not exist", remedy))
    # A manifest without a digest is refused above, and not even downloaded.
    holders = [*tenant_list.products.values(), *tenant_list.tenants]
    entries = [*settings.notifications, *(entry for holder in holders for entry in holder.notify)]
    # Flux asks a token's issuer for its keys.
    jobs = [product.oidc for product in tenant_list.products.values() if settings.webhooks and product.oidc]
    notified = [*notifications.hosts(entries, mirror_list), *(job.host for job in jobs)]
    manifest = (
        None
        if settings.unpinned
        else collect(lambda: _flux_manifest(folder, file, settings, tenant_list, mirror_list, notified))
    )
    if problems or manifest is None:
        raise refusal(problems)
    needed = checks.flux_components(settings, tenant_list)
    wanted = shards(tenant_list, needed, stack_shards.flux_shards_until_now(outputs))
    sharded = with_shards(with_size(manifest, settings.flux_size), wanted)
    watchdog = Watchdog(PROGRAM.read_text(), settings.watchdog_image, int(settings.watchdog_deadline.removesuffix("s")))
    complete = with_watchdog(sharded, watchdog)
    return Configuration(
        settings, file, here, tenant_list, mirror_list, complete, needed, earlier, outputs.get(platform, {})
    )


def stack_path(stack_name: str) -> str:
    """The full name of a stack of this project."""
    return f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack_name}"


def _outputs(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """The outputs of this stack's last update, and those of its platform and of all shards that have had one."""
    itself = pulumi.get_stack()
    found = {itself: _stack_outputs(itself)}
    platform = settings.platform or itself
    if settings.is_shard:
        found[platform] = _stack_outputs(platform)
    # Shards that the platform had until now, too: they may have tenants still.
    count = max(settings.shard.count if settings.shard else 0, int(found[platform].get("shards", 0)))
    names = stack_shards.shard_names(platform, count)
    return found | {name: _stack_outputs(name) for name in names if name != itself}


def _stack_outputs(stack_name: str, attempts: int = 5) -> Mapping[str, Any]:
    """The outputs of a stack's last update; empty before the first one."""
    # Not a StackReference, whose outputs come too late to end the program before anything is registered.
    try:
        return pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": stack_path(stack_name)}).value[
            "outputs"
        ]
    except Exception as error:  # the SDK has no narrower one
        # With `file://`, reads race with the engine's writes: a listing or a sidecar file with metadata may be
        # incomplete.
        unknown = "unknown stack" in str(error)
        if attempts > 1 and (unknown or "failed to load checkpoint" in str(error)):
            time.sleep(0.1)
            return _stack_outputs(stack_name, attempts - 1)
        if unknown and stack_name != pulumi.get_stack():
            return {}
        raise


def _flux_manifest(
    folder: Path,
    file: YamlFile,
    settings: Settings,
    tenant_list: TenantList,
    mirror_list: tuple[Mirror, ...],
    notified: list[str],
) -> FluxManifest:
    text = _fetch(settings.flux_manifest, settings.flux_manifest_sha256, folder, file)
    return flux.parse(
        text,
        settings.flux_manifest,
        checks.flux_components(settings, tenant_list),
        lockdown=settings.flux_lockdown,
        network=settings.network,
        plain_http=mirrors.plain_http(mirror_list),
        plain_http_images=mirrors.plain_http(mirror_list, images=True),
        image_ports=images.ports(
            (
                (product.source, product.images)
                for product in tenant_list.products.values()
                if product.written_by(settings.cluster)
            ),
            mirror_list,
        ),
        pod_identity=bool(settings.aws and settings.aws.registry),
        webhook_networks=settings.webhook_networks,
        notified=notified,
    )


def _secret(key: str) -> tuple[str | None, bool]:
    """A value of the stack's configuration, and whether it is encrypted. In this process all of them are readable."""
    config = pulumi.Config()
    return config.get(key), pulumi.runtime.is_config_secret(config.full_key(key))


def _fetch(location: str, sha256: str, folder: Path, file: YamlFile) -> str:
    """The manifest's text from an https URL or a file (relative to `folder`), verified if a digest is given.

    `file` is the one that names it. Raises InvalidConfigError.
    """

    def stop(message: str, remedy: str) -> InvalidConfigError:
        return InvalidConfigError([file.problem(("fluxManifest",), message, remedy)])

    try:
        if location.startswith("https://"):
            with urllib.request.urlopen(location, timeout=60) as response:  # noqa: S310 - https only, and verified below
                content: bytes = response.read()
        elif "://" in location:
            raise stop(f"{location} is neither an https URL nor a file", "Write https://… or a path.")
        else:
            content = (folder / location).read_bytes()
    except urllib.error.URLError as error:
        raise stop(
            f"{location} cannot be downloaded: {error}", "Check the URL, or download the file and name its path."
        ) from error
    except OSError as error:
        raise stop(f"{location} cannot be read: {error.strerror}", "Name an existing file.") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        remedy = (
            f"Expected {sha256}, found {found}. Only if you have reviewed this file, set fluxManifestSha256 to that."
        )
        raise stop(f"{location} is not the manifest that was pinned", remedy)
    return content.decode("utf-8", errors="replace")
