"""`./saas keys …`: what `rotate` writes, and what `verify` takes for a proof."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli import __main__ as command_line
from cli.errors import CommandError
from model.config.errors import InvalidConfigError
from model.config.keys import fingerprint
from model.config.stack import GITHUB_KNOWN_HOSTS
from tests.unit.test_pull_request import clone, git, remote

__all__ = ["clone"]

KNOWN = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
TENANTS = f"""\
products:
  shop: {{source: {{url: "ssh://git@github.com/acme/shop", branch: main, private: true}}}} # all of them
tenants:
  - name: alpha   # the first
    source: {{url: "ssh://git@github.com/acme/product", branch: main, private: true}}
  - name: beta
    source: {{url: "ssh://git@git.example.com/a/b", branch: main, private: true, knownHosts: {KNOWN}}}
  - {{name: gamma, product: shop}}
"""
STACK = """\
config:
  saas-in-eks:cluster: prod-eu # never changes
  saas-in-eks:slack:
    secure: v1:AAAA
encryptionsalt: v1:w68iooi4VfI=
"""
PUBLIC_KEY = GITHUB_KNOWN_HOSTS.splitlines()[0].partition(" ")[2]
KEY = {"secret": "alpha/alpha", "access": "read", "generation": 2, "fingerprint": fingerprint(PUBLIC_KEY)}
OUTPUTS: Mapping[str, Any] = {
    "alpha": {**KEY, "title": "flux-eu-alpha#2"},
    "beta": {**KEY, "secret": "beta/beta", "generation": 1, "toRegister": 2},
    "product-shop, with write access": {**KEY, "access": "write", "title": "flux-eu-product-shop-write#2"},
}
KUBECTL = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
if "annotate" in sys.argv:
    (folder / "requested").write_text(sys.argv[-1].partition("=")[2])
    sys.exit()
path = sys.argv[-1]
if "/secrets/" in path:
    print((folder / "secret").read_text())
else:
    answer = json.loads((folder / "source").read_text())
    if answer.pop("handles"):
        answer["status"]["lastHandledReconcileAt"] = (folder / "requested").read_text()
    print(json.dumps(answer))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tenants.yaml").write_text(TENANTS)
    (tmp_path / "Pulumi.yaml").write_text("name: saas-in-eks\n")
    (tmp_path / "Pulumi.prod-eu.yaml").write_text(STACK)
    return tmp_path


def saas(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(command_line.app, ["keys", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def rotate(folder: Path, *arguments: str) -> str:
    return saas("rotate", *arguments, "--file", str(folder / "tenants.yaml"))


def content(folder: Path, name: str = "tenants.yaml") -> Any:
    return yaml.safe_load((folder / name).read_text())


def test_a_rotation_raises_one_number_and_keeps_all_else(folder: Path) -> None:
    rotate(folder, "alpha")
    rotate(folder, "alpha")
    rotate(folder, "--product", "shop")
    found, before = content(folder), yaml.safe_load(TENANTS)
    assert found["tenants"][0].pop("keyGeneration") == 3
    assert found["products"]["shop"].pop("keyGeneration") == 2
    assert found == before
    assert "# the first" in (folder / "tenants.yaml").read_text()


def test_to_a_generation_twice_is_once_and_never_goes_back(folder: Path) -> None:
    for number in ("4", "4", "2"):
        rotate(folder, "alpha", "--to", number)
    assert content(folder)["tenants"][0]["keyGeneration"] == 4


def test_all_keys_rotate_by_the_stacks_number_but_those_registered_by_hand(folder: Path) -> None:
    said = rotate(folder, "--all", "--stack", "acme/prod-eu")
    assert "Registered by hand, so not among them: beta. " in said
    found = content(folder, "Pulumi.prod-eu.yaml")
    assert found["config"].pop("saas-in-eks:keyGeneration") == 2
    assert found == yaml.safe_load(STACK)
    assert (folder / "tenants.yaml").read_text() == TENANTS
    assert json.loads(rotate(folder, "--all", "--stack", "prod-eu", "--dry-run", "--json"))["byHand"] == ["beta"]
    assert content(folder, "Pulumi.prod-eu.yaml")["config"]["saas-in-eks:keyGeneration"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one thing to rotate"),
        (["alpha", "--all"], "name one thing to rotate"),
        (["alpah"], "there is no tenant 'alpah'\n    Did you mean alpha"),
        (["--product", "shopp"], "there is no product 'shopp'\n    Did you mean shop"),
        (["gamma"], "the tenant has no deploy key of its own\n    Remove it. A shared product's key"),
        (["--all", "--stack", "other"], "Pulumi.other.yaml does not exist"),
    ],
)
def test_a_rotation_of_nothing_is_refused(folder: Path, arguments: list[str], message: str) -> None:
    with pytest.raises((CommandError, InvalidConfigError)) as refused:
        rotate(folder, *arguments)
    assert message in str(refused.value)
    assert (folder / "tenants.yaml").read_text() == TENANTS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Pulumi.prod-eu.yaml:1: is empty"),
        ("- config\n", "Pulumi.prod-eu.yaml:1: must be a mapping"),
        ("config: [x]\n", "Pulumi.prod-eu.yaml:1: config: must be a mapping"),
        ("config: {saas-in-eks:keyGeneration: two}\n", "keyGeneration: 'two' is not a generation"),
        ("config: {saas-in-eks:keyGeneration: [2]}\n", "keyGeneration: [2] is not a generation"),
    ],
)
def test_a_stacks_file_with_mistakes_is_not_edited(folder: Path, content: str, message: str) -> None:
    (folder / "Pulumi.prod-eu.yaml").write_text(content)
    with pytest.raises(InvalidConfigError) as refused:
        rotate(folder, "--all", "--stack", "prod-eu")
    assert message in str(refused.value)


@pytest.mark.parametrize("text", ["config:\n", "config: {saas-in-eks:keyGeneration: }\n", "encryptionsalt: x\n"])
def test_a_stacks_file_without_a_generation_gets_the_second(folder: Path, text: str) -> None:
    (folder / "Pulumi.prod-eu.yaml").write_text(text)
    rotate(folder, "--all", "--stack", "prod-eu")
    assert content(folder, "Pulumi.prod-eu.yaml")["config"] == {"saas-in-eks:keyGeneration": 2}


def test_a_scheduled_rotation_waits_for_its_open_pull_request(clone: Path) -> None:
    (clone / "Pulumi.yaml").write_text("name: saas-in-eks\n")
    (clone / "Pulumi.prod-eu.yaml").write_text(STACK)
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "a stack")
    git(clone, "push", "--quiet", "origin", "main")
    for _ in range(2):
        assert "pull/1" in rotate(clone, "--all", "--stack", "prod-eu", "--pr")
        proposed = yaml.safe_load(remote(clone, "show saas/rotate-prod-eu:Pulumi.prod-eu.yaml"))
        assert proposed["config"]["saas-in-eks:keyGeneration"] == 2
    assert remote(clone, "rev-list --count main..saas/rotate-prod-eu") == "1\n"


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `pulumi` and a `kubectl` that answer from files; Flux handles each request at once."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "outputs").write_text(json.dumps({"deployKeys": OUTPUTS}))
    (programs / "pulumi").write_text(f"#!/bin/sh\ncat {tmp_path}/outputs\n")
    (programs / "kubectl").write_text(KUBECTL.format(python=sys.executable, folder=str(tmp_path)))
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    answer(tmp_path)
    return tmp_path


def answer(
    folder: Path, *, public_key: str = PUBLIC_KEY, ready: str = "True", observed: int = 3, handles: bool = True
) -> None:
    data = {"identity.pub": base64.b64encode(public_key.encode()).decode()}
    (folder / "secret").write_text(json.dumps({"data": data}))
    condition = {"type": "Ready", "status": ready, "message": "knownhosts: key mismatch"}
    status = {"observedGeneration": observed, "conditions": [condition], "lastHandledReconcileAt": "before"}
    source = {"metadata": {"generation": 3}, "status": status, "handles": handles}
    (folder / "source").write_text(json.dumps(source))


def test_the_list_shows_who_registers_a_key_and_no_secret(deployed: Path) -> None:
    rows = [line.split("  ") for line in saas("list").splitlines()]
    assert rows[1][0] == "alpha"
    assert "flux-eu-alpha#2" in saas("list")
    assert "by hand; generation 2 is not confirmed yet" in saas("list")
    assert json.loads(saas("list", "--json")) == OUTPUTS


def test_a_fetch_after_the_request_with_the_stacks_key_is_a_proof(deployed: Path) -> None:
    # Keys with write access are not asked for: Flux never reads with them.
    assert saas("verify").splitlines() == ["alpha: read with generation 2", "beta: read with generation 1"]
    assert json.loads(saas("verify", "alpha", "--json")) == {"alpha": {"verified": True, "reason": ""}}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"public_key": PUBLIC_KEY.replace("Mq", "Nq")}, "the Secret alpha/alpha has another key than the stack"),
        ({"ready": "False"}, "knownhosts: key mismatch"),
        ({"handles": False}, "Flux has not fetched it within 0 s"),
        ({"observed": 2}, "Flux has not fetched it within 0 s"),
        ({"ready": "Unknown"}, "Flux has not fetched it within 0 s"),
    ],
)
def test_anything_less_is_not_a_proof(deployed: Path, state: Any, reason: str) -> None:
    answer(deployed, **state)
    assert saas("verify", "alpha", "--timeout", "0", code=1).startswith(f"alpha: {reason}")


def test_a_stack_of_an_earlier_release_says_what_to_do(deployed: Path) -> None:
    (deployed / "outputs").write_text("{}")
    with pytest.raises(CommandError, match="no output deployKeys yet\n    Run `pulumi up` once"):
        saas("list")
