"""The stack's configuration and everything it names, read and checked as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pulumi

from model.config import aws_names, document, identity, mirrors, network_mistakes, settings, tenants
from model.config.document import Document, Place
from model.config.mirrors import Mirror
from model.config.mistakes import Mistake, MistakesError
from model.config.network_rules import cluster_network
from model.config.settings import Settings
from model.config.tenants import Tenant
from model.config.unsound import UNSOUND, UnsoundError, found_by, unless_unsound
from model.iam import tenant_policy as iam
from model.kubernetes import flux
from model.kubernetes.flux import FluxManifest

T = TypeVar("T")


@dataclass(frozen=True)
class Configuration:
    """All that the program is told, in plain data: the shape of the stack depends on nothing else."""

    settings: Settings
    tenants: tuple[Tenant, ...]
    mirrors: tuple[Mirror, ...]
    flux: FluxManifest


def load(folder: Path) -> Configuration:
    """Read the stack's configuration and the files it names, relative to the project's folder.

    Raises pulumi.RunError with every mistake of every file, before any resource is registered.
    """
    source = _stack_document(folder)
    stack, found = settings.look(source)

    def collect(step: Callable[[], T]) -> T:
        """What a step makes; UNSOUND where it finds mistakes, or needs what is wrong by itself."""
        try:
            return step()
        except MistakesError as error:
            found.extend(error.mistakes)
        except UnsoundError:
            pass
        return UNSOUND

    content: Mapping[str, Any] = source.content
    # What can be read is read even where the rest is wrong: one run reports everything.
    mirror_file, tenants_file = str(content["mirrorsFile"] or ""), str(content["tenantsFile"] or "tenants.yaml")
    rules = collect(lambda: mirrors.load(folder / mirror_file, mirror_file)) if mirror_file else ()
    listed = collect(lambda: document.read(folder / tenants_file, tenants_file))

    def look_at_tenants() -> tuple[Tenant, ...]:
        entries, mistakes = tenants.look(listed, rules)
        found.extend(mistakes)
        return entries

    entries = collect(look_at_tenants)
    found += found_by(
        (
            lambda: identity.problems(entries, listed, stack.aws.identity if stack.aws else None),
            lambda: iam.problems(entries, listed, unless_unsound(stack.aws.account, "") if stack.aws else None),
            lambda: network_mistakes.problems(entries, listed, cluster_network(stack.aws, stack.network)),
            lambda: aws_names.problems(stack, pulumi.get_project(), pulumi.get_stack(), source),
            lambda: _lacking_kubeconfig(stack, source, folder),
        )
    )
    text = collect(lambda: _manifest(stack, source, folder))
    selected, lockdown = stack.flux_components, stack.flux_lockdown
    name, network = stack.flux_manifest, stack.network
    install = collect(
        lambda: flux.parse(
            text, name, selected, lockdown=lockdown, network=network, plain_http=mirrors.plain_http(rules)
        )
    )
    if found:
        raise pulumi.RunError(str(MistakesError(found)))
    return Configuration(stack, entries, rules, install)


def _lacking_kubeconfig(stack: Settings, source: Document, folder: Path) -> Iterator[Mistake]:
    if stack.aws is None and not (folder / Path(stack.kubeconfig).expanduser()).is_file():
        remedy = "Name the kubeconfig of the cluster; for the embedded platform run `make up`."
        yield source.mistake(("kubeconfig",), f"there is no file {stack.kubeconfig}", remedy)


def _manifest(stack: Settings, source: Document, folder: Path) -> str:
    # What nobody has read is not even downloaded; the settings said so.
    if stack.unpinned:
        return UNSOUND
    return flux.fetch(stack.flux_manifest, stack.flux_manifest_sha256, folder, source.file)


def _stack_document(folder: Path) -> Document:
    """The configuration as the engine gives it, with the lines of the stack's file where that says it."""
    config = pulumi.Config()
    readers: dict[Any, Callable[[str], Any]] = {
        bool: config.get_bool,
        list: config.get_object,
        dict: config.get_object,
        str: config.get,
    }
    name = f"Pulumi.{pulumi.get_stack()}.yaml"
    lines: dict[Place, int] = {}
    if (folder / name).is_file():
        written = document.read(folder / name, name).lines
        prefix = f"{pulumi.get_project()}:"
        for place, line in written.items():
            if len(place) > 1 and place[0] == "config" and str(place[1]).startswith(prefix):
                lines[(str(place[1]).removeprefix(prefix), *place[2:])] = line
    content = {key: readers[kind](key) for key, kind in settings.keys().items()}
    for key, value in content.items():
        if value is None and settings.keys()[key] is str:
            content[key] = ""  # an empty text does not survive the engine's configuration
        elif value == {}:
            content[key] = None
    return Document(name, content, lines)
