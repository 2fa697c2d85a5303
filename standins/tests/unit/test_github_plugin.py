"""The stand-in for pulumi-resource-github, called as by the engine, on a folder of repositories."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2 as wire

from standins.codec import UNKNOWN, Secret, from_struct, plain, to_struct
from standins.github import __main__ as github
from standins.github import git
from standins.github.store import Store
from standins.protocol import Engine
from standins.provider import Servicer
from standins.tests.unit.engine_context import AbortedError, Context

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEjmCeHBdQ5nYjSBQHiuFkGTLhvrRFcFkhHDzF4A2dd6"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKf9SWSUHS6yyp7gDqjmwQhUyF4a7ihvhCzEbpI0Ujdv"


class Plugin:
    """The plugin as the engine uses it: check first, then the operation."""

    def __init__(self, servicer: Servicer) -> None:
        self.servicer = servicer

    @staticmethod
    def urn(kind: str, name: str = "it") -> str:
        return f"urn:pulumi:s::p::github:index/{kind[0].lower()}{kind[1:]}:{kind}::{name}"

    def checked(self, kind: str, inputs: dict[str, Any]) -> Any:
        request = wire.CheckRequest(urn=self.urn(kind), news=to_struct(inputs), randomSeed=b"0123456789")
        answer = self.servicer.Check(request, Context())
        assert not answer.failures, answer.failures
        return answer.inputs

    def failures(self, kind: str, **inputs: Any) -> list[tuple[str, str]]:
        request = wire.CheckRequest(urn=self.urn(kind), news=to_struct(inputs))
        return [(each.property, each.reason) for each in self.servicer.Check(request, Context()).failures]

    def create(self, kind: str, *, preview: bool = False, **inputs: Any) -> tuple[str, dict[str, Any]]:
        request = wire.CreateRequest(urn=self.urn(kind), properties=self.checked(kind, inputs), preview=preview)
        answer = self.servicer.Create(request, Context())
        return answer.id, from_struct(answer.properties)

    def diff(self, kind: str, state: dict[str, Any], **inputs: Any) -> Any:
        request = wire.DiffRequest(urn=self.urn(kind), id="x", olds=to_struct(state), news=self.checked(kind, inputs))
        return self.servicer.Diff(request, Context())

    def update(self, kind: str, identifier: str, state: dict[str, Any], **inputs: Any) -> dict[str, Any]:
        news = self.checked(kind, inputs)
        request = wire.UpdateRequest(urn=self.urn(kind), id=identifier, olds=to_struct(state), news=news)
        return from_struct(self.servicer.Update(request, Context()).properties)

    def read(self, kind: str, identifier: str, state: dict[str, Any] | None = None) -> Any:
        request = wire.ReadRequest(urn=self.urn(kind), id=identifier, properties=to_struct(state or {}))
        return self.servicer.Read(request, Context())

    def delete(self, kind: str, identifier: str, state: dict[str, Any]) -> None:
        request = wire.DeleteRequest(urn=self.urn(kind), id=identifier, properties=to_struct(state))
        self.servicer.Delete(request, Context())

    def invoke(self, token: str, **arguments: Any) -> dict[str, Any]:
        request = wire.InvokeRequest(tok=token, args=to_struct(arguments))
        return from_struct(getattr(self.servicer.Invoke(request, Context()), "return"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A folder without repositories, for an organization."""
    store = Store(tmp_path)
    store.add_owner("acme")
    return store


@pytest.fixture
def plugin(store: Store) -> Plugin:
    plugin = Plugin(Servicer(github.stand_in(), Engine()))
    configuration = {"baseUrl": store.root.as_uri(), "owner": "acme"}
    plugin.servicer.Configure(wire.ConfigureRequest(args=to_struct(configuration)), Context())
    return plugin


def bare(store: Store, name: str) -> Path:
    return store.root / "acme" / f"{name}.git"


def messages(store: Store, name: str) -> list[str]:
    return [commit.message for commit in git.log(bare(store, name), "main")]


def test_a_repository_is_made_as_asked(plugin: Plugin, store: Store) -> None:
    identifier, state = plugin.create("Repository", name="infra", visibility="private", autoInit=True, topics=["flux"])
    made = store.get("acme", "infra")
    assert made is not None
    assert (identifier, made.private, made.settings["topics"]) == ("infra", True, ["flux"])
    assert (state["fullName"], state["defaultBranch"], state["repoId"]) == ("acme/infra", "main", made.id)
    assert messages(store, "infra") == ["Initial commit"]


