"""The article, end to end: bootstrap, tenants, changes by commit, removal."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import yaml

from local import agent, pulumi
from local.home import PROJECT
from standins.github.store import Store
from tests.e2e.conftest import applied, fetch, requested_now
from tests.platform import PRIVATE, PUBLIC, Platform, Stack, deploy_keys, eventually

FOLDER = "clusters/prod-eu/flux-system"


def config_map(name: str, namespace: str | None = None) -> str:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"made": "by a test"}}
    )


def ready_message(platform: Platform, tenant: str) -> str:
    found = platform.get(f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{tenant}/kustomizations/{tenant}")
    conditions = (found or {}).get("status", {}).get("conditions", [])
    return next((c["message"] for c in conditions if c["type"] == "Ready" and c["status"] == "False"), "")


def objects_of(platform: Platform, tenant: str) -> dict[str, str]:
    """The uids of the objects in a tenant's namespace, except for those that controllers recreate."""
    kinds = "deployments,services,configmaps,serviceaccounts,rolebindings,secrets,horizontalpodautoscalers"
    flux = "gitrepositories.source.toolkit.fluxcd.io,kustomizations.kustomize.toolkit.fluxcd.io"
    template = '{range .items[*]}{.kind}/{.metadata.name}={.metadata.uid}{"\\n"}{end}'
    lines = platform.kubectl("-n", tenant, "get", f"{kinds},{flux}", "-o", f"jsonpath={template}").splitlines()
    return dict(line.split("=") for line in lines)


def test_flux_is_bootstrapped_and_every_controller_is_healthy(article: Stack, platform: Platform) -> None:
    found = platform.get("/apis/apps/v1/namespaces/flux-system/deployments")
    assert found is not None
    healthy = {item["metadata"]["name"]: item["status"].get("availableReplicas", 0) for item in found["items"]}
    names = {"source-controller", "kustomize-controller", "helm-controller", "notification-controller"}
    names |= {"source-controller-platform", "kustomize-controller-platform", "flux-watchdog"}
    assert healthy == dict.fromkeys(names, 1)
    assert len(agent.programs(platform.home)) == len(names)
    assert applied(platform, "flux-system")


def test_the_command_shows_the_state_of_every_tenant(article: Stack, platform: Platform) -> None:
    command = [PROJECT / "saas", "status", "--json", "--kubeconfig", platform.home.kubeconfig]

    def shown() -> dict[str, bool]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return {row["name"]: row["ready"] for row in json.loads(done.stdout)}

    # A Kustomization that is reconciled again is not ready for a moment.
    eventually(lambda: shown() == dict.fromkeys(("flux-system", "alpha", "beta", "gamma"), True))


def test_the_infra_repository_holds_the_configured_files(article: Stack, platform: Platform, tmp_path: Path) -> None:
    platform.git("clone", platform.repository("acme/saas-in-eks-infra"), "infra", folder=tmp_path)
    folder = tmp_path / "infra" / FOLDER
    assert sorted(path.name for path in folder.iterdir()) == [
        "gotk-components.yaml",
        "gotk-sync.yaml",
        "kustomization.yaml",
    ]
    sync = list(yaml.safe_load_all((folder / "gotk-sync.yaml").read_text()))
    assert [document["kind"] for document in sync] == ["GitRepository", "Kustomization"]
    assert sync[1]["spec"]["path"] == "./clusters/prod-eu"
    for document in yaml.safe_load_all((folder / "gotk-components.yaml").read_text()):
        live = platform.kubectl(
            "get", document["kind"], document["metadata"]["name"], "-n", "flux-system", "-o", "yaml"
        )
        assert live
    message = platform.git("log", "-1", "--format=%s", folder=tmp_path / "infra").stdout
    assert message == "Flux v2.9.2 for prod-eu: kustomization.yaml\n"


