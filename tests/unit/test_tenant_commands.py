"""`./saas tenant …`: what the commands write, refuse, and leave behind when they are killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli import __main__ as command_line
from cli import tenants as commands
from cli import tenants_file
from cli.errors import CommandError

ROOT = Path(__file__).parents[2]
TEXT = """\
# Our customers.
products:
  shop: {source: {url: "https://github.com/acme/shop", branch: main}}

tenants:
  - name: alpha   # the first
    tier: premium
    quota: {pods: 7}
    product: shop
"""
Command = Callable[..., str]
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def saas(file: Path) -> Command:
    """Runs `./saas tenant …` on the file; returns what it prints."""

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(
            command_line.app, ["tenant", *arguments, "--file", str(file)], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def refused(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command that fails and leaves the file as it was; returns its error."""

    def run(*arguments: str) -> str:
        before = file.read_bytes()
        monkeypatch.setattr(sys, "argv", ["saas", "tenant", *arguments, "--file", str(file)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        assert ended.value.code == 1
        assert file.read_bytes() == before
        assert list(file.parent.iterdir()) == [file]
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


def entries(file: Path) -> list[dict[str, Any]]:
    return yaml.safe_load(file.read_text())["tenants"]


def test_a_tenant_is_added_below_the_others(saas: Command, file: Path) -> None:
    shown = saas("add", "beta", "--tier", "basic", "--product", "shop", "--set", "hosts=[beta.acme.example]")
    added = "  - name: beta\n    tier: basic\n    product: shop\n    hosts: [beta.acme.example]\n"
    assert file.read_text() == TEXT + added
    assert "".join(f"+{line}\n" for line in added.splitlines()) in shown
    assert "\x1b" not in shown


def test_adding_twice_is_adding_once(saas: Command, refused: Command, file: Path) -> None:
    saas("add", "beta", "--product", "shop", "--set", "quota.pods=5")
    once = file.read_bytes()
    assert "nothing to change" in saas("add", "beta", "--product", "shop", "--set", "quota.pods=5")
    assert file.read_bytes() == once
    error = refused("add", "beta", "--product", "shop", "--set", "quota.pods=6", "--tier", "premium")
    assert "beta exists already, with another tier and quota.pods" in error
    assert "./saas tenant set beta" in error


def test_settings_are_changed_and_removed_in_place(saas: Command, file: Path) -> None:
    saas("set", "alpha", "--tier", "basic", "--set", "quota.requests.cpu=1", "--set", "quota.pods=null")
    wanted = TEXT.replace("premium", "basic").replace("{pods: 7}", "{pods: null, requests.cpu: 1}")
    assert file.read_text() == wanted
    assert "nothing to change" in saas("set", "alpha", "--tier", "basic", "--unset", "hosts")
    saas("set", "alpha", "--unset", "quota.requests.cpu", "--unset", "tier")
    assert file.read_text() == wanted.replace("    tier: basic\n", "").replace(", requests.cpu: 1", "")


def test_text_stays_text_and_other_values_are_yaml(saas: Command, file: Path) -> None:
    saas("add", "beta", "--url", "https://github.com/acme/x", "--branch", "1.10", "--set", "helm=true")
    assert entries(file)[1]["source"]["branch"] == "1.10"
    assert entries(file)[1]["helm"] is True


def test_a_suspended_tenant_is_resumed_and_the_file_is_as_before(saas: Command, file: Path) -> None:
    today = commands.today().isoformat()
    for _ in range(2):
        saas("suspend", "alpha", "--reason", "invoice 4711: unpaid")
        suspended = f'    suspended: {{since: {today}, reason: "invoice 4711: unpaid"}}\n'
        assert file.read_text() == TEXT + suspended
    assert "suspended" in saas("list").splitlines()[1]
    for _ in range(2):
        saas("resume", "alpha")
        assert file.read_text() == TEXT


def test_a_tenant_that_leaves_is_kept_purged_and_then_departed(
    saas: Command, refused: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def days_pass(number: int) -> None:
        monkeypatch.setattr("cli.tenants.today", lambda: datetime.now(UTC).date() + timedelta(days=number))

    first, last = commands.today().isoformat(), (commands.today() + timedelta(days=30)).isoformat()
    purge = ("purge", "alpha", "--confirm", "alpha")
    assert "it is not leaving" in refused(*purge)
    saas("suspend", "alpha", "--reason", "unpaid")
    for _ in range(2):
        saas("leave", "alpha", "--keep", "30d")
        assert file.read_text() == f"{TEXT}    leaving: {{since: {first}, until: {last}}}\n"
    assert "alpha is leaving, and suspended with that" in refused("suspend", "alpha", "--reason", "unpaid")
    assert f"its data is kept until {last}" in refused(*purge)
    days_pass(29)
    assert "nothing to change" in saas("leave", "alpha", "--keep", "30d")
    assert f"its data is kept until {last}" in refused(*purge)
    days_pass(30)
    assert "no backup of its data is recorded" in refused(*purge)
    saas("set", "alpha", "--set", "leaving.backup={id: s3://b/alpha, sha256: " + "a1" * 32 + "}")
    assert "its backup was never restored" in refused(*purge)
    saas("set", "alpha", "--set", f"leaving.backup.restored={last}")
    assert "--confirm alpha" in refused("purge", "alpha", "--confirm", "beta")
    for _ in range(2):
        saas(*purge)
        content = yaml.safe_load(file.read_text())
        assert content["tenants"] == []
        (left,) = content["departed"]
        assert (left["name"], left["since"].isoformat(), left["backup"]["id"]) == ("alpha", last, "s3://b/alpha")
    assert saas("list", "--departed").splitlines()[1] == f"alpha     {last}  s3://b/alpha"
    assert json.loads(saas("list", "--departed", "--json"))[0]["backup"]["restored"] == last
    assert "alpha has departed, and is a tenant on line" in refused("add", "alpha", "--product", "shop")
    for command in (("resume", "alpha"), ("leave", "alpha", "--keep", "1d"), ("purge", "delta", "--confirm", "delta")):
        assert "there is no tenant" in refused(*command)


def test_a_tenant_that_leaves_comes_back(saas: Command, file: Path) -> None:
    saas("leave", "alpha", "--keep", "30d")
    saas("leave", "alpha", "--keep", "60d")
    assert entries(file)[0]["leaving"]["until"] == commands.today() + timedelta(days=60)
    saas("resume", "alpha")
    assert file.read_text() == TEXT


def test_in_an_emergency_a_tenant_is_purged_at_once(saas: Command, file: Path) -> None:
    for _ in range(2):
        saas("purge", "alpha", "--confirm", "alpha", "--break-glass", "a test")
        departed = yaml.safe_load(file.read_text())["departed"]
        assert departed == [{"name": "alpha", "since": commands.today(), "breakGlass": "a test"}]


def test_a_dry_run_changes_nothing(saas: Command, file: Path) -> None:
    shown = json.loads(saas("add", "beta", "--product", "shop", "--dry-run", "--json"))
    assert file.read_text() == TEXT
    assert (shown["tenant"], shown["changed"], shown["dryRun"]) == ("beta", True, True)
    assert "+  - name: beta" in shown["diff"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("add beta --product shop --tier platinum", r"yaml:11: tenants\[1\]\.tier: unknown tier 'platinum'"),
        ("add Beta --product shop", "Write beta "),
        ("add beta", "Add `source: …`"),
        ("add beta --product shop --set quotas.pods=1", "unknown key 'quotas'\n    Did you mean quota"),
        ("add beta --product shop --set tier", "Write KEY=VALUE"),
        ("add beta --product shop --set source.token=x", "read the repository over SSH"),
        ("set alpha --set name=beta", "a tenant's name never changes"),
        ("set alpha --set helm=[", "not YAML"),
        ("set alpha", "nothing to set"),
        ("set alfa --tier basic", "there is no tenant 'alfa'\n    Did you mean alpha"),
        ("show alfa", "Did you mean alpha"),
        ("set alpha --tier basic --pr --preview", "exclude each other"),
        ("suspend alfa --reason unpaid", "Did you mean alpha"),
        ("leave alpha --keep 30", "Write --keep 30d"),
        ("leave alpha --keep 0d --dry-run --preview", "exclude each other"),
    ],
)
def test_mistakes_name_the_remedy_and_change_nothing(refused: Command, arguments: str, error: str) -> None:
    assert re.search(error, refused(*arguments.split()))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing.yaml", "missing.yaml does not exist"),
        ("missing/tenants.yaml", "tenants.yaml does not exist"),
        ("loop.yaml", "loop.yaml cannot be read: "),
        ("folder.yaml", "folder.yaml cannot be read: "),
        ("taken.yaml", "taken.yaml cannot be changed: "),
    ],
)
def test_a_file_that_cannot_be_used_is_named(file: Path, name: str, error: str) -> None:
    folder = file.parent
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "folder.yaml").mkdir()
    (folder / "taken.yaml").write_text(TEXT)
    (folder / ".taken.yaml.partial").mkdir()
    arguments = ["tenant", "set", "alpha", "--tier", "basic", "--file", str(folder / name)]
    refused = CliRunner().invoke(command_line.app, arguments).exception
    assert isinstance(refused, CommandError)
    assert error in str(refused)


