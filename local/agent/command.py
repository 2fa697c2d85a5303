"""Translate a pod's container into a command for this machine: only paths, ports and addresses differ."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from local.agent.api import Object

LISTEN_FLAGS = {"--metrics-addr": 8080, "--health-addr": 9440}
"""Flags of every Flux controller that set where it listens, and the port it takes by default."""
MORE_LISTEN_FLAGS = {
    "source-controller": {"--storage-addr": 9090},
    "notification-controller": {"--events-addr": 9090, "--receiverAddr": 9292},
}
"""Flags that only one controller has, or that only this controller listens at."""

DEFAULT_PATHS = {"image-reflector-controller": {"--storage-path": "/data"}}
"""Flags whose default is a path in the container, where this machine has no such folder."""

LEADER_ELECTION = "--enable-leader-election"
"""Left out: a controller reads the namespace of its lease from a file at a fixed path, which exists in containers only.
So during a rollout the old and the new pod may both work for a few seconds."""

LOCALHOST = "127.0.0.1"
SERVICE_HOST = "0.0.0.0"  # noqa: S104 - nothing listens there
"""Replaces the addresses of Services. It leads to this machine like 127.0.0.1, but Go bypasses proxies for loopback
addresses, and not for this one. So NO_PROXY works as in a cluster."""

PYTHON = "python"
"""The image of Python, of which the container's command names the program: here, this machine's Python runs it."""

SERVICE_ACCOUNT_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
SERVICE_ACCOUNT_FOLDER = "serviceaccount"
"""Takes its place, below the pod's folder."""
UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}


class UnsupportedError(ValueError):
    """The pod asks for something that the agent does not support. The message says what."""


@dataclass(frozen=True)
class Host:
    """What this machine offers to a pod."""

    folder: Path
    """Holds the pod's kubeconfig and volumes."""
    address: str
    """A loopback address of the pod's own, where nothing else listens."""
    services: Mapping[str, str]
    """Names of the namespace's Services by their addresses in the cluster."""
    api_server: str
    """HOST:PORT of the API server."""
    service_port: Callable[[str], int]
    """The loopback port of a Service, by name."""
    free_port: Callable[[], int]


@dataclass(frozen=True)
class Command:
    """A program's arguments and environment, and where it answers."""

    arguments: list[str]
    environment: dict[str, str]
    ports: dict[int | str, str]
    """HOST:PORT of each port of the container, by number and by name."""
    readiness: str
    """The URL of the readiness probe."""


def program_of(image: str) -> str:
    """The last part of an image's name: ghcr.io/fluxcd/source-controller:v1.9.3@sha256:... is source-controller."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def container_of(pod: Object) -> Object:
    """The pod's only container. Raises UnsupportedError if there are more."""
    if len(pod["spec"]["containers"]) > 1 or pod["spec"].get("initContainers"):
        raise UnsupportedError("only pods of one container without init containers are supported here")
    return pod["spec"]["containers"][0]


def translate(pod: Object, host: Host) -> Command:
    """The command for a pod's container. Raises UnsupportedError."""
    container = container_of(pod)
    program = program_of(container["image"])
    for key, remedy in (("command", "only its args"), ("envFrom", "write the variables into its env")):
        if container.get(key) and (program, key) != (PYTHON, "command"):
            raise UnsupportedError(f"a container's {key} is not supported here, {remedy}")
    environment: dict[str, str] = {}
    for variable in container.get("env", []):  # each may refer to those before it
        environment[variable["name"]] = _expand(_value(pod, container, variable, host.address), environment)
    given = [*container.get("command", [])[1:], *container.get("args", [])]
    for flag, default in DEFAULT_PATHS.get(program, {}).items():
        given = [f"{flag}={default}", *given]  # the pod's own flag comes later, and the last one counts
    arguments = [_expand(argument, environment) for argument in given]

    mounts = _mounts(pod, container, host.folder)
    aliases = _host_aliases(pod, host)

    def localized(text: str) -> str:
        return _replace_services(_replace_paths(text, mounts), pod["metadata"]["namespace"], host, aliases)

    arguments = [localized(text) for text in arguments if text.partition("=")[0] != LEADER_ELECTION]
    ports: dict[int | str, str] = {}
    flags = LISTEN_FLAGS | MORE_LISTEN_FLAGS.get(program, {})
    for flag, default in flags.items():
        if program == PYTHON and not any(argument.startswith(flag) for argument in arguments):
            continue
        value, others = _take(arguments, flag)
        if value in ("", "0"):
            continue  # the program does not listen there
        port = default if value is None else _port(flag, value)
        own = value is not None and value.startswith((f"{host.address}:", f"[{host.address}]:"))
        ports[port] = f"{host.address if own else LOCALHOST}:{host.free_port()}"
        arguments = [*others, f"{flag}={ports[port]}"]

    scratch = str(mounts.get("/tmp", host.folder))  # noqa: S108 - the container's, not this machine's
    defaults = {
        "PATH": "/usr/bin:/bin",
        "HOME": scratch,
        "TMPDIR": scratch,
        "HOSTNAME": pod["metadata"]["name"],
        "KUBECONFIG": str(host.folder / "kubeconfig"),
        "KUBERNETES_SERVICE_HOST": host.api_server.partition(":")[0],
        "KUBERNETES_SERVICE_PORT": host.api_server.partition(":")[2],
    }
    for declared in container.get("ports", []):
        if declared["containerPort"] in ports:
            ports[declared.get("name", "")] = ports[declared["containerPort"]]
    environment = {name: localized(text) for name, text in environment.items()}
    return Command(arguments, defaults | environment, ports, _readiness(container, ports))