def test_a_repository_that_exists_is_not_taken_over(plugin: Plugin) -> None:
    plugin.create("Repository", name="infra")
    with pytest.raises(AbortedError, match=r"name already exists on this account.*import it"):
        plugin.create("Repository", name="infra")


def test_an_imported_repository_shows_differences_from_the_program(plugin: Plugin) -> None:
    plugin.create("Repository", name="infra", visibility="private", autoInit=True, description="Ours")
    found = plugin.read("Repository", "infra")
    state = from_struct(found.properties)
    assert from_struct(found.inputs)["description"] == "Ours"
    same = plugin.diff("Repository", state, name="infra", visibility="private", description="Ours")
    assert same.changes == wire.DiffResponse.DIFF_NONE
    # As with the official provider: imported means not initialised by Pulumi.
    other = plugin.diff("Repository", state, name="infra", visibility="public", description="Ours", autoInit=True)
    assert sorted(other.diffs) == ["autoInit", "visibility"]
    assert list(other.replaces) == []


def test_a_repository_is_renamed_in_place(plugin: Plugin, store: Store) -> None:
    identifier, state = plugin.create("Repository", name="infra", autoInit=True)
    assert list(plugin.diff("Repository", plain(state), name="platform", autoInit=True).replaces) == []
    new = plugin.update("Repository", identifier, plain(state), name="platform", autoInit=True)
    assert (new["fullName"], new["repoId"]) == ("acme/platform", state["repoId"])
    # Pulumi keeps the first id until it refreshes; GitHub answers to the former name too.
    assert plugin.read("Repository", identifier, plain(new)).id == "platform"
    assert [each.name for each in store.repositories()] == ["platform"]


def test_a_repository_is_archived_instead_of_deleted_if_asked(plugin: Plugin, store: Store) -> None:
    identifier, state = plugin.create("Repository", name="infra", archiveOnDestroy=True)
    plugin.delete("Repository", identifier, plain(state))
    kept = store.get("acme", "infra")
    assert kept is not None
    assert kept.settings["archived"]


def test_a_preview_touches_nothing_and_knows_no_more_than_the_program(plugin: Plugin, store: Store) -> None:
    identifier, state = plugin.create("Repository", preview=True, name="infra", autoInit=True)
    assert (identifier, state["name"], state["fullName"], state["repoId"]) == ("", "infra", UNKNOWN, UNKNOWN)
    _, key = plugin.create("RepositoryDeployKey", preview=True, repository=UNKNOWN, title="t", key=UNKNOWN)
    assert key["key"] is UNKNOWN
    assert list(store.repositories()) == []


def test_a_repository_without_a_name_gets_a_generated_one(plugin: Plugin) -> None:
    assert from_struct(plugin.checked("Repository", {}))["name"].startswith("it-")


@pytest.mark.parametrize(
    ("kind", "inputs", "property"),
    [
        ("Repository", {"name": "a b"}, "name"),
        ("Repository", {"name": ".."}, "name"),
        ("Repository", {"name": "a.git"}, "name"),
        ("Repository", {"name": "a", "visibility": "secret"}, "visibility"),
        ("Repository", {"name": "a", "mergeCommitTitle": "COMMIT"}, "mergeCommitTitle"),
        ("Repository", {"name": "a", "topics": ["Flux"]}, "topics"),
        ("Repository", {"name": "a", "autoInit": "yes"}, "autoInit"),
        ("Repository", {"name": "a", "colour": "red"}, "colour"),
        ("Repository", {"name": "a", "private": True, "visibility": "private"}, "private"),
        ("Repository", {"name": "a", "pages": {}}, "pages"),
        ("RepositoryDeployKey", {"repository": "a", "title": "t"}, "key"),
        ("RepositoryFile", {"repository": "a", "file": "f", "content": "c", "commitAuthor": "x"}, "commitAuthor"),
        ("RepositoryFile", {"repository": "a", "file": "../f", "content": "c"}, "file"),
        ("RepositoryFile", {"repository": "a", "file": ".git/config", "content": "c"}, "file"),
    ],
)
def test_wrong_inputs_are_refused_by_name(plugin: Plugin, kind: str, inputs: dict[str, Any], property: str) -> None:
    assert [name for name, _ in plugin.failures(kind, **inputs)] == [property]