def test_machines_get_problems_with_file_line_and_remedy(file: Path) -> None:
    command = [ROOT / "saas", "tenant", "add", "beta", "--product", "shap", "--json", "--file", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (problem,) = json.loads(done.stdout)["problems"]
    assert (done.returncode, problem["line"]) == (1, 11)
    assert problem["remedy"].startswith("Did you mean shop?")


def test_a_file_with_problems_is_not_edited(refused: Command, file: Path) -> None:
    file.write_text(TEXT.replace("tier: premium", "tier: 1"))
    assert "must be text" in refused("add", "beta", "--product", "shop")


def test_tenants_are_listed_and_shown_for_people_and_machines(saas: Command) -> None:
    assert saas("list").splitlines()[1].startswith("alpha   premium")
    assert [tenant["name"] for tenant in json.loads(saas("list", "--json"))] == ["alpha"]
    assert re.search(r"(?m)^quota pods +its entry, line 8 +7$", saas("show", "alpha"))
    assert json.loads(saas("show", "alpha", "--json"))["quota"]["pods"] == "7"


def test_help_has_examples_and_the_shell_completes_names(saas: Command, file: Path) -> None:
    for name in ("list", "show", "add", "set", "suspend", "resume", "leave", "backup", "purge"):
        assert f"./saas tenant {name}" in saas(name, "--help")
    environment = {**os.environ, "_SAAS_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
    words = {"COMP_WORDS": "./saas tenant show te"}
    done = subprocess.run([ROOT / "saas"], env=environment | words, capture_output=True, text=True, check=False)
    assert "tenant-001" in done.stdout.split()


def test_twenty_commands_at_once_lose_no_line(saas: Command, file: Path) -> None:
    names = [f"tenant-{number:03}" for number in range(20)]
    # Forked, so that they start at once and import nothing anew.
    processes = [FORK.Process(target=saas, args=("add", name, "--product", "shop")) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 20
    assert file.read_text().startswith(TEXT)
    assert sorted(entry["name"] for entry in entries(file)) == ["alpha", *names]


@pytest.mark.parametrize("step", ["open", "fsync", "fchmod", "replace"])
def test_a_killed_command_leaves_the_old_file_or_the_new(file: Path, step: str) -> None:
    """Killed right before each step of the write, and run again."""
    target = "pathlib.Path" if step == "replace" else "os"
    script = (
        f"import os, signal, pathlib, cli.tenants_file as t\n"
        f"real = {target}.{step}\n"
        f"def killed(*args, **keys):\n"
        f"    if {step!r} != 'open' or args[1] & os.O_CREAT: os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        f"    return real(*args, **keys)\n"
        f"{target}.{step} = killed\n"
        f"t.change(pathlib.Path({str(file)!r}), lambda text: text.replace('premium', 'basic'), write=True)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert file.read_text() == TEXT
    tenants_file.change(file, lambda text: text.replace("premium", "basic"), write=True)
    assert file.read_text() == TEXT.replace("premium", "basic")
    assert list(file.parent.iterdir()) == [file]


def test_the_file_keeps_its_mode_and_stays_a_link(file: Path, saas: Command, tmp_path: Path) -> None:
    file.chmod(0o640)
    real = file.rename(tmp_path / "real.yaml")
    file.symlink_to(real)
    saas("set", "alpha", "--tier", "basic")
    assert file.is_symlink()
    assert "tier: basic" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640