def _readiness(container: Object, ports: Mapping[int | str, str]) -> str:
    probe: Object = container.get("readinessProbe", {}).get("httpGet", {})
    if probe.get("port") not in ports:
        raise UnsupportedError("a container's readinessProbe has to be an httpGet of a port where its program listens")
    return f"http://{ports[probe['port']]}{probe.get('path', '/')}"


def _value(pod: Object, container: Object, variable: Object, address: str) -> str:
    source = variable.get("valueFrom")
    if source is None:
        return variable.get("value", "")
    if "fieldRef" in source:
        fields = {
            "metadata.name": pod["metadata"]["name"],
            "metadata.namespace": pod["metadata"]["namespace"],
            "spec.nodeName": pod["spec"]["nodeName"],
            "spec.serviceAccountName": pod["spec"]["serviceAccountName"],
            "status.podIP": address,
        }
        path = source["fieldRef"]["fieldPath"]
        if path not in fields:
            raise UnsupportedError(f"field {path} is not supported here, only {', '.join(fields)}")
        return fields[path]
    if "resourceFieldRef" in source:
        return _resource(container, source["resourceFieldRef"])
    raise UnsupportedError(f"variable {variable['name']} comes from {', '.join(source)}, which is not supported here")


def _resource(container: Object, reference: Object) -> str:
    """A container's limit or request, rounded up. Without one, all that the machine has."""
    kind, _, name = reference["resource"].partition(".")
    machine: dict[str, Any] = {"cpu": os.cpu_count() or 1, "memory": psutil.virtual_memory().total}
    quantity = container.get("resources", {}).get(kind, {}).get(name) or str(machine[name])
    divisor = _amount(reference.get("divisor") or "1") or 1.0
    return str(-int(-_amount(quantity) // divisor))


def memory_limit(container: Object) -> float | None:
    """The bytes that a container may use; None for any amount. Raises UnsupportedError."""
    quantity = container.get("resources", {}).get("limits", {}).get("memory")
    return _amount(quantity) if quantity else None


def _amount(quantity: str) -> float:
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity)
    if match is None or match[2] not in UNITS:
        raise UnsupportedError(f"quantity {quantity} is not supported here; units are {', '.join(filter(None, UNITS))}")
    return float(match[1]) * UNITS[match[2]]


def _expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace $(NAME) by a variable's value and $$ by a dollar sign. Unknown variables stay as they are."""
    return re.sub(
        r"\$\$|\$\(([^)]+)\)",
        lambda found: "$" if found[0] == "$$" else environment.get(found[1], found[0]),
        text,
    )


def _mounts(pod: Object, container: Object, folder: Path) -> dict[str, Path]:
    """Folders of this machine by mount path."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    mounts: dict[str, Path] = {}
    for mount in container.get("volumeMounts", []):
        if mount["mountPath"] == SERVICE_ACCOUNT_MOUNT:
            mounts[SERVICE_ACCOUNT_MOUNT] = folder / SERVICE_ACCOUNT_FOLDER
            continue
        if not {"emptyDir", "configMap"} & volumes[mount["name"]].keys():
            raise UnsupportedError(f"volume {mount['name']} is not supported here, only emptyDir and configMap are")
        mounts[mount["mountPath"].rstrip("/")] = folder / "volumes" / mount["name"] / mount.get("subPath", "")
    return mounts


def _replace_paths(text: str, mounts: Mapping[str, Path]) -> str:
    """Replace paths below mount paths, but not inside URLs."""
    if not mounts:
        return text
    paths = "|".join(re.escape(mount) for mount in sorted(mounts, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({paths})(?=/|,|:|$)", lambda found: str(mounts[found[1]]), text)


def _host_aliases(pod: Object, host: Host) -> dict[str, str]:
    """HOST:PORT of the names in the pod's hosts file. Raises UnsupportedError if they do not lead to a Service."""
    found: dict[str, str] = {}
    for alias in pod["spec"].get("hostAliases", []):
        if alias["ip"] not in host.services:
            raise UnsupportedError(f"hostAliases lead to {alias['ip']}, which is not the address of a Service here")
        # Loopback, where Go asks no proxy: only this pod knows the names, so only this pod can ask there.
        address = f"{LOCALHOST}:{host.service_port(host.services[alias['ip']])}"
        found |= dict.fromkeys(alias["hostnames"], address)
    return found


def _replace_services(text: str, namespace: str, host: Host, aliases: Mapping[str, str]) -> str:
    """Replace the cluster's names of Services, and names in the hosts file, by addresses of this machine."""
    for name, address in aliases.items():
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?::\d+)?(?![\w.-])", address, text)

    def addresses(found: re.Match[str]) -> str:
        names = [found[1]] if found[1] else host.services.values()  # .NAMESPACE.svc means all Services
        return ",".join(f"{SERVICE_HOST}:{host.service_port(name)}" for name in names)

    dns_name = rf"([a-z0-9-]*)\.{re.escape(namespace)}\.svc(?:\.cluster\.local\.?)?(?::\d+)?(?![\w.-])"
    return re.sub(dns_name, addresses, text)


def _take(arguments: list[str], flag: str) -> tuple[str | None, list[str]]:
    """A flag's value (None if it is not given; the last one counts) and the arguments without it."""
    value, others, remaining = None, [], iter(arguments)
    for argument in remaining:
        name, equals, inline = argument.partition("=")
        if name == flag:
            value = inline if equals else next(remaining, "")
        else:
            others.append(argument)
    return value, others


def _port(flag: str, address: str) -> int:
    port = address.rpartition(":")[2]
    if not port.isdigit():
        raise UnsupportedError(f"{flag}={address} has no port")
    return int(port)
