"""Evaluates NetworkPolicies with cyclonus, an independent evaluator: which connections are allowed?

No packet is sent. Cyclonus reads the policies and a list of connections, each from a pod to a pod or an address, and
answers for each whether the policies of both ends allow it.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from local import toolchain
from local.toolchain.manifest import install_manifest
from model.config.network import ClusterAddresses, NetworkRules
from model.kubernetes.manifests import Manifest
from model.kubernetes.network_policies import network_policies, with_closed_network

VERDICTS = {"TRUE": True, "FALSE": False}
SECONDS = 60.0


class EvaluationError(Exception):
    """Cyclonus failed. The message is its output."""


@dataclass(frozen=True)
class Pod:
    """A pod, with everything by which policies select pods."""

    namespace: str
    ip: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    def as_traffic(self) -> dict[str, Any]:
        """The pod in cyclonus' format. The API server sets the namespace's label."""
        labels = {"kubernetes.io/metadata.name": self.namespace}
        inside = {"Namespace": self.namespace, "NamespaceLabels": labels, "PodLabels": dict(self.labels)}
        return {"Internal": inside, "IP": self.ip}


@dataclass(frozen=True)
class Address:
    """An end of a connection without labels: the internet, a node, the virtual address of a service."""

    ip: str

    def as_traffic(self) -> dict[str, Any]:
        """The address in cyclonus' format."""
        return {"IP": self.ip}


@dataclass(frozen=True)
class Connection:
    """An attempt to open a connection."""

    source: Pod | Address
    destination: Pod | Address
    port: int
    protocol: str = "TCP"


@dataclass(frozen=True)
class Scenario:
    """Policies, connections, and which of them are meant to be allowed."""

    policies: Sequence[Manifest]
    connections: Mapping[tuple[str, str], Connection]
    """(row, column) of the table -> connection. The row names the destination, the column the source."""
    intended: Mapping[tuple[str, str], bool]
    rows: Sequence[str]
    columns: Sequence[str]


def evaluate(policies: Sequence[Manifest], connections: Sequence[Connection]) -> list[bool]:
    """Whether the policies allow each connection, in order.

    Builds cyclonus if it is missing. Raises EvaluationError for input that cyclonus does not understand.
    """
    program = toolchain.ensure(["cyclonus"])["cyclonus"]
    traffic = [
        {
            "Source": connection.source.as_traffic(),
            "Destination": connection.destination.as_traffic(),
            "ResolvedPort": connection.port,
            "Protocol": connection.protocol,
        }
        for connection in connections
    ]
    with tempfile.TemporaryDirectory() as folder:
        policy_folder, traffic_file = Path(folder, "policies"), Path(folder, "traffic.json")
        policy_folder.mkdir()
        for number, policy in enumerate(policies):
            # One per file, so that cyclonus' error names the policy.
            (policy_folder / f"{number}.json").write_text(json.dumps(policy))
        traffic_file.write_text(json.dumps(traffic))
        command = [str(program), "analyze", "--mode", "query-traffic", "--simplify-policies=false"]
        command += ["--policy-path", str(policy_folder), "--traffic-path", str(traffic_file)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if answer.returncode != 0:
        raise EvaluationError(answer.stderr[-2000:])
    verdicts = [VERDICTS[line.split("|")[2].strip()] for line in answer.stdout.splitlines() if "IS ALLOWED?" in line]
    if len(verdicts) != len(connections):
        raise EvaluationError(
            f"cyclonus answered {len(verdicts)} of {len(connections)} connections:\n{answer.stdout[-2000:]}"
        )
    return verdicts


def matrix(
    policies: Sequence[Manifest], connections: Mapping[tuple[str, str], Connection]
) -> dict[tuple[str, str], bool]:
    """(row, column) -> whether the connection is allowed."""
    return dict(zip(connections, evaluate(policies, list(connections.values())), strict=True))


def policies_of_flux() -> list[Manifest]:
    """The policies in the manifest that `make up` installs, as Flux ships them. Assembles the manifest if necessary."""
    documents = yaml.safe_load_all(install_manifest().read_text(encoding="utf-8"))
    return [document for document in documents if document["kind"] == "NetworkPolicy"]


def load(path: Path) -> Scenario:
    """A scenario and its intended table, from a file such as tests/isolation/reachability.yaml."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    parts = (content["cluster"][key] for key in ("ranges", "resolvers", "publicSubnets"))
    cluster = ClusterAddresses(*map(tuple, parts))
    hosts = (f"10.0.{number // 250 + 16}.{number % 250 + 1}" for number in count())
    opened = [content["flux"][key] for key in ("scrapers", "webhookSenders", "webhookNetworks")]
    policies = [with_closed_network(policy, *opened) for policy in policies_of_flux()]
    ends: dict[str, Pod | Address] = {}
    for name, tenant in content["tenants"].items():
        rules = NetworkRules.model_validate(tenant.get("network", {}))
        policies += network_policies(name, rules, aws_access=tenant.get("aws", False), cluster=cluster)
        ends[name] = Pod(name, next(hosts))
    for name, place in content["places"].items():
        labels = place.get("labels", {})
        ends[name] = Address(place["ip"]) if "ip" in place else Pod(place["namespace"], next(hosts), labels)
    header, *lines = [
        [cell.strip() for cell in line.strip()[1:-1].split("|")] for line in content["table"].splitlines()
    ]
    columns = header[1:]
    connections: dict[tuple[str, str], Connection] = {}
    intended: dict[tuple[str, str], bool] = {}
    rows: list[str] = []
    for row, *cells in lines:
        if set(row) <= set("-: "):
            continue
        rows.append(row)
        name, _, port = row.partition(" ")
        number, _, protocol = port.partition("/")
        for column, cell in zip(columns, cells, strict=True):
            if not cell:
                continue
            there = Pod(column, next(hosts)) if name == OWN else ends[name]
            connections[row, column] = Connection(ends[column], there, int(number), protocol or "TCP")
            intended[row, column] = {"yes": True, "-": False}[cell]
    return Scenario(policies, connections, intended, rows, columns)


OWN = "itself"
"""Row of the table: another pod of the source's namespace."""


def as_markdown(scenario: Scenario, found: Mapping[tuple[str, str], bool]) -> str:
    """The resulting table; differences from the intended one are in bold."""
    lines = [["", *scenario.columns], ["---"] * (len(scenario.columns) + 1)]
    for row in scenario.rows:
        lines.append([row, *(_cell(scenario, found, (row, column)) for column in scenario.columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(scenario: Scenario, found: Mapping[tuple[str, str], bool], place: tuple[str, str]) -> str:
    if place not in found:
        return ""
    text = "yes" if found[place] else "-"
    return text if found[place] == scenario.intended[place] else f"**{text}**"