def test_settings_that_github_refuses_are_refused(plugin: Plugin) -> None:
    none = {"allowMergeCommit": False, "allowSquashMerge": False, "allowRebaseMerge": False}
    with pytest.raises(AbortedError, match="allow at least one merge strategy"):
        plugin.create("Repository", name="one", **none)
    with pytest.raises(AbortedError, match="only organizations of an enterprise"):
        plugin.create("Repository", name="one", visibility="internal")
    identifier, state = plugin.create("Repository", name="one", autoInit=True)
    with pytest.raises(AbortedError, match="the branch next was not found"):
        plugin.update("Repository", identifier, state, name="one", defaultBranch="next")
    plugin.create("Repository", name="two")
    with pytest.raises(AbortedError, match="name already exists on this account"):
        plugin.update("Repository", identifier, state, name="two")


def test_types_and_properties_without_mapping_are_errors(plugin: Plugin) -> None:
    with pytest.raises(AbortedError, match="no mapping for github:index/team:Team"):
        plugin.checked("Team", {})
    with pytest.raises(AbortedError, match="no mapping for github:index/getUser:getUser"):
        plugin.invoke("github:index/getUser:getUser", username="x")


def test_a_deploy_key_opens_one_repository_only(plugin: Plugin) -> None:
    for name in ("one", "two"):
        plugin.create("Repository", name=name)
    identifier, _ = plugin.create("RepositoryDeployKey", repository="one", title="flux", key=KEY)
    with pytest.raises(AbortedError, match=r"key is already in use.*one repository only"):
        plugin.create("RepositoryDeployKey", repository="two", title="flux", key=KEY)
    with pytest.raises(AbortedError, match=f"key is already in use.*Import it with the id {identifier}"):
        plugin.create("RepositoryDeployKey", repository="one", title="again", key=KEY)
    with pytest.raises(AbortedError, match="key is invalid"):
        plugin.create("RepositoryDeployKey", repository="two", title="flux", key="no key")


def test_an_organization_may_have_deploy_keys_switched_off(plugin: Plugin, store: Store) -> None:
    def answer(owner: str) -> tuple[int, Any]:
        found = plugin.invoke("github:index/getRestApi:getRestApi", endpoint=f"orgs/{owner}")
        return found["code"], json.loads(found["body"]).get("deploy_keys_enabled_for_repositories")

    plugin.create("Repository", name="one")
    assert (answer("acme"), answer("nobody")) == ((200, True), (404, None))
    store.set_organization("acme", deploy_keys_enabled_for_repositories=False)
    assert answer("acme") == (200, False)
    with pytest.raises(AbortedError, match=r"422 .*Deploy keys are disabled for this repository"):
        plugin.create("RepositoryDeployKey", repository="one", title="flux", key=KEY)
    store.set_organization("acme", hidden=True)
    with pytest.raises(AbortedError, match="403 Resource not accessible by integration"):
        answer("acme")


def test_a_changed_deploy_key_is_deleted_before_it_is_replaced(plugin: Plugin, store: Store) -> None:
    plugin.create("Repository", name="one")
    identifier, state = plugin.create("RepositoryDeployKey", repository="one", title="flux", key=KEY + " a comment\n")
    assert state["readOnly"] is True  # the default
    unchanged = plugin.diff("RepositoryDeployKey", state, repository="one", title="flux", key=KEY + " comment\n")
    assert unchanged.changes == wire.DiffResponse.DIFF_NONE
    changes: list[dict[str, Any]] = [{"title": "other"}, {"key": OTHER_KEY}, {"readOnly": False}, {"repository": "two"}]
    for change in changes:
        answer = plugin.diff(
            "RepositoryDeployKey", state, **{"repository": "one", "title": "flux", "key": KEY, **change}
        )
        assert (list(answer.replaces), answer.deleteBeforeReplace) == (list(change), True)
    assert plugin.read("RepositoryDeployKey", identifier).id == identifier
    plugin.delete("RepositoryDeployKey", identifier, state)
    assert plugin.read("RepositoryDeployKey", identifier, state).id == ""


