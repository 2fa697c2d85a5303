"""`./saas shard`: which stack has a tenant, and moves of its state."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.__main__ import app
from cli.errors import CommandError
from model.config import stack_shards, tenants, yaml_lines
from model.config.errors import InvalidConfigError
from model.config.stack_shards import StackShard

SOURCE = {"url": "https://github.com/acme/shop", "branch": "main"}
PULUMI = """\
import json, pathlib, sys
states = pathlib.Path("states")
def path(stack): return states / f"{stack}.json"
def write(stack, state):
    left = pathlib.Path("writes-left")
    if left.exists():
        number = int(left.read_text())
        if number == 0:
            sys.exit("killed")
        left.write_text(str(number - 1))
    path(stack).write_text(json.dumps(state))
arguments = sys.argv[1:-1]
assert sys.argv[-1] == "--non-interactive"
pathlib.Path("log").open("a").write(" ".join(arguments[:2]) + "\\n")
match arguments:
    case ["stack", "ls", "--json"]:
        print(json.dumps([{"name": f"acme/{file.stem}"} for file in states.iterdir()]))
    case ["stack", "export", "--stack", stack]:
        print(path(stack).read_text())
    case ["stack", "import", "--stack", stack, "--file", file]:
        write(stack, json.loads(pathlib.Path(file).read_text()))
    case ["state", "move", "--yes", "--source", source, "--dest", dest, *urns]:
        one, other = (json.loads(path(stack).read_text()) for stack in (source, dest))
        resources = one["deployment"]["resources"]
        moved = [found for found in resources if found["urn"] in urns]
        assert len(moved) == len(urns)
        one["deployment"]["resources"] = [found for found in resources if found not in moved]
        moved = [{**found, "urn": found["urn"].replace(f":{source}::", f":{dest}::")} for found in moved]
        other["deployment"]["resources"] += moved
        write(dest, other), write(source, one)