def test_a_commit_to_the_clusters_folder_is_applied_by_flux(article: Stack, platform: Platform, tmp_path: Path) -> None:
    path = "clusters/prod-eu/by-commit/config-map.yaml"
    commit = platform.push("acme/saas-in-eks-infra", {path: config_map("by-commit", "default")}, tmp_path)
    reconcile(platform, "flux-system")
    eventually(lambda: applied(platform, "flux-system") == commit)
    assert platform.get("/api/v1/namespaces/default/configmaps/by-commit")
    platform.push("acme/saas-in-eks-infra", {path: None}, tmp_path)
    reconcile(platform, "flux-system")
    eventually(lambda: platform.get("/api/v1/namespaces/default/configmaps/by-commit") is None)


def test_flux_does_not_touch_objects_that_pulumi_owns(article: Stack, platform: Platform, tmp_path: Path) -> None:
    platform.git("clone", platform.repository("acme/saas-in-eks-infra"), "infra", folder=tmp_path)
    path = f"{FOLDER}/gotk-components.yaml"
    text = (tmp_path / "infra" / path).read_text()
    open_ = text.replace("--no-cross-namespace-refs=true", "--no-cross-namespace-refs=false")
    assert open_ != text
    commit = platform.push("acme/saas-in-eks-infra", {path: open_}, tmp_path)
    reconcile(platform, "flux-system")
    eventually(lambda: applied(platform, "flux-system") == commit)
    deployment = platform.get("/apis/apps/v1/namespaces/flux-system/deployments/kustomize-controller")
    assert deployment is not None
    assert "--no-cross-namespace-refs=true" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    platform.push("acme/saas-in-eks-infra", {path: text}, tmp_path)


def test_a_commit_to_the_product_reaches_every_tenant(article: Stack, platform: Platform, tmp_path: Path) -> None:
    # Whichever namespace the product names, Flux applies it to the tenant's own.
    commit = push_product(platform, {"news.yaml": config_map("news", "gamma")}, tmp_path)
    for tenant in ("alpha", "beta"):
        eventually(lambda tenant=tenant: applied(platform, tenant) == commit)
        assert platform.get(f"/api/v1/namespaces/{tenant}/configmaps/news")
    assert platform.get("/api/v1/namespaces/gamma/configmaps/news") is None
    back = push_product(platform, {"news.yaml": None}, tmp_path)
    eventually(lambda: applied(platform, "alpha") == applied(platform, "beta") == back)
    assert platform.get("/api/v1/namespaces/alpha/configmaps/news") is None


def test_a_deploy_key_reads_its_repository_and_cannot_push(article: Stack, platform: Platform, tmp_path: Path) -> None:
    secret = platform.get("/api/v1/namespaces/flux-system/secrets/flux-system")
    assert secret is not None
    assert set(secret["data"]) == {"identity", "identity.pub", "known_hosts"}
    key = tmp_path / "identity"
    key.write_bytes(base64.b64decode(secret["data"]["identity"]))
    key.chmod(0o600)
    url = platform.repository("acme/saas-in-eks-infra")
    assert platform.git("clone", url, "infra", folder=tmp_path, key=key).returncode == 0
    (tmp_path / "infra" / "README.md").write_text("mine now")
    platform.git("commit", "-am", "A change", folder=tmp_path / "infra")
    refused = platform.git("push", folder=tmp_path / "infra", key=key)
    assert refused.returncode != 0
    assert "read only" in refused.stderr
    other = platform.git("clone", platform.repository("acme/product"), "product", folder=tmp_path, key=key)
    assert other.returncode != 0
    assert platform.git("push", folder=tmp_path / "infra").returncode == 0, "even its owner cannot push"


def test_a_tenants_reconciler_cannot_touch_another_namespace(
    article: Stack, platform: Platform, tmp_path: Path
) -> None:
    before = objects_of(platform, "gamma")
    # The product names no namespace of its own kustomization; Flux's targetNamespace would move it otherwise.
    cluster_wide = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "stolen"}}
    push_product(platform, {"attack.yaml": yaml.safe_dump(cluster_wide)}, tmp_path)
    try:
        eventually(lambda: "forbidden" in ready_message(platform, "alpha"))
        assert platform.get("/api/v1/namespaces/stolen") is None
        account = "system:serviceaccount:alpha:alpha"
        for verb, kind in (("get", "secrets"), ("create", "configmaps"), ("delete", "deployments.apps")):
            asked = ("auth", "can-i", verb, kind, "--as", account, "-n")
            assert platform.kubectl(*asked, "gamma", check=False).startswith("no"), (verb, kind)
            assert platform.kubectl(*asked, "alpha", check=False).startswith("yes"), (verb, kind)
    finally:
        back = push_product(platform, {"attack.yaml": None}, tmp_path)
        eventually(lambda: applied(platform, "alpha") == back)
    assert objects_of(platform, "gamma") == before