def test_each_change_of_a_file_is_a_commit(plugin: Plugin, store: Store) -> None:
    plugin.create("Repository", name="one", autoInit=True)
    inputs: dict[str, Any] = {"repository": "one", "file": "clusters/a.yaml"}
    identifier, state = plugin.create("RepositoryFile", **inputs, content="1")
    assert (identifier, state["branch"]) == ("one:clusters/a.yaml:main", "main")
    state = plugin.update("RepositoryFile", identifier, state, **inputs, content="2", commitMessage="Second")
    assert plugin.diff("RepositoryFile", state, **inputs, content="2").changes == wire.DiffResponse.DIFF_NONE
    assert list(plugin.diff("RepositoryFile", state, **{**inputs, "file": "b"}, content="2").replaces) == ["file"]
    plugin.delete("RepositoryFile", identifier, state)
    assert messages(store, "one") == ["Second", "Second", "Add clusters/a.yaml", "Initial commit"]
    assert plugin.read("RepositoryFile", identifier, state).id == ""


def test_a_file_is_overwritten_only_if_asked(plugin: Plugin, store: Store) -> None:
    plugin.create("Repository", name="one", autoInit=True)
    inputs: dict[str, Any] = {"repository": "one", "file": "README.md", "content": "ours"}
    with pytest.raises(AbortedError, match=r"refusing to overwrite existing file README.md"):
        plugin.create("RepositoryFile", **inputs)
    _, state = plugin.create("RepositoryFile", **inputs, overwriteOnCreate=True)
    assert git.blob(bare(store, "one"), state["sha"]) == b"ours"


def test_a_pushed_change_of_a_file_is_seen_and_not_overwritten(plugin: Plugin, store: Store) -> None:
    plugin.create("Repository", name="one", autoInit=True)
    inputs: dict[str, Any] = {"repository": "one", "file": "a.yaml"}
    identifier, state = plugin.create("RepositoryFile", **inputs, content="1")
    somebody = git.Person("Somebody", "somebody@acme.example")
    tip = git.branch_tip(bare(store, "one"), "main")
    git.commit_files(bare(store, "one"), "main", {"a.yaml": b"theirs"}, "Mine", somebody, parent=tip)
    with pytest.raises(AbortedError, match=r"409.*pulumi refresh"):
        plugin.update("RepositoryFile", identifier, state, **inputs, content="2")
    refreshed = from_struct(plugin.read("RepositoryFile", identifier, state).properties)
    assert refreshed["content"] == "theirs"
    assert list(plugin.diff("RepositoryFile", refreshed, **inputs, content="2").diffs) == ["content"]


def test_a_secret_input_stays_secret(plugin: Plugin) -> None:
    plugin.create("Repository", name="one", autoInit=True)
    _, state = plugin.create("RepositoryFile", repository="one", file="a", content=Secret("hidden"))
    assert state["content"] == Secret("hidden")
    assert state["file"] == "a"


def test_a_branch_starts_where_asked_and_can_become_the_default(plugin: Plugin, store: Store) -> None:
    plugin.create("Repository", name="one", autoInit=True)
    identifier, state = plugin.create("Branch", repository="one", branch="next")
    _, default = plugin.create("BranchDefault", repository="one", branch="next")
    assert (identifier, state["ref"], default["branch"]) == ("one:next", "refs/heads/next", "next")
    assert plugin.invoke("github:index/getBranch:getBranch", repository="one", branch="next")["sha"] == state["sha"]
    assert git.default_branch(bare(store, "one")) == "next"


def test_a_branch_is_renamed_in_place_and_the_default_one_is_not_deleted(plugin: Plugin, store: Store) -> None:
    plugin.create("Repository", name="one", autoInit=True)
    identifier, state = plugin.create("Branch", repository="one", branch="main")
    state = plugin.update("Branch", identifier, state, repository="one", branch="trunk")
    assert (state["branch"], git.default_branch(bare(store, "one"))) == ("trunk", "trunk")
    assert git.branch_tip(bare(store, "one"), "main") is None
    with pytest.raises(AbortedError, match="Cannot delete the default branch"):
        plugin.delete("Branch", identifier, state)
    for name in ("a..b", "x.lock"):
        with pytest.raises(AbortedError, match="can't be a branch"):
            plugin.create("Branch", repository="one", branch=name, sourceBranch="trunk")
    identifier, state = plugin.create("Branch", repository="one", branch="next", sourceBranch="trunk")
    plugin.delete("Branch", identifier, state)
    assert plugin.read("Branch", identifier, state).id == ""


