"""What a pod's container asks for, as a command for this machine: only paths, ports and addresses differ."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from local.agent.api import Pod

LISTEN_FLAGS: dict[str, dict[str, int]] = {
    "source-controller": {"--metrics-addr": 8080, "--health-addr": 9440, "--storage-addr": 9090},
    "kustomize-controller": {"--metrics-addr": 8080, "--health-addr": 9440},
    "helm-controller": {"--metrics-addr": 8080, "--health-addr": 9440},
    "notification-controller": {
        "--metrics-addr": 8080,
        "--health-addr": 9440,
        "--events-addr": 9090,
        "--receiverAddr": 9292,
    },
}
"""For each program that can be run: the flags that say where it listens, and its port in a container without them."""

HERE = "0.0.0.0"  # noqa: S104 - nothing listens there
"""Stands for a Service's address. It leads to this machine as 127.0.0.1 does, but Go asks for loopback addresses
without the proxy that a program is told to use, and for this one with it, as in a cluster."""

ADVERTISED = "--storage-adv-addr"
"""source-controller's flag for the address under which others reach its storage."""

LEADER_ELECTION = "--enable-leader-election"
"""Left out: a controller learns the namespace of its lease from a file that only containers have, at a fixed path.
So while a rollout lasts, the old and the new pod may both be at work for a few seconds. It also spares the wait for the
old leader's lease to expire after a power cut."""

_UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_UNITS |= {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


class UnsupportedError(ValueError):
    """The pod asks for something that the agent can't give. The message says what, and what it can."""


@dataclass(frozen=True)
class Place:
    """Where a pod's program runs on this machine."""

    folder: Path
    """Below it are the pod's volumes."""
    kubeconfig: Path
    services: Mapping[str, int]
    """Port of each Service in the pod's namespace."""
    free_port: Callable[[], int]
    address: str = "127.0.0.1"
    """The pod's own: a loopback address that nothing else listens at."""
    cluster_addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    """Which Service has which address in the cluster."""


@dataclass(frozen=True)
class Command:
    """Arguments (without the program), environment, and which address stands for which port of the container."""

    arguments: list[str]
    environment: dict[str, str]
    ports: dict[int, str]


def program_of(image: str) -> str:
    """The last part of an image's name: ghcr.io/fluxcd/source-controller:v1.9.3@sha256:... is source-controller."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def tag_of(image: str) -> str:
    """An image's tag, or nothing."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def translate(pod: Pod, container: dict[str, Any], place: Place) -> Command:
    """The command for a container. Raises UnsupportedError."""
    program = program_of(container["image"])
    mounts = _mounts(pod, container, place.folder)
    # In a pod, environment variables see the ones before them.
    environment: dict[str, str] = {}
    if container.get("envFrom"):
        raise UnsupportedError("envFrom is not supported here; write the variables into the container's env")
    for variable in container.get("env", []):
        environment[variable["name"]] = _expand(_value(pod, container, variable, place.address), environment)
    arguments = [_expand(argument, environment) for argument in container.get("args", [])]
    if container.get("command"):
        raise UnsupportedError("a container's command is not supported here, only its args")

    namespace = pod["metadata"]["namespace"]
    aliases = _aliases(pod, place)

    def moved(text: str) -> str:
        return _readdress(_relocate(text, mounts), namespace, place.services, aliases)

    arguments = [moved(text) for text in arguments]
    environment = {name: moved(text) for name, text in environment.items()}
    arguments = [argument for argument in arguments if argument.partition("=")[0] != LEADER_ELECTION]
    ports: dict[int, str] = {}
    for flag, default in LISTEN_FLAGS[program].items():
        value, rest = _take(arguments, flag)
        if value in ("", "0"):
            continue  # the program is told not to listen
        port = default if value is None else _port(flag, value)
        only_there = value is not None and value.startswith((f"{place.address}:", f"[{place.address}]:"))
        ports[port] = f"{place.address if only_there else '127.0.0.1'}:{place.free_port()}"
        arguments = [*rest, f"{flag}={ports[port]}"]
    if program == "source-controller" and _take(arguments, ADVERTISED)[0] is None:
        arguments.append(f"{ADVERTISED}={HERE}:{place.services[program]}")

    scratch = mounts.get("/tmp", place.folder)  # noqa: S108 - the container's, not this machine's
    surroundings = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "HOSTNAME": pod["metadata"]["name"],
        "KUBECONFIG": str(place.kubeconfig),
    }
    return Command(arguments, surroundings | environment, ports)


def container_port(container: dict[str, Any], port: int | str) -> int:
    """The number of a container's port, which may be given by name. Raises UnsupportedError if there is none such."""
    if isinstance(port, int):
        return port
    for declared in container.get("ports", []):
        if declared.get("name") == port:
            return declared["containerPort"]
    raise UnsupportedError(f"container {container['name']} has no port named {port}")