def test_a_removed_tenant_leaves_nothing_and_its_neighbour_intact(article: Stack, platform: Platform) -> None:
    neighbour = objects_of(platform, "alpha")
    keys = len(deploy_keys(platform, "product"))
    article.tenants({"alpha": PRIVATE, "gamma": PUBLIC})
    article.up()
    try:
        assert platform.get("/api/v1/namespaces/beta") is None
        everywhere = platform.kubectl("get", "all,gitrepositories,kustomizations,rolebindings", "-A", "-o", "name")
        assert "beta" not in everywhere
        assert "flux-prod-eu-beta" not in deploy_keys(platform, "product")
        assert len(deploy_keys(platform, "product")) == keys - 1
        left = [resource["urn"].split("::")[-1] for resource in article.exported()["deployment"]["resources"]]
        assert [name for name in left if name.partition("/")[0] == "beta"] == []
        assert objects_of(platform, "alpha") == neighbour
    finally:
        article.tenants({"alpha": PRIVATE, "beta": PRIVATE, "gamma": PUBLIC})
        article.up()
        eventually(lambda: applied(platform, "beta"))


def test_only_the_lockdown_protects_a_neighbours_source(article: Stack, platform: Platform) -> None:
    borrowed = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "borrowed", "namespace": "gamma"},
        "spec": {
            "interval": "2s",
            "retryInterval": "2s",
            "path": "./kustomize",
            "prune": False,
            "serviceAccountName": "gamma",
            "targetNamespace": "gamma",
            "sourceRef": {"kind": "GitRepository", "name": "alpha", "namespace": "alpha"},
        },
    }
    path = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/gamma/kustomizations/borrowed"

    def answer() -> str:
        conditions = (platform.get(path) or {}).get("status", {}).get("conditions", [])
        return next((c["reason"] for c in conditions if c["type"] == "Ready" and c["status"] != "Unknown"), "")

    platform.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(borrowed))
    try:
        assert eventually(answer) == "AccessDenied"
        before = controllers(platform)
        # The largest size as well: real controllers accept its arguments.
        article.configure(fluxLockdown=False, fluxSize="large")
        article.up()  # rolls the controllers over: the defence is needed, and taken from the Deployment's arguments
        eventually(lambda: answer() == "ReconciliationSucceeded")
        eventually(lambda: not before & controllers(platform))
        assert workers(platform) == {"source-controller": 10, "kustomize-controller": 20, "helm-controller": 20}
        article.configure(fluxLockdown=True, fluxSize="small")
        article.up()
        eventually(lambda: answer() == "AccessDenied")
    finally:
        platform.kubectl("-n", "gamma", "delete", "kustomizations.kustomize.toolkit.fluxcd.io", "borrowed")
        article.configure(fluxLockdown=True, fluxSize="small")
        if article.changed:
            article.up()


def workers(platform: Platform) -> dict[str, int]:
    """The number of workers in the command lines of Flux's running controllers, of every shard alike."""
    found: dict[str, set[int]] = {}
    for pod, pid in agent.programs(platform.home).items():
        for argument in psutil.Process(pid).cmdline():
            if argument.startswith("--concurrent="):
                found.setdefault(pod.partition("-controller")[0], set()).add(int(argument.partition("=")[2]))
    return {f"{name}-controller": number for name, (number,) in found.items()}


def controllers(platform: Platform) -> set[str]:
    """The running pods of Flux's controllers."""
    return {pod for pod in agent.programs(platform.home) if "-controller-" in pod}


