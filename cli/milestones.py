"""`./saas tenant status`: when each tenant was requested, merged and applied, and whether it is ready; for billing."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli import changes, effective, tenants_file
from cli.status import Kubeconfig, Kubectl
from cli.tenants import CHECKOUT, File, Json
from model.config.tenants import TenantList
from model.status import Api, created, reconciliations, workloads


@dataclass(frozen=True)
class Milestones:
    """A tenant's way from a request to a running product. Times are in UTC; None for what is not known."""

    name: str
    tier: str
    product: str | None
    state: str
    requested: str | None
    """When its entry was written: the author's time of the commit."""
    merged: str | None
    """When the entry reached the branch that is checked out."""
    applied: str | None
    """When its namespace was made."""
    ready: bool
    url: str | None
    """Its first host name without a wildcard."""


@dataclass(frozen=True)
class _Commit:
    authored: int
    committed: int


def status(file: File = CHECKOUT / "tenants.yaml", kubeconfig: Kubeconfig = None, as_json: Json = False) -> None:
    """Show when tenants were requested, merged and applied, and whether they are ready. Times are in UTC.

    \b
    ./saas tenant status
    ./saas tenant status --json > status.json
    ./saas tenant status --json | jq '.[] | select(.applied and .state == "active") | {name, tier, applied}'
    """
    found = milestones(tenants_file.load(file), file.resolve(), Kubectl(kubeconfig))
    if as_json:
        changes.print_json([asdict(each) for each in found])
        return
    table = effective.new_table("tenant", "state", "requested", "merged", "applied", "ready", "url")
    for each in found:
        times = (each.requested or "", each.merged or "", each.applied or "")
        table.add_row(each.name, each.state, *times, "yes" if each.ready else "no", each.url or "")
    effective.print_table(table)


def milestones(listed: TenantList, path: Path, api: Api) -> list[Milestones]:
    """Those of every tenant of a file, in its order."""
    written, merged = _blame(path), _blame(path, "--first-parent")
    since, pods = created(api), workloads(api)
    ready = {row.name: row.ready and pods[row.name].complete for row in reconciliations(api) if not row.of}
    found: list[Milestones] = []
    for index, tenant in enumerate(listed.tenants):
        line = listed.inheritance.file.line(("tenants", index))
        requested = _time(written[line].authored) if line in written else None
        reached = _time(merged[line].committed) if line in merged else None
        place = (tenant.name, tenant.tier, tenant.product, tenant.state)
        applied = since.get(tenant.name)
        found.append(Milestones(*place, requested, reached, applied, ready.get(tenant.name, False), tenant.url))
    return found


def _time(seconds: int) -> str:
    """A time as Kubernetes writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _blame(path: Path, *options: str) -> Mapping[int, _Commit]:
    """The commit that wrote each line of a file; none for lines that are not committed, or whose history is cut off."""
    command = ["git", "blame", "--line-porcelain", *options, "--", path.name]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)
    if done.returncode:
        return {}  # not in a repository, or not committed yet
    asked = ["git", "rev-parse", "--is-shallow-repository"]
    # Otherwise the boundary is the first commit of all, which is known.
    cut_off = subprocess.run(asked, cwd=path.parent, capture_output=True, check=True).stdout.strip() == b"true"
    found: dict[int, _Commit] = {}
    header: dict[str, str] = {}
    for text in done.stdout.decode(errors="replace").split("\n"):
        if not text.startswith("\t"):
            key, _, value = text.partition(" ")
            header[key if header else "commit"] = value if header else text
            continue
        commit, _, number = header["commit"].split(" ")[:3]
        if commit.strip("0") and not (cut_off and "boundary" in header):
            found[int(number)] = _Commit(int(header["author-time"]), int(header["committer-time"]))
        header = {}
    return found