"""


class Folder:
    """A project whose `pulumi` keeps states in files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def state(self, stack: str, *tenants: str, outputs: Sequence[str] | None = None) -> None:
        root = {"urn": f"urn:pulumi:{stack}::saas-in-eks::pulumi:pulumi:Stack::x", "type": "pulumi:pulumi:Stack"}
        known = {name: {"namespace": name, "product": "shop"} for name in (tenants if outputs is None else outputs)}
        keys = {"flux-system": {"generation": 3}, **{name: {"generation": 2} for name in known}}
        kinds = ("saas:tenant:TenantSpace", "saas:notifications:Notifications")
        resources: list[dict[str, Any]] = [
            {**root, "outputs": {"tenants": known, "deployKeys": keys, "fluxVersion": "v2"}}
        ]
        resources += [
            {"urn": f"urn:pulumi:{stack}::saas-in-eks::{kind}::{name}", "type": kind}
            for name in tenants
            for kind in kinds
        ]
        (self.path / "states" / f"{stack}.json").write_text(json.dumps({"deployment": {"resources": resources}}))

    def holds(self, stack: str) -> tuple[list[str], list[str]]:
        """The tenants in a stack's resources, and those in its outputs."""
        root, *others = json.loads((self.path / "states" / f"{stack}.json").read_text())["deployment"]["resources"]
        assert all(f"urn:pulumi:{stack}::" in resource["urn"] for resource in others)
        assert root["outputs"]["fluxVersion"] == "v2"
        assert root["outputs"]["deployKeys"].keys() - {"flux-system"} == root["outputs"]["tenants"].keys()
        spaces = [resource["urn"].rpartition("::")[2] for resource in others if "TenantSpace" in resource["urn"]]
        assert all(value["product"] == "shop" for value in root["outputs"]["tenants"].values())
        return sorted(spaces), sorted(root["outputs"]["tenants"])

    def saas(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["shard", *arguments, "--project", str(self.path)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.output


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    (tmp_path / "states").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pulumi.py").write_text(PULUMI)
    program = tmp_path / "bin" / "pulumi"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}.py" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    (tmp_path / "Pulumi.yaml").write_text("name: saas-in-eks\n")
    (tmp_path / "Pulumi.us.yaml").write_text("config: {saas-in-eks:tenantsFile: all.yaml}\n")
    (tmp_path / "Pulumi.eu.yaml").write_text(
        "config: {saas-in-eks:shard: {count: 2}, saas-in-eks:tenantsFile: all.yaml}\n"
    )
    (tmp_path / "Pulumi.eu-1.yaml").write_text(
        "config: {saas-in-eks:platform: eu, saas-in-eks:shard: {count: 2, index: 1}}\n"
    )
    entries = [{"name": name, "source": SOURCE} for name in ("globex", "initech")]
    entries.append({"name": "acme", "source": SOURCE, "stackShard": 2})
    (tmp_path / "all.yaml").write_text(yaml.safe_dump({"tenants": entries}))
    return Folder(tmp_path)


def test_every_tenant_is_listed_with_its_stack_and_why(folder: Folder) -> None:
    rows = [line.split(maxsplit=2) for line in folder.saas("list").splitlines()[1:]]
    assert rows == [["globex", "eu-2", "its name"], ["initech", "eu-1", "its name"], ["acme", "eu-2", "its entry"]]
    assert json.loads(folder.saas("list", "--json"))[2] == {"tenant": "acme", "stack": "eu-2", "by": "its entry"}
    assert "eu-" not in folder.saas("list", "--platform", "us"), "it has no shards, so all tenants are its own"


def test_states_go_where_the_file_says_and_a_second_run_changes_nothing(folder: Folder) -> None:
    folder.state("eu", "globex", "initech", "acme")
    folder.state("eu-1")
    folder.state("eu-2")
    folder.state("eu-west", "acme")
    assert folder.saas("move", "--dry-run") == "eu -> eu-2: globex, acme\neu -> eu-1: initech\n"
    assert folder.holds("eu") == (["acme", "globex", "initech"],) * 2
    assert folder.saas("move").endswith("Now run `pulumi up` for eu, eu-2, eu-1.\n")
    assert [folder.holds(stack) for stack in ("eu", "eu-1", "eu-2")] == [
        ([], []),
        (["initech"], ["initech"]),
        (["acme", "globex"], ["acme", "globex"]),
    ]
    (folder.path / "log").unlink()
    assert folder.saas("move") == "Every state is where it belongs.\n"
    assert {*(folder.path / "log").read_text().splitlines()} == {"stack ls", "stack export"}


def refused(folder: Folder, stack: str) -> bool:
    """Whether the program ends before it touches anything, for the tenants that the files give to a stack."""
    states = {
        name: json.loads((folder.path / "states" / f"{name}.json").read_text()) for name in ("eu", "eu-1", "eu-2")
    }
    outputs = {name: state["deployment"]["resources"][0]["outputs"] for name, state in states.items()}
    everyone = tenants.parse(yaml_lines.read(folder.path, "all.yaml"))
    shard = StackShard(count=2, index=int(stack.removeprefix("eu-")) if stack != "eu" else None)
    here = stack_shards.tenants_of(everyone, shard)
    problems = [
        *stack_shards.displaced(everyone, here, shard, stack, "eu", outputs),
        *stack_shards.unfinished_moves(everyone, stack, "eu", outputs),
        *tenants.vanished(everyone, outputs[stack]["tenants"], date(2026, 11, 26), protected=False),
    ]
    return bool(problems)


@pytest.mark.parametrize("entry", ["kept", "reverted", "removed"])
@pytest.mark.parametrize("writes", range(5))
def test_a_move_that_is_interrupted_anywhere_lets_no_stack_delete_or_take_over_a_tenant(
    folder: Folder, writes: int, entry: str
) -> None:
    folder.state("eu")
    folder.state("eu-1", "acme", "initech")
    folder.state("eu-2", "globex")
    (folder.path / "writes-left").write_text(str(writes))
    with pytest.raises(CommandError, match="killed"):
        folder.saas("move", "acme")
    (folder.path / "writes-left").unlink()
    listed = yaml.safe_load((folder.path / "all.yaml").read_text())
    acme = listed["tenants"].pop()
    if entry != "removed":
        listed["tenants"].append({**acme, "stackShard": 2 if entry == "kept" else 1})
    (folder.path / "all.yaml").write_text(yaml.safe_dump(listed))

    belongs = {"kept": "eu-2", "reverted": "eu-1", "removed": None}[entry]
    for stack in ("eu", "eu-1", "eu-2"):
        has = "acme" in folder.holds(stack)[0]
        assert has == (stack == belongs) or refused(folder, stack), f"{stack} would run"
    if entry == "removed":
        return
    if all("acme" in folder.holds(stack)[0] for stack in ("eu-1", "eu-2")):
        with pytest.raises(CommandError, match="both have acme"):
            folder.saas("move", "acme")
        return
    folder.saas("move", "acme")
    assert folder.holds("eu-1") == ((["initech"],) * 2 if entry == "kept" else (["acme", "initech"],) * 2)
    assert folder.holds("eu-2") == ((["acme", "globex"],) * 2 if entry == "kept" else (["globex"],) * 2)
    assert "movingTo" not in "".join(file.read_text() for file in (folder.path / "states").iterdir())
    assert not any(refused(folder, stack) for stack in ("eu", "eu-1", "eu-2"))


def test_a_move_that_is_finished_later_keeps_what_an_update_of_the_target_wrote(folder: Folder) -> None:
    folder.state("eu")
    folder.state("eu-1", "initech", outputs=["initech", "acme"])
    folder.state("eu-2", "acme", "globex")
    file = folder.path / "states" / "eu-2.json"
    file.write_text(file.read_text().replace('"acme": {"generation": 2}', '"acme": {"generation": 5}'))
    folder.saas("move", "acme")
    state = json.loads(file.read_text())
    assert state["deployment"]["resources"][0]["outputs"]["deployKeys"]["acme"] == {"generation": 5}
    assert folder.holds("eu-1") == (["initech"],) * 2


def test_a_stack_that_the_configuration_lacks_by_now_gives_its_tenants_back(folder: Folder) -> None:
    for stack, names in (("eu", ()), ("eu-1", ("initech",)), ("eu-2", ("globex",)), ("eu-3", ("acme",))):
        folder.state(stack, *names)
    assert folder.saas("move").startswith("eu-3 -> eu-2: acme\n")
    folder.path.joinpath("Pulumi.eu.yaml").write_text("config: {saas-in-eks:tenantsFile: all.yaml}\n")
    folder.saas("move", "--platform", "eu")
    assert folder.holds("eu") == (["acme", "globex", "initech"],) * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("move", "acmee"), "there is no tenant 'acmee'.*acme"),
        (("move", "--platform", "europe"), "there is no platform 'europe'.*eu"),
        (("move", "initech"), "no stack has initech yet.*pulumi up --stack eu-1"),
        (("move", "acme"), "there is no stack eu-2.*pulumi stack init eu-2"),
        (("move", "globex"), "the states of eu and eu-1 both have globex.*pulumi state delete"),
    ],
)
def test_what_cannot_be_moved_is_refused(folder: Folder, arguments: Sequence[str], message: str) -> None:
    folder.state("eu", "globex")
    folder.state("eu-1", "acme", "globex")
    with pytest.raises(CommandError, match=f"(?s){message}"):
        folder.saas(*arguments)


