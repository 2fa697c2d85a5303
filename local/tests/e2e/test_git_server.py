"""The Git server as a process of its own, used with the real `git`."""

from __future__ import annotations

import concurrent.futures
import hmac
import http.server
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import asyncssh
import psutil
import pytest
import yaml

from local import git as server
from local import processes
from local.git.webhooks import deliveries
from local.home import Home
from standins.github import git as bare
from standins.github.store import DeployKey, KeyInUseError, Store, StoreError, Webhook


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A running server with the seeded repositories, started by a user whose own Git configuration is broken."""
    user = tmp_path_factory.mktemp("user")
    (user / ".gitconfig").write_text("this is [not configuration\n")
    home = Home(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(user))
        server.start(home)
        server.seed(home)
    yield home
    processes.stop(home, "gitserver")


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    """A new key pair: the private key's path and the public key's text."""
    return make_key(tmp_path / "id_test")


def make_key(path: Path) -> tuple[Path, str]:
    made = asyncssh.generate_private_key("ssh-ed25519")
    path.write_bytes(made.export_private_key())
    path.chmod(0o600)
    return path, made.export_public_key().decode().strip()


def git(home: Home, *arguments: str | Path, key: Path | None = None) -> subprocess.CompletedProcess[str]:
    identity = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(
        ["git", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **identity, **server.client_environment(home, key)},
        timeout=60,
    )


def ssh_url(home: Home, path: str) -> str:
    return f"ssh://git@127.0.0.1:{home.port('git-ssh')}/{path}"


def http_url(home: Home, path: str) -> str:
    return f"http://127.0.0.1:{home.port('git-http')}/{path}"


def add_key(home: Home, full_name: str, text: str, *, read_only: bool) -> DeployKey:
    store = Store(home.git)
    repository = store.get(*full_name.split("/"))
    assert repository is not None
    return store.add_key(repository, "t", text, read_only=read_only)


def commit_and_push(home: Home, clone: Path, key: Path | None = None) -> subprocess.CompletedProcess[str]:
    (clone / "new.txt").write_text(os.urandom(8).hex())
    assert git(home, "-C", clone, "add", ".").returncode == 0
    assert git(home, "-C", clone, "commit", "-m", "Change").returncode == 0
    return git(home, "-C", clone, "push", key=key)


def test_the_platforms_user_clones_and_pushes_the_product(home: Home, tmp_path: Path) -> None:
    cloned = git(home, "clone", ssh_url(home, "acme/product"), tmp_path / "product")
    assert cloned.returncode == 0, cloned.stderr
    assert (tmp_path / "product" / "kustomize" / "kustomization.yaml").exists()
    pushed = commit_and_push(home, tmp_path / "product")
    assert pushed.returncode == 0, pushed.stderr


def test_seeding_again_keeps_what_was_pushed(home: Home, tmp_path: Path) -> None:
    git(home, "clone", ssh_url(home, "acme/product"), tmp_path / "product")
    commit_and_push(home, tmp_path / "product")
    tip = git(home, "ls-remote", ssh_url(home, "acme/product"), "main").stdout
    assert server.seed(home) == []
    assert git(home, "ls-remote", ssh_url(home, "acme/product"), "main").stdout == tip


def test_a_read_only_key_clones_and_cannot_push(home: Home, tmp_path: Path, key: tuple[Path, str]) -> None:
    add_key(home, "acme/product", key[1], read_only=True)
    cloned = git(home, "clone", ssh_url(home, "acme/product.git"), tmp_path / "product", key=key[0])
    assert cloned.returncode == 0, cloned.stderr
    pushed = commit_and_push(home, tmp_path / "product", key=key[0])
    assert pushed.returncode != 0
    assert "ERROR: The key you are authenticating with has been marked as read only." in pushed.stderr


def test_a_key_that_may_write_pushes(home: Home, tmp_path: Path, key: tuple[Path, str]) -> None:
    add_key(home, "acme/product", key[1], read_only=False)
    git(home, "clone", ssh_url(home, "acme/product"), tmp_path / "product", key=key[0])
    pushed = commit_and_push(home, tmp_path / "product", key=key[0])
    assert pushed.returncode == 0, pushed.stderr


@pytest.mark.parametrize(
    "path", ["stefanprodan/podinfo", "acme/nope", "acme/../acme/product", "../git/acme/product.git", "acme/product/x"]
)
def test_a_key_opens_nothing_but_its_repository(home: Home, key: tuple[Path, str], path: str) -> None:
    add_key(home, "acme/product", key[1], read_only=True)
    assert git(home, "ls-remote", ssh_url(home, "acme/product"), key=key[0]).returncode == 0
    refused = git(home, "ls-remote", ssh_url(home, path), key=key[0])
    assert "ERROR: Repository not found." in refused.stderr


def test_an_unknown_key_is_not_let_in(home: Home, key: tuple[Path, str]) -> None:
    assert "Permission denied" in git(home, "ls-remote", ssh_url(home, "acme/product"), key=key[0]).stderr


def test_a_deleted_key_opens_nothing_any_more(home: Home, key: tuple[Path, str]) -> None:
    added = add_key(home, "acme/product", key[1], read_only=True)
    assert git(home, "ls-remote", ssh_url(home, "acme/product"), key=key[0]).returncode == 0
    assert Store(home.git).remove_key(added.key)
    assert not Store(home.git).remove_key(added.key)
    assert "Permission denied" in git(home, "ls-remote", ssh_url(home, "acme/product"), key=key[0]).stderr


def test_a_key_in_use_anywhere_is_refused(home: Home, key: tuple[Path, str]) -> None:
    add_key(home, "acme/product", key[1], read_only=True)
    for text in (key[1] + " comment", server.user_key(home).with_suffix(".pub").read_text()):
        with pytest.raises(KeyInUseError):
            add_key(home, "stefanprodan/podinfo", text, read_only=True)


def test_a_private_key_or_more_than_one_line_is_no_deploy_key(home: Home, key: tuple[Path, str]) -> None:
    for text in (key[0].read_text(), f"{key[1]}\n{key[1]}", key[1][:-8], "ssh-ed25519"):
        with pytest.raises(StoreError, match="key is invalid"):
            add_key(home, "acme/product", text, read_only=True)


def test_only_git_is_served_over_ssh(home: Home) -> None:
    client = server.client_environment(home)
    command = [*client["GIT_SSH_COMMAND"].split(), "-p", str(home.port("git-ssh")), "git@127.0.0.1"]
    for asked in ("id", "git-upload-archive '/acme/product'", "git-upload-pack '/acme/product'; id", ""):
        environment = {**os.environ, **client}
        done = subprocess.run([*command, asked], env=environment, input="", capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("ERROR: ")


def test_a_public_repository_is_read_over_http_and_nothing_else_is(home: Home, tmp_path: Path) -> None:
    cloned = git(home, "clone", http_url(home, "stefanprodan/podinfo"), tmp_path / "podinfo")
    assert cloned.returncode == 0, cloned.stderr
    assert git(home, "-C", tmp_path / "podinfo", "branch", "--show-current").stdout == "master\n"
    assert "403" in commit_and_push(home, tmp_path / "podinfo").stderr
    assert "not found" in git(home, "ls-remote", http_url(home, "acme/product")).stderr


def test_a_shallow_fetch_of_one_commit_works_as_flux_does_it(home: Home, tmp_path: Path) -> None:
    git(home, "init", tmp_path / "shallow")
    tip = git(home, "ls-remote", ssh_url(home, "acme/product"), "main").stdout.split()[0]
    for url in (ssh_url(home, "acme/product"), ssh_url(home, "acme/product.git")):
        fetched = git(home, "-C", tmp_path / "shallow", "fetch", "--depth=1", url, tip)
        assert fetched.returncode == 0, fetched.stderr


def test_the_private_keys_are_readable_by_their_owner_only(home: Home) -> None:
    for name in ("id_user", "ssh_host_key"):
        assert (home.git / name).stat().st_mode & 0o777 == 0o600


def test_many_clones_at_once_all_succeed(home: Home, tmp_path: Path) -> None:
    def clone(number: int) -> int:
        source = ssh_url(home, "acme/product") if number % 2 else http_url(home, "stefanprodan/podinfo")
        return git(home, "clone", "-q", source, tmp_path / str(number)).returncode

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(clone, range(32))) == {0}


def test_clients_that_vanish_do_not_hold_up_others(home: Home, tmp_path: Path) -> None:
    client = server.client_environment(home)
    command = [*client["GIT_SSH_COMMAND"].split(), "-p", str(home.port("git-ssh")), "git@127.0.0.1"]
    vanishing: list[subprocess.Popen[bytes]] = []
    for number in range(12):  # more than the server runs at a time
        arguments = [*command, "git-upload-pack '/acme/product'"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(arguments, env={**os.environ, **client}, stdin=pipe, stdout=pipe)
        vanishing.append(process)
        if number < 8:
            assert process.stdout is not None
            assert process.stdout.read(4)  # Git waits for what this client wants
    for process in vanishing:
        process.kill()
        process.communicate()
    cloned = git(home, "clone", ssh_url(home, "acme/product"), tmp_path / "product")
    assert cloned.returncode == 0, cloned.stderr
    running = psutil.Process(processes.running(home)["gitserver"])
    _, alive = psutil.wait_procs(running.children(), timeout=30)
    assert alive == []


def test_an_archived_repository_is_read_and_not_pushed_to(home: Home, tmp_path: Path) -> None:
    store, shelved = Store(home.git), tmp_path / "shelved"
    repository = store.create("acme", "shelved", {"private": True})
    git(home, "clone", ssh_url(home, "acme/shelved"), shelved)
    assert commit_and_push(home, shelved).returncode == 0
    store.save(replace(repository, settings={**repository.settings, "archived": True}))
    assert git(home, "ls-remote", ssh_url(home, "acme/shelved")).returncode == 0
    assert "archived so it is read-only" in commit_and_push(home, shelved).stderr


def test_a_killed_server_restarts_with_its_data(home: Home, tmp_path: Path, key: tuple[Path, str]) -> None:
    add_key(home, "acme/product", key[1], read_only=True)
    git(home, "clone", ssh_url(home, "acme/product"), tmp_path / "product")
    commit_and_push(home, tmp_path / "product")
    before = git(home, "ls-remote", ssh_url(home, "acme/product"), key=key[0]).stdout
    mirrors = home.mirrors.read_text()
    assert before
    running = psutil.Process(processes.running(home)["gitserver"])
    running.send_signal(signal.SIGKILL)
    running.wait(10)
    server.start(home)
    assert git(home, "ls-remote", ssh_url(home, "acme/product"), key=key[0]).stdout == before
    assert home.mirrors.read_text() == mirrors


def test_it_listens_on_loopback_only(home: Home) -> None:
    process = psutil.Process(processes.running(home)["gitserver"])
    listening = {each.laddr for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", home.port("git-ssh")), ("127.0.0.1", home.port("git-http"))}


def test_the_mirrors_name_urls_that_open_the_same_repositories(home: Home, tmp_path: Path) -> None:
    mirrors = {each["prefix"]: each for each in yaml.safe_load(home.mirrors.read_text())["mirrors"]}
    over_ssh, over_http = mirrors["ssh://git@github.com/"], mirrors["https://github.com/"]
    assert git(home, "ls-remote", over_ssh["url"] + "acme/product").stdout
    assert git(home, "ls-remote", over_http["url"] + "stefanprodan/podinfo").stdout
    assert over_ssh["knownHosts"].startswith(f"[127.0.0.1]:{home.port('git-ssh')} ecdsa-sha2-nistp256 ")


class Recorder(http.server.BaseHTTPRequestHandler):
    """Keeps each request; answers 200, at /slow when asked to."""

    requests: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []
    released: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        if self.path == "/slow":
            self.released.wait(10)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def recorder() -> Iterator[str]:
    """The URL of a server that takes webhooks."""
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


def hooked(home: Home, name: str, *urls: str) -> Store:
    """A new repository with a webhook for each URL."""
    store = Store(home.git)
    repository = store.create("acme", name, {"private": True})
    for url in urls:
        configuration = {"url": url, "content_type": "json", "insecure_ssl": "0", "secret": "s3cret"}
        store.save_hook(repository, Webhook(0, True, ("push",), configuration, "", ""))
    return store


def delivered(home: Home, name: str, count: int, seconds: float = 5) -> list[dict[str, Any]]:
    """The deliveries of a repository, once there are so many."""
    deadline = time.monotonic() + seconds
    while len(found := [each for each in deliveries(home) if each["repository"] == f"acme/{name}"]) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_a_push_is_delivered_signed_as_github_signs(home: Home, recorder: str, tmp_path: Path) -> None:
    hooked(home, "hooked", f"{recorder}/hook/1")
    (ping,) = delivered(home, "hooked", 1)
    assert (ping["event"], ping["status_code"]) == ("ping", 200)
    git(home, "clone", ssh_url(home, "acme/hooked"), tmp_path / "hooked")
    assert commit_and_push(home, tmp_path / "hooked").returncode == 0
    push = delivered(home, "hooked", 2)[1]
    assert (push["event"], push["status_code"], push["status"]) == ("push", 200, "OK")
    ((_, headers, body),) = [each for each in Recorder.requests if each[1]["x-github-event"] == "push"]
    assert headers["x-hub-signature-256"] == "sha256=" + hmac.new(b"s3cret", body, "sha256").hexdigest()
    assert (headers["content-type"], headers["x-github-delivery"]) == ("application/json", push["guid"])
    payload = json.loads(body)
    tip = git(home, "-C", tmp_path / "hooked", "rev-parse", "HEAD").stdout.strip()
    assert (payload["ref"], payload["before"], payload["after"]) == ("refs/heads/main", "0" * 40, tip)
    assert payload["repository"]["full_name"] == "acme/hooked"
    assert "s3cret" not in (home.git / "deliveries.jsonl").read_text()


def test_a_commit_of_the_github_stand_in_is_delivered_to_each_hook(home: Home, recorder: str) -> None:
    store = hooked(home, "committed", f"{recorder}/a", f"{recorder}/b")
    repository = store.get("acme", "committed")
    assert repository is not None
    bare.commit_files(repository.path, "main", {"a": b"1"}, "One", bare.Person("t", "t@t"), parent=None)
    pushes = [each for each in delivered(home, "committed", 4) if each["event"] == "push"]
    assert sorted(each["url"] for each in pushes) == [f"{recorder}/a", f"{recorder}/b"]
    store.remove_hook(repository, repository.hooks[0].id)
    tip = bare.branch_tip(repository.path, "main")
    bare.commit_files(repository.path, "main", {"a": b"2"}, "Two", bare.Person("t", "t@t"), parent=tip)
    assert delivered(home, "committed", 5)[4]["url"] == f"{recorder}/b"


def test_a_receiver_that_does_not_answer_holds_up_no_other(home: Home, recorder: str) -> None:
    hooked(home, "slow", f"{recorder}/slow", f"{recorder}/fast")
    assert delivered(home, "slow", 1)[0]["url"] == f"{recorder}/fast"
    Recorder.released.set()
    assert delivered(home, "slow", 2)[1]["url"] == f"{recorder}/slow"


def test_a_host_name_leads_to_the_clusters_receiver(home: Home, recorder: str) -> None:
    hooked(home, "named", "https://flux.acme.example/hook/1")
    (ping,) = delivered(home, "named", 1)
    # No cluster runs here.
    assert (ping["status"], ping["status_code"]) == ("failed to connect to host", 0)