def test_the_next_update_continues_an_update_that_was_killed(article: Stack, platform: Platform) -> None:
    late = {f"late-{n}": PRIVATE for n in range(4)}
    article.tenants({"alpha": PRIVATE, "beta": PRIVATE, "gamma": PUBLIC, **late})
    neighbour = objects_of(platform, "alpha")
    kill_update(article, lambda: sum(f"flux-prod-eu-{name}" in deploy_keys(platform, "product") for name in late) >= 2)
    sources = "/apis/source.toolkit.fluxcd.io/v1/gitrepositories"
    kill_update(article, lambda: len((platform.get(sources) or {"items": []})["items"]) >= 6)
    article.up()
    article.run("preview", "--expect-no-changes")
    for tenant in late:
        eventually(lambda tenant=tenant: applied(platform, tenant))
    titles = deploy_keys(platform, "product")
    assert sorted(titles) == sorted(set(titles)), "a key was left behind"
    assert objects_of(platform, "alpha") == neighbour
    article.tenants({"alpha": PRIVATE, "beta": PRIVATE, "gamma": PUBLIC})
    article.up()


def kill_update(stack: Stack, moment: Callable[[], bool]) -> None:
    """Run an update, kill it with its plugins at a given moment, and clean up as `make up` does."""
    home, project = stack.platform.home, stack.platform.project
    command = [str(home.bin / "pulumi"), "up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack.name]
    update = subprocess.Popen(
        command, cwd=project, env=pulumi.environment(home), start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        eventually(lambda: moment() or update.poll() is not None, timeout=300, every=0.01)
    finally:
        os.killpg(update.pid, signal.SIGKILL)
    assert update.wait() == -signal.SIGKILL, "the update was over before it could be killed"
    pulumi.recover(home, stack.name, cwd=project)


def test_destroy_leaves_only_the_repository(platform: Platform, article: Stack) -> None:
    article.destroy()
    left = article.exported()["deployment"].get("resources", [])
    assert left == [] or [resource["type"] for resource in left] == ["pulumi:pulumi:Stack"]
    namespaces = platform.kubectl("get", "namespaces", "-o", "name").split()
    assert sorted(namespaces) == [
        f"namespace/{name}" for name in ("default", "kube-node-lease", "kube-public", "kube-system")
    ]
    assert "toolkit.fluxcd.io" not in platform.kubectl("get", "customresourcedefinitions,clusterroles", "-o", "name")
    assert deploy_keys(platform, "product") == deploy_keys(platform, "saas-in-eks-infra") == []
    eventually(lambda: not agent.programs(platform.home))
    # The repository is adopted again, with its history and what its owners chose.
    chosen = {"hasIssues": True, "hasWiki": True, "deleteBranchOnMerge": True, "topics": ["platform"]}
    store = Store(platform.home.git)
    with store.changing():
        repository = store.get("acme", "saas-in-eks-infra")
        assert repository
        store.save(replace(repository, settings={**repository.settings, **chosen}))
    article.up()
    repository = store.get("acme", "saas-in-eks-infra")
    assert repository
    assert {name: repository.settings[name] for name in chosen} == chosen
    eventually(lambda: applied(platform, "alpha"))


def push_product(platform: Platform, files: dict[str, str | None], folder: Path) -> str:
    """Add manifests to the product's kustomization, or remove them (None)."""
    clone = folder / f"product-{time.monotonic_ns()}"
    platform.git("clone", platform.repository("acme/product"), str(clone), folder=folder)
    path = clone / "kustomize" / "kustomization.yaml"
    content = yaml.safe_load(path.read_text())
    resources = [name for name in content["resources"] if name not in files]
    content["resources"] = resources + [name for name, text in files.items() if text is not None]
    changed = {f"kustomize/{name}": text for name, text in files.items()}
    commit = platform.push("acme/product", {**changed, "kustomize/kustomization.yaml": yaml.safe_dump(content)}, folder)
    fetch(platform)
    return commit


def reconcile(platform: Platform, name: str) -> None:
    """Ask Flux to reconcile now, as `flux reconcile` does; it polls the infra repository once a minute."""
    for kind in ("gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io"):
        annotate = ("-n", name, "annotate", "--overwrite", f"{kind}/{name}", "--field-manager=flux-client")
        platform.kubectl(*annotate, requested_now())