def test_without_a_platform_that_has_shards_its_name_is_asked_for(folder: Folder) -> None:
    (folder.path / "Pulumi.eu.yaml").unlink()
    with pytest.raises(CommandError, match="no stack has shards"):
        folder.saas("list")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Pulumi.yaml", None, "Pulumi.yaml: the file does not exist"),
        ("Pulumi.yaml", "", "Pulumi.yaml:1: the project has no name"),
        ("Pulumi.yaml", "- name: x\n", "Pulumi.yaml:1: must be a mapping"),
        ("Pulumi.yaml", "name: [x]\n", "Pulumi.yaml:1: the project has no name"),
        ("Pulumi.eu.yaml", "- config\n", "Pulumi.eu.yaml:1: must be a mapping"),
        ("Pulumi.eu.yaml", "config: [x]\n", "Pulumi.eu.yaml:1: config: must be a mapping"),
        ("Pulumi.eu.yaml", "config: {saas-in-eks:shard: 2}\n", "Pulumi.eu.yaml:1: shard: must be a mapping"),
        ("Pulumi.eu.yaml", "config: {saas-in-eks:shard: {count: x}}\n", "shard.count: must be a whole number"),
        (
            "Pulumi.eu.yaml",
            "config: {saas-in-eks:shard: {count: 2}, saas-in-eks:tenantsFile: [x]}\n",
            r"\['x'\]: the file does not exist",
        ),
        ("all.yaml", None, "all.yaml: the file does not exist"),
    ],
)
def test_a_mistake_in_the_projects_files_is_named(folder: Folder, name: str, content: str | None, message: str) -> None:
    if content is None:
        (folder.path / name).unlink()
    else:
        (folder.path / name).write_text(content)
    with pytest.raises(InvalidConfigError, match=message):
        folder.saas("list")
