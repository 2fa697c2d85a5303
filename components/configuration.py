"""The stack's configuration and everything it names, read and checked as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pulumi

from model import document, flux, iam, identity, mirrors, network_mistakes, settings, tenants
from model.document import Document, Place
from model.flux import Install
from model.mirrors import Mirror
from model.mistakes import Mistake, MistakesError
from model.network_rules import cluster_network
from model.settings import Settings
from model.tenants import Tenant

T = TypeVar("T")


@dataclass(frozen=True)
class Configuration:
    """All that the program is told, in plain data: the shape of the stack depends on nothing else."""

    settings: Settings
    tenants: tuple[Tenant, ...]
    mirrors: tuple[Mirror, ...]
    flux: Install


def load(folder: Path) -> Configuration:
    """Read the stack's configuration and the files it names, relative to the project's folder.

    Raises pulumi.RunError with every mistake of every file, before any resource is registered.
    """
    source = _stack_document(folder)
    found: list[Mistake] = []

    def collect(step: Callable[[], T]) -> T | None:
        try:
            return step()
        except MistakesError as error:
            found.extend(error.mistakes)
            return None

    stack = collect(lambda: settings.parse(source))
    content: Mapping[str, Any] = source.content
    # What can be read is read even where the rest is wrong: one run reports everything.
    mirror_file, tenants_file = str(content["mirrorsFile"] or ""), str(content["tenantsFile"] or "tenants.yaml")
    rules = collect(lambda: mirrors.load(folder / mirror_file, mirror_file)) if mirror_file else ()
    tenants_document = collect(lambda: document.read(folder / tenants_file, tenants_file))
    entries = None
    if tenants_document is not None:
        listed = tenants_document
        entries = collect(lambda: tenants.parse(listed, rules or ()))
        if entries is not None and stack is not None:
            found += identity.problems(entries, listed, stack.aws.identity if stack.aws else None)
            found += iam.problems(entries, listed, stack.aws.account if stack.aws else None)
            found += network_mistakes.problems(entries, listed, cluster_network(stack.aws, stack.network))
    install = None
    if stack is not None:
        text = collect(lambda: flux.fetch(stack.flux_manifest, stack.flux_manifest_sha256, folder, source.file))
        if text is not None:
            selected, lockdown = stack.flux_components, stack.flux_lockdown
            name, network = stack.flux_manifest, stack.network
            install = collect(lambda: flux.parse(text, name, selected, lockdown=lockdown, network=network))
        kubeconfig = folder / Path(stack.kubeconfig).expanduser()
        if stack.aws is None and not kubeconfig.is_file():
            remedy = "Name the kubeconfig of the cluster; for the embedded platform run `make up`."
            found.append(source.mistake(("kubeconfig",), f"there is no file {stack.kubeconfig}", remedy))
    if found or stack is None or rules is None or entries is None or install is None:
        raise pulumi.RunError(str(MistakesError(found)))
    return Configuration(stack, entries, rules, install)


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