def test_a_repository_is_looked_up_and_a_missing_one_has_an_empty_id(plugin: Plugin) -> None:
    plugin.create("Repository", name="one", visibility="private")
    token = "github:index/getRepository:getRepository"
    assert plugin.invoke(token, fullName="acme/one")["visibility"] == "private"
    assert plugin.invoke(token, name="one")["id"] == "one"
    assert plugin.invoke(token, fullName="acme/nope")["id"] == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baseUrl": "https://api.github.com/"}, "embedded Git server's folder only"),
        ({"baseUrl": "file:///nonexistent"}, "start it with `make up`"),
        ({"owner": "nobody"}, "no organization nobody.*one of acme"),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], message: str
) -> None:
    for name in ("GITHUB_BASE_URL", "GITHUB_OWNER"):
        monkeypatch.delenv(name, raising=False)
    servicer = Servicer(github.stand_in(), Engine())
    arguments = {"baseUrl": store.root.as_uri(), "owner": "acme", **change}
    with pytest.raises(AbortedError, match=message):
        servicer.Configure(wire.ConfigureRequest(args=to_struct(arguments)), Context())


def test_an_archived_repository_takes_no_changes_until_it_is_unarchived(plugin: Plugin) -> None:
    identifier, state = plugin.create("Repository", name="one", autoInit=True)
    file, written = plugin.create("RepositoryFile", repository="one", file="a", content="1")
    key, made = plugin.create("RepositoryDeployKey", repository="one", title="flux", key=KEY)
    state = plugin.update("Repository", identifier, state, name="one", archived=True)
    refused = pytest.raises(AbortedError, match=r"403 Repository was archived so is read-only.*archived of acme/one")
    with refused:
        plugin.update("RepositoryFile", file, written, repository="one", file="a", content="2")
    with refused:
        plugin.create("RepositoryDeployKey", repository="one", title="other", key=OTHER_KEY)
    with refused:
        plugin.delete("RepositoryDeployKey", key, made)
    with refused:
        plugin.create("Branch", repository="one", branch="next")
    plugin.update("Repository", identifier, state, name="one", archived=False)
    plugin.delete("RepositoryDeployKey", key, made)


def test_the_contents_of_a_deleted_repository_are_gone_or_an_error(plugin: Plugin, store: Store) -> None:
    plugin.create("Repository", name="one", autoInit=True)
    file, written = plugin.create("RepositoryFile", repository="one", file="a", content="1")
    key, made = plugin.create("RepositoryDeployKey", repository="one", title="flux", key=KEY)
    [repository] = store.repositories()
    store.delete(repository)
    assert plugin.read("Repository", "one").id == ""
    assert plugin.read("RepositoryFile", file, written).id == ""
    assert plugin.read("RepositoryDeployKey", key, made).id == ""
    with pytest.raises(AbortedError, match="404 Not Found: acme has no repository one"):
        plugin.create("RepositoryDeployKey", repository="one", title="flux", key=KEY)


WRITE = """
import sys
from pathlib import Path
from standins.codec import to_struct
from standins.github import __main__ as github
account = github.stand_in()
account.configure({"baseUrl": Path(sys.argv[1]).as_uri(), "owner": "acme"})
for number in range(4):
    inputs = {"repository": "busy", "file": f"{sys.argv[2]}/{number}", "content": "x", "overwriteOnCreate": False}
    account.kinds["github:index/repositoryFile:RepositoryFile"].create(inputs)
"""


def test_two_processes_commit_at_a_time_and_lose_nothing(plugin: Plugin, store: Store) -> None:
    plugin.create("Repository", name="busy", autoInit=True)
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, store.root, name]) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    expected = {f"Add {name}/{number}" for name in ("a", "b") for number in range(4)}
    assert set(messages(store, "busy")) == {"Initial commit", *expected}
    tip = git.branch_tip(bare(store, "busy"), "main")
    assert tip
    assert all(git.entry(bare(store, "busy"), tip, message.removeprefix("Add ")) for message in expected)