def _mounts(pod: Pod, container: dict[str, Any], folder: Path) -> dict[str, Path]:
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    mounts = {}
    for mount in container.get("volumeMounts", []):
        if mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount":
            continue  # the kubeconfig takes its place
        if "emptyDir" not in volumes[mount["name"]]:
            raise UnsupportedError(f"volume {mount['name']} is not supported here, only emptyDir is")
        mounts[mount["mountPath"].rstrip("/")] = folder / "volumes" / mount["name"] / mount.get("subPath", "")
    return mounts


def _aliases(pod: Pod, place: Place) -> dict[str, str]:
    """Where the names in the pod's hosts file lead. Raises UnsupportedError where that is no Service."""
    found: dict[str, str] = {}
    for alias in pod["spec"].get("hostAliases", []):
        service = place.cluster_addresses.get(alias["ip"], "")
        if service not in place.services:
            raise UnsupportedError(f"hostAliases lead to {alias['ip']}, which is the address of no Service of Flux's")
        # Loopback, for which Go asks no proxy: as nobody else knows these names, nobody else can ask there.
        found |= dict.fromkeys(alias["hostnames"], f"127.0.0.1:{place.services[service]}")
    return found


def _value(pod: Pod, container: dict[str, Any], variable: dict[str, Any], address: str) -> str:
    source = variable.get("valueFrom")
    if source is None:
        return variable.get("value", "")
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"], address)
    if "resourceFieldRef" in source:
        return _resource(container, source["resourceFieldRef"])
    raise UnsupportedError(f"variable {variable['name']} comes from {', '.join(source)}, which is not supported here")


def _field(pod: Pod, path: str, address: str) -> str:
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if keyed:
        return pod["metadata"].get(keyed[1], {}).get(keyed[2], "")
    fields = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"]["namespace"],
        "metadata.uid": pod["metadata"]["uid"],
        "spec.nodeName": pod["spec"]["nodeName"],
        "spec.serviceAccountName": pod["spec"]["serviceAccountName"],
        "status.hostIP": "127.0.0.1",
        "status.podIP": address,
    }
    if path not in fields:
        raise UnsupportedError(f"field {path} is not supported here; these are: {', '.join(fields)}")
    return fields[path]


def _resource(container: dict[str, Any], reference: dict[str, Any]) -> str:
    kind, _, name = reference["resource"].partition(".")
    quantity = container.get("resources", {}).get(kind, {}).get(name)
    if quantity is None:  # what is not limited is limited by the machine
        machine = {"cpu": os.cpu_count() or 1, "memory": psutil.virtual_memory().total}
        quantity = str(machine[name])
    divisor = _amount(reference.get("divisor") or "1") or 1.0
    return str(-int(-_amount(quantity) // divisor))


def _amount(quantity: str) -> float:
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity)
    if match is None or match[2] not in _UNITS:
        raise UnsupportedError(f"quantity {quantity} can't be read")
    return float(match[1]) * _UNITS[match[2]]


def _expand(text: str, environment: Mapping[str, str]) -> str:
    """$(NAME) stands for a variable, $$ for a dollar sign; an unknown variable stays as it is written."""
    return re.sub(
        r"\$\$|\$\(([^)]+)\)",
        lambda found: "$" if found[0] == "$$" else environment.get(found[1], found[0]),
        text,
    )


def _relocate(text: str, mounts: Mapping[str, Path]) -> str:
    """Paths below a volume's mount path become paths of this machine; paths inside URLs do not."""
    if not mounts:
        return text
    paths = "|".join(re.escape(mount) for mount in sorted(mounts, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({paths})(?=/|,|:|$)", lambda found: str(mounts[found[1]]), text)


def _readdress(text: str, namespace: str, services: Mapping[str, int], aliases: Mapping[str, str]) -> str:
    """In-cluster names of Services, and names in the hosts file, become addresses of this machine."""
    for name, address in aliases.items():
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?::\d+)?(?![\w.-])", address, text)
    everything = ",".join(f"{HERE}:{port}" for port in services.values())
    return re.sub(
        rf"([a-z0-9-]*)\.{re.escape(namespace)}\.svc(?:\.cluster\.local\.?)?(?::\d+)?(?![\w.-])",
        lambda found: f"{HERE}:{services[found[1]]}" if found[1] in services else found[0] if found[1] else everything,
        text,
    )


def _take(arguments: list[str], flag: str) -> tuple[str | None, list[str]]:
    """A flag's value (None if it is not given; the last one counts) and the arguments without it."""
    value, rest, remaining = None, [], iter(arguments)
    for argument in remaining:
        name, equals, inline = argument.partition("=")
        if name == flag:
            value = inline if equals else next(remaining, "")
        else:
            rest.append(argument)
    return value, rest


def _port(flag: str, address: str) -> int:
    port = address.rpartition(":")[2]
    if not port.isdigit():
        raise UnsupportedError(f"{flag}={address} names no port")
    return int(port)