HOLD = """
import sys, time
from pathlib import Path
from standins.github.store import Store
with Store(Path(sys.argv[1])).changing():
    print("holding", flush=True)
    time.sleep(60)
"""


def test_a_process_killed_during_a_change_blocks_no_other(plugin: Plugin, store: Store) -> None:
    plugin.create("Repository", name="one")
    command = [sys.executable, "-c", HOLD, store.root]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holding\n"
        holder.kill()
    _, state = plugin.create("RepositoryDeployKey", repository="one", title="flux", key=KEY)
    assert state["title"] == "flux"


HOOK = {"url": "https://flux.acme.example/hook/1", "contentType": "json", "secret": "s3cret"}


def make_hook(plugin: Plugin, **other: Any) -> tuple[str, dict[str, Any]]:
    asked = {"repository": "product", "events": ["push"], "configuration": HOOK} | other
    return plugin.create("RepositoryWebhook", **asked)


def test_a_webhook_is_made_changed_and_deleted(plugin: Plugin, store: Store) -> None:
    store.create("acme", "product", {})
    identifier, state = make_hook(plugin)
    (hook,) = store_hooks(store)
    assert (str(hook.id), hook.active, hook.events, hook.url) == (identifier, True, ("push",), HOOK["url"])
    assert hook.configuration["secret"] == "s3cret"
    assert (state["configuration"]["secret"], state["configuration"]["insecureSsl"]) == ("s3cret", False)
    same = plugin.diff("RepositoryWebhook", state, repository="product", events=["push"], configuration=HOOK)
    assert same.changes == wire.DiffResponse.DIFF_NONE
    moved = plugin.diff("RepositoryWebhook", state, repository="other", events=["push"], configuration=HOOK)
    assert list(moved.replaces) == ["repository"]
    new = {**HOOK, "secret": "other"}
    plugin.update(
        "RepositoryWebhook", identifier, state, repository="product", events=["push", "ping"], configuration=new
    )
    (hook,) = store_hooks(store)
    assert (str(hook.id), hook.events, hook.configuration["secret"]) == (identifier, ("push", "ping"), "other")
    plugin.delete("RepositoryWebhook", identifier, state)
    assert store_hooks(store) == ()


def store_hooks(store: Store) -> Any:
    found = store.get("acme", "product")
    assert found is not None
    return found.hooks


def test_a_webhooks_secret_is_never_read_back(plugin: Plugin, store: Store) -> None:
    store.create("acme", "product", {})
    identifier, state = make_hook(plugin)
    refreshed = from_struct(plugin.read("RepositoryWebhook", identifier, state).properties)
    assert refreshed["configuration"]["secret"] == "s3cret"
    imported = from_struct(plugin.read("RepositoryWebhook", f"product/{identifier}").properties)
    assert imported["configuration"]["secret"] == "********"
    assert plugin.read("RepositoryWebhook", "product/1").id == ""


def test_a_webhook_that_exists_is_not_made_again(plugin: Plugin, store: Store) -> None:
    store.create("acme", "product", {})
    make_hook(plugin)
    with pytest.raises(AbortedError, match="Hook already exists on this repository"):
        make_hook(plugin)


def test_a_repository_has_20_webhooks_per_event_at_most(plugin: Plugin, store: Store) -> None:
    store.create("acme", "product", {})
    for number in range(20):
        make_hook(plugin, configuration={**HOOK, "url": f"https://flux.acme.example/hook/{number}"})
    with pytest.raises(AbortedError, match='The "push" event cannot have more than 20 hooks'):
        make_hook(plugin, configuration={**HOOK, "url": "https://flux.acme.example/hook/20"})
    make_hook(plugin, events=["release"], configuration={**HOOK, "url": "https://flux.acme.example/hook/20"})


def test_a_webhook_without_a_url_or_of_another_form_is_refused(plugin: Plugin, store: Store) -> None:
    store.create("acme", "product", {})
    asked = {"repository": "product", "events": ["push"]}
    refused = plugin.failures("RepositoryWebhook", **asked, configuration={**HOOK, "contentType": "xml"})
    assert [name for name, _ in refused] == ["configuration.contentType"]
    with pytest.raises(AbortedError, match="not an absolute http or https URL"):
        make_hook(plugin, configuration={"url": "flux.acme.example"})
