"""What the program registers: order, parents, secrets, names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pulumi_github
import pytest
import yaml

from model.kubernetes.flux import ARTIFACT_HOST, ARTIFACT_READERS, with_secret_artifact_host
from model.kubernetes.manifests import SHARD_ANNOTATION, SHARD_LABEL
from model.kubernetes.shards import SELECTOR
from tests.program.conftest import TENANTS, UID, Run
from tests.program.recorder import Github, ProgramError, Registration

GIT_REPOSITORY = "kubernetes:source.toolkit.fluxcd.io/v1:GitRepository"
KUSTOMIZATION = "kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization"
NAMESPACE = "kubernetes:core/v1:Namespace"
SECRET = "kubernetes:core/v1:Secret"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
DEFINITION = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"
FILE = "github:index/repositoryFile:RepositoryFile"
KEY = "github:index/repositoryDeployKey:RepositoryDeployKey"
REPOSITORY = "github:index/repository:Repository"

SERVICE = "kubernetes:core/v1:Service"

PLATFORM_CONTROLLERS = {"source-controller-platform", "kustomize-controller-platform"}
"""Controllers of the infra repository only."""
CUSTOMERS = TENANTS.replace("- name: alpha", "- name: alpha\n    shard: customers\n    helm: true")
"""Tenants of which alpha is in a shard of its own."""

HOST_KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}"


def test_a_preview_registers_what_the_update_registers(run: Run) -> None:
    planned, made = run(preview=True), run()
    assert planned.registrations.keys() == made.registrations.keys()
    assert len(made.of(KUSTOMIZATION)) == 3


def test_order_definitions_permissions_controllers_reconciled(run: Run) -> None:
    recording = run()
    definitions = {r.urn for r in recording.of(DEFINITION)} | {recording.resource(NAMESPACE, "flux-system").urn}
    accounts = [r for r in recording.of("kubernetes:core/v1:ServiceAccount") if "FluxInstallation" in r.urn]
    controllers = recording.of(DEPLOYMENT)
    assert len(definitions) == 5
    assert len(accounts) == 5
    assert {c.name for c in controllers} == {a.name for a in accounts} | PLATFORM_CONTROLLERS
    assert all(definitions <= account.depends_on for account in accounts)
    assert all({a.urn for a in accounts} <= controller.depends_on for controller in controllers)
    # A Service becomes ready with a pod of its controller: a controller that waited for its own would wait forever.
    for shard in ("", "-platform"):
        urn = recording.resource(SERVICE, f"source-controller{shard}").urn
        behind_it = {controller.name for controller in controllers if urn in controller.depends_on}
        assert behind_it == {f"{reader}{shard}" for reader in ARTIFACT_READERS} & {c.name for c in controllers}
    for reconciled in (*recording.of(GIT_REPOSITORY), *recording.of(KUSTOMIZATION)):
        assert {c.urn for c in controllers} <= recording.needs(reconciled), reconciled.urn


def test_a_tenant_is_removed_in_the_order_that_lets_flux_prune(run: Run) -> None:
    recording = run()
    kustomization = recording.resource(KUSTOMIZATION, "alpha")
    source = recording.resource(GIT_REPOSITORY, "alpha")
    binding = recording.resource("kubernetes:rbac.authorization.k8s.io/v1:RoleBinding", "alpha/reconciler/admin")
    account = next(r for r in recording.of("kubernetes:core/v1:ServiceAccount") if r.name == "alpha")
    namespace = recording.resource(NAMESPACE, "alpha")
    assert {source.urn, binding.urn, account.urn} <= kustomization.depends_on
    assert namespace.urn in source.depends_on & binding.depends_on & account.depends_on
    assert recording.resource(SECRET, "alpha").urn in source.depends_on
    assert binding.request.deletedWith == account.request.deletedWith == namespace.urn


def test_the_infra_repository_outlives_the_stack(run: Run) -> None:
    repository = run().resource(REPOSITORY, "saas-in-eks-infra")
    assert repository.request.retainOnDelete
    assert repository.inputs["visibility"] == "private"
    assert repository.request.importId == ""


def test_an_existing_infra_repository_is_adopted(run: Run) -> None:
    github = Github(
        {
            "acme/saas-in-eks-infra": {
                "nodeId": "R_1",
                "name": "saas-in-eks-infra",
                "visibility": "private",
                "defaultBranch": "main",
            }
        }
    )
    assert run(github=github).resource(REPOSITORY, "saas-in-eks-infra").request.importId == "saas-in-eks-infra"


def test_an_adopted_infra_repository_keeps_what_its_owners_chose(run: Run) -> None:
    """The provider switches off Issues, Projects and Wiki where a program does not mention them."""
    ignored = set(run().resource(REPOSITORY, "saas-in-eks-infra").request.ignoreChanges)
    settings = set(inspect.signature(pulumi_github.RepositoryArgs.__init__).parameters)
    ours = {"name", "visibility"}
    # `private` is an older word for the visibility; the others say how the provider works.
    no_settings = {"__self__", "private", "etag", "archive_on_destroy", "ignore_vulnerability_alerts_during_read"}
    assert ignored == {_camel(name) for name in settings - ours - no_settings}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@pytest.mark.parametrize(
    ("existing", "said"),
    [
        ({"visibility": "public", "defaultBranch": "main"}, "is public"),
        ({"visibility": "private", "defaultBranch": "main", "archived": True}, "is archived"),
        ({"visibility": "private", "defaultBranch": "trunk"}, "is trunk, not main"),
    ],
)
def test_an_unsuitable_infra_repository_is_not_adopted(run: Run, existing: dict[str, str], said: str) -> None:
    github = Github({"acme/saas-in-eks-infra": {"nodeId": "R_1", "name": "saas-in-eks-infra", **existing}})
    with pytest.raises(ProgramError, match=said):
        run(github=github)


FORMER = {"infraRepository": "https://github.com/globex/saas-in-eks-infra"}


def existing(*names: str, node: str) -> dict[str, dict[str, Any]]:
    found = {"visibility": "private", "defaultBranch": "main", "nodeId": node}
    return {name: {"fullName": name, **found} for name in names}


def test_another_owners_infra_repository_is_not_taken_for_the_stacks(run: Run) -> None:
    mine, theirs = "acme/saas-in-eks-infra", "globex/saas-in-eks-infra"
    refusal = "The infra repository is github.com/globex/saas-in-eks-infra, not github.com/acme.*`owner: globex`"
    for repositories in (
        {},
        existing(theirs, node="R_1"),
        {**existing(mine, node="R_2"), **existing(theirs, node="R_1")},
    ):
        with pytest.raises(ProgramError, match=refusal):
            run(github=Github(repositories), earlier=FORMER)
    # After a transfer, GitHub answers with the same repository under both names.
    for repositories in (existing(mine, theirs, node="R_1"), existing(mine, node="R_1")):
        assert run(github=Github(repositories), earlier=FORMER).resource(REPOSITORY, "saas-in-eks-infra")


def test_the_deploy_key_is_titled_as_by_flux_bootstrap(run: Run) -> None:
    key = run().resource(KEY, "flux-system/acme")
    assert key.inputs["title"] == "flux-system-main-flux-system-./clusters/eu"
    assert key.inputs["readOnly"] is True
    assert key.inputs["key"] == "ecdsa-sha2-nistp384 AAAA"


def test_a_private_key_is_a_secret_from_birth(run: Run) -> None:
    for secret in run().of(SECRET):
        raw = secret.request.object.fields["stringData"].struct_value.fields["identity"].struct_value
        assert "4dabf18193072939515e22adb298388d" in raw.fields, "the engine's mark of a secret is missing"
        assert set(secret.request.additionalSecretOutputs) == {"data", "stringData"}


def unforced(resource: dict[str, Any]) -> dict[str, Any]:
    """A Kubernetes object without the annotation for Pulumi's provider."""
    metadata = resource["metadata"]
    kept = {key: value for key, value in metadata["annotations"].items() if key != "pulumi.com/patchForce"}
    return {**resource, "metadata": {**metadata, "annotations": kept}}


def test_git_holds_what_pulumi_applies(run: Run) -> None:
    recording = run()
    folder = "clusters/eu/flux-system"
    files = {r.inputs["file"]: r.inputs["content"] for r in recording.of(FILE)}
    assert list(files) == [
        f"{folder}/{name}" for name in ("gotk-components.yaml", "gotk-sync.yaml", "kustomization.yaml")
    ]
    committed = list(yaml.safe_load_all(files[f"{folder}/gotk-components.yaml"]))
    applied = [unforced(r.inputs) for r in recording.registrations.values() if "FluxInstallation$kubernetes:" in r.urn]
    assert sorted(map(_identity, committed)) == sorted(map(_identity, applied))
    # Except for the secret host name under which two controllers of each shard fetch artifacts.
    other = {resource["metadata"]["name"]: resource for resource in committed if resource not in applied}
    assert other.keys() == {*ARTIFACT_READERS, "kustomize-controller-platform"}
    for name, resource in other.items():
        host = _environment(recording.resource(DEPLOYMENT, name))[ARTIFACT_HOST]
        assert with_secret_artifact_host(resource, host, "10.0.0.17") in applied
    assert yaml.safe_load(files[f"{folder}/kustomization.yaml"])["resources"] == [
        "gotk-components.yaml",
        "gotk-sync.yaml",
    ]
    for manifest in (*committed, *yaml.safe_load_all(files[f"{folder}/gotk-sync.yaml"])):
        annotations = manifest["metadata"]["annotations"]
        assert annotations["kustomize.toolkit.fluxcd.io/ssa"] == "Ignore"
        assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"


def test_lockdown_is_the_default(run: Run) -> None:
    locked = _arguments(run().resource(DEPLOYMENT, "kustomize-controller"))
    assert {"--no-cross-namespace-refs=true", "--no-remote-bases=true", "--default-service-account=default"} <= locked
    open_ = _arguments(run(config={"fluxLockdown": False}).resource(DEPLOYMENT, "kustomize-controller"))
    roles_first, unlabelled = "--custom-apply-stage-kinds=rbac.authorization.k8s.io/Role", f"{SELECTOR}=!{SHARD_LABEL}"
    strict = "--feature-gates=StrictPostBuildSubstitutions=true"
    assert open_ == {"--log-level=info", roles_first, strict, unlabelled}


def _environment(deployment: Registration) -> dict[str, Any]:
    environment = deployment.inputs["spec"]["template"]["spec"]["containers"][0].get("env", [])
    return {resource["name"]: resource.get("value") for resource in environment}


@pytest.mark.parametrize("controller", ARTIFACT_READERS)
def test_what_evaluates_tenants_files_reaches_only_no_proxy_hosts(run: Run, controller: str) -> None:
    def proxies(**config: Any) -> dict[str, str]:
        environment = _environment(run(config=config).resource(DEPLOYMENT, controller))
        return {name: value for name, value in environment.items() if name.endswith("_PROXY")}

    asked = proxies(network={"kustomizeReaches": ["kms.eu-west-1.amazonaws.com"]})
    assert asked["HTTP_PROXY"] == asked["HTTPS_PROXY"] == "http://127.0.0.1:9"
    notifications = "notification-controller.flux-system.svc.cluster.local"
    flux = [f"{notifications}.", notifications, "$(KUBERNETES_SERVICE_HOST)", "kms.eu-west-1.amazonaws.com"]
    assert asked["NO_PROXY"].split(",") == [*flux, "$(SOURCE_CONTROLLER_LOCALHOST)"]
    assert proxies(fluxLockdown=False) == {}


@pytest.mark.parametrize("controller", ARTIFACT_READERS)
def test_the_artifact_host_is_a_secret_outside_of_dns(run: Run, controller: str) -> None:
    recording = run(CUSTOMERS)
    hosts: set[str] = set()
    for shard in ("", "-customers"):
        deployment = recording.resource(DEPLOYMENT, f"{controller}{shard}")
        host = _environment(deployment)[ARTIFACT_HOST]
        assert re.fullmatch("artifacts-[0-9a-f]{40}", host)
        pod = deployment.inputs["spec"]["template"]["spec"]
        assert pod["hostAliases"] == [{"ip": "10.0.0.17", "hostnames": [host]}]
        assert str(deployment.request.object).count("4dabf18193072939515e22adb298388d") == 2
        for other in recording.registrations.values():
            reads = other.type == DEPLOYMENT and other.name in {f"{reader}{shard}" for reader in ARTIFACT_READERS}
            assert reads or host not in str(other.inputs), other.urn
        hosts.add(host)
    assert len(hosts) == 2, "each shard has a secret of its own"


def test_every_shard_has_the_size_and_a_secret_host_of_its_own(run: Run) -> None:
    small, large = run(CUSTOMERS), run(CUSTOMERS, config={"fluxSize": "large"})
    assert small.registrations.keys() == large.registrations.keys()
    shards = ("", "-customers", "-platform")
    readers = [f"kustomize-controller{shard}" for shard in shards]
    for name in (*readers, *(f"source-controller{shard}" for shard in shards)):
        found, before = large.resource(DEPLOYMENT, name), small.resource(DEPLOYMENT, name)
        assert f"--concurrent={10 if name.startswith('source') else 20}" in _arguments(found)
        assert _arguments(before) <= _arguments(found)
        garbage = {"GOGC": "300", "GOMEMLIMIT": "1792MiB"} if name in readers else {}
        assert _environment(found) == _environment(before) | garbage
    assert len({_environment(large.resource(DEPLOYMENT, name))[ARTIFACT_HOST] for name in readers}) == 3
    unchanged = [urn for urn, one in small.registrations.items() if one.inputs == large.registrations[urn].inputs]
    sized = {*readers, *(f"{kind}-controller{shard}" for kind in ("source", "helm") for shard in shards[:2])}
    sized |= {"source-controller-platform"}
    changed = {one.name for urn, one in large.registrations.items() if urn not in unchanged}
    changed -= {"eu"}  # the provider: each recording has a kubeconfig of its own
    assert changed == {*sized, "clusters/eu/flux-system/gotk-components.yaml"}


def test_each_shard_has_controllers_for_its_objects_only(run: Run) -> None:
    recording = run(CUSTOMERS)
    selectors = {
        deployment.name: next((a.partition("=")[2] for a in _arguments(deployment) if a.startswith(SELECTOR)), None)
        for deployment in recording.of(DEPLOYMENT)
    }
    kinds = ("source-controller", "kustomize-controller", "helm-controller")
    assert selectors == {
        **dict.fromkeys(kinds, f"!{SHARD_LABEL}"),
        **{f"{kind}-customers": f"{SHARD_LABEL}=customers" for kind in kinds},
        **dict.fromkeys(PLATFORM_CONTROLLERS, f"{SHARD_LABEL}=platform"),
        "notification-controller": None,
        "flux-watchdog": None,
    }
    for name in ("source-controller", "source-controller-platform", "source-controller-customers"):
        deployment, service = recording.resource(DEPLOYMENT, name), recording.resource(SERVICE, name)
        advertised = f"--storage-adv-addr={name}.$(RUNTIME_NAMESPACE).svc.cluster.local."
        assert advertised in _arguments(deployment)
        spec = deployment.inputs["spec"]
        selector = {"app": name}
        assert spec["selector"]["matchLabels"] == selector == service.inputs["spec"]["selector"]
        assert selector.items() <= spec["template"]["metadata"]["labels"].items()
        assert {"HTTP_PROXY", "NO_PROXY"} <= _environment(deployment).keys()


def test_a_tenants_objects_carry_the_label_of_its_shard(run: Run) -> None:
    recording = run(CUSTOMERS)
    for name, shard in (("alpha", "customers"), ("beta", None), ("flux-system", "platform")):
        for kind in (GIT_REPOSITORY, KUSTOMIZATION):
            metadata = recording.resource(kind, name).inputs["metadata"]
            assert metadata["labels"].get(SHARD_LABEL) == shard if "labels" in metadata else shard is None
    assert recording.resource(KUSTOMIZATION, "alpha").inputs["spec"]["commonMetadata"] == {
        "labels": {SHARD_LABEL: "customers"}
    }
    assert "commonMetadata" not in recording.resource(KUSTOMIZATION, "beta").inputs["spec"]
    namespaces = {name: recording.resource(NAMESPACE, name).inputs["metadata"] for name in ("alpha", "beta")}
    shards = {name: namespace["annotations"].get(SHARD_ANNOTATION) for name, namespace in namespaces.items()}
    assert shards == {"alpha": "customers", "beta": None}


def test_a_shard_goes_after_its_last_tenant(run: Run) -> None:
    recording = run(CUSTOMERS)
    last = recording.resource(DEPLOYMENT, "kustomize-controller-customers")
    assert last.urn in recording.resource(NAMESPACE, "alpha").depends_on
    others = {recording.resource(DEPLOYMENT, f"{kind}-controller-customers").urn for kind in ("source", "helm")}
    assert others <= last.depends_on


def test_source_controller_uses_plain_http_for_such_mirrors_only(run: Run) -> None:
    mirrors = "mirrors: [{prefix: 'https://github.com/', url: 'http://git.example.com:8080/mirror/'}]"
    recording = run(config={"mirrorsFile": "mirrors.yaml"}, files={"mirrors.yaml": mirrors})
    environment = _environment(recording.resource(DEPLOYMENT, "source-controller"))
    assert environment["HTTP_PROXY"] == "http://127.0.0.1:9"
    assert "HTTPS_PROXY" not in environment
    assert environment["NO_PROXY"].endswith(",git.example.com:8080")


def test_only_selected_controllers_are_installed(run: Run) -> None:
    recording = run(config={"fluxComponents": ["source-controller", "kustomize-controller"]})
    others = {"source-controller", "kustomize-controller", "flux-watchdog"}
    assert {r.name for r in recording.of(DEPLOYMENT)} == others | PLATFORM_CONTROLLERS
    assert len(recording.of(DEFINITION)) == 2


def test_only_fluxs_own_sync_is_waited_for(run: Run) -> None:
    recording = run()
    for registration in (*recording.of(GIT_REPOSITORY), *recording.of(KUSTOMIZATION)):
        waits = "pulumi.com/waitFor" in registration.inputs["metadata"].get("annotations", {})
        assert waits == (registration.name == "flux-system"), registration.urn


def test_a_mirror_serves_the_same_tenants(run: Run) -> None:
    mirrors = f"""\
mirrors:
  - {{prefix: "ssh://git@github.com/", url: "ssh://git@127.0.0.1:22/", knownHosts: "[127.0.0.1]:22 {HOST_KEY}"}}
  - {{prefix: "https://github.com/", url: "http://127.0.0.1:80/"}}
"""
    recording = run(config={"mirrorsFile": "mirrors.yaml"}, files={"mirrors.yaml": mirrors})
    urls = {r.name: r.inputs["spec"]["url"] for r in recording.of(GIT_REPOSITORY)}
    assert urls == {
        "flux-system": "ssh://git@127.0.0.1:22/acme/saas-in-eks-infra",
        "alpha": "ssh://git@127.0.0.1:22/acme/product",
        "beta": "http://127.0.0.1:80/stefanprodan/podinfo",
    }
    assert all(s.inputs["stringData"]["known_hosts"] == f"[127.0.0.1]:22 {HOST_KEY}" for s in recording.of(SECRET))
    assert recording.resource(KEY, "alpha/acme").inputs["repository"] == "product"


def test_a_private_product_of_another_owner_gets_its_key_from_that_owner(run: Run) -> None:
    recording = run(TENANTS.replace("acme/product", "globex/shop"))
    provider = recording.resource("pulumi:providers:github", "github-globex")
    assert provider.inputs["owner"] == "globex"
    assert recording.resource(KEY, "alpha/globex").request.provider.startswith(provider.urn)


def test_a_private_source_elsewhere_exports_the_key_to_register(run: Run) -> None:
    tenants = TENANTS.replace("github.com/acme/product", "git.example.com/p").replace(
        "private: true", f"private: true, knownHosts: git.example.com {HOST_KEY}"
    )
    recording = run(tenants)
    assert [key.name for key in recording.of(KEY)] == ["flux-system/acme"]
    assert recording.outputs["deployKeysToRegister"] == {"alpha": "ecdsa-sha2-nistp384 AAAA"}


def test_outputs_name_cluster_versions_repository_and_tenants(run: Run) -> None:
    outputs = run().outputs
    assert outputs["infraRepository"] == "https://github.com/acme/saas-in-eks-infra"
    assert outputs["cluster"]["name"] == "eu"
    assert outputs["kubernetesVersion"] == "v1.36.4"
    assert outputs["fluxVersion"] == "v2.9.2"
    assert outputs["tenants"]["beta"] == {
        "namespace": "beta",
        "source": "https://github.com/stefanprodan/podinfo",
        "branch": "master",
    }


def test_a_tenant_costs_nine_objects_and_a_private_one_three_more(run: Run) -> None:
    # Every resource of a tenant counts a hundred times over in a preview of a hundred tenants.
    recording = run()
    objects = [r for r in recording.registrations.values() if r.request.custom]
    assert len([r for r in objects if r.name.partition("/")[0] == "beta"]) == 9
    assert len([r for r in objects if r.name.partition("/")[0] == "alpha"]) == 12


def test_nothing_is_registered_before_all_problems_are_reported(run: Run) -> None:
    tenants = "tenants:\n  - name: Not Good\n    sourc: {}\n  - name: kube-x\n    source: {url: x, branch: main}\n"
    mirrors = "mirrors:\n  - {prefix: a}\n"
    with pytest.raises(ProgramError) as refused:
        run(tenants, config={"owner": "-", "mirrorsFile": "m.yaml"}, files={"m.yaml": mirrors})
    said = str(refused.value)
    for part in ("tenants.yaml:2", "tenants.yaml:3", "tenants.yaml:4", "m.yaml:2", "owner", "Did you mean source?"):
        assert part in said, said


KEYS_OFF = {"acme": {"deploy_keys_enabled_for_repositories": False}}
DEPLOYED = {"tenants": {"alpha": {"source": "ssh://git@github.com/acme/product"}}}


@pytest.mark.parametrize(
    ("repository", "said"),
    [
        ({"fullName": "acme/product"}, r"github.com/acme/product does not exist, or these credentials may not see it"),
        ({"fullName": "acme/product", "nodeId": "R_1", "archived": True}, "github.com/acme/product is archived"),
    ],
)
def test_a_new_tenant_needs_a_repository_that_can_have_a_key(run: Run, repository: dict[str, Any], said: str) -> None:
    with pytest.raises(ProgramError, match=rf"tenants.yaml:4: tenants\[0\].source.url: {said}"):
        run(github=Github({"acme/product": repository}))


def test_the_repository_of_a_present_tenant_stops_no_deployment(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    gone = {"acme/product": {"fullName": "acme/product"}}
    assert run(github=Github(gone), earlier=DEPLOYED).resource(KEY, "alpha/acme")
    assert "tenants.yaml:4: tenants[0].source.url: github.com/acme/product does not exist" in caplog.text
    # Another source of a present tenant is a new key.
    moved = TENANTS.replace("acme/product", "acme/other")
    with pytest.raises(ProgramError, match=r"github\.com/acme/other does not exist"):
        run(moved, github=Github({"acme/other": {"fullName": "acme/other"}}), earlier=DEPLOYED)


def test_github_is_asked_once_for_a_repository_of_many_tenants(run: Run) -> None:
    asked: list[str] = []

    def answer(arguments: dict[str, Any]) -> dict[str, Any]:
        asked.append(arguments["fullName"])
        missing = {"fullName": arguments["fullName"]}
        return missing if missing["fullName"].endswith("-infra") else {**missing, "nodeId": "R_1", "archived": False}

    source = "{url: ssh://git@github.com/acme/product, branch: main, private: true}"
    tenants = "tenants:\n" + "".join(f"  - {{name: t-{n}, source: {source}}}\n" for n in range(4))
    run(tenants, answers={"github:index/getRepository:getRepository": answer})
    assert asked.count("acme/product") == 1


def test_deploy_keys_that_are_switched_off_stop_a_first_deployment(run: Run) -> None:
    with pytest.raises(ProgramError) as refused:
        run(github=Github(organizations=KEYS_OFF))
    said = str(refused.value)
    assert "owner: the organization acme has deploy keys switched off" in said
    assert "`gh api --method PATCH orgs/acme -F deploy_keys_enabled_for_repositories=true`" in said
    assert "deployKeys: app" in said
    assert "tenants.yaml:4: tenants[0].source.url: the organization acme has deploy keys switched off" in said


def test_deploy_keys_switched_off_later_are_a_warning(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert run(github=Github(organizations=KEYS_OFF), earlier=DEPLOYED).of(KEY)
    assert caplog.text.count("the organization acme has deploy keys switched off") == 2


REFUSED = ({}, [("", "403 Resource not accessible by integration")])
"""What a provider function answers where GitHub refuses."""


@pytest.mark.parametrize("earlier", [{}, DEPLOYED], ids=["first", "later"])
def test_a_token_that_may_not_read_the_organization_is_warned_of(
    run: Run, caplog: pytest.LogCaptureFixture, earlier: dict[str, Any]
) -> None:
    recording = run(answers={"github:index/getRestApi:getRestApi": REFUSED}, earlier=earlier)
    assert recording.resource(KEY, "alpha/acme")
    assert "Not checked whether acme lets its repositories have deploy keys: invoke of" in caplog.text
    assert "403 Resource not accessible" in caplog.text


def test_a_repository_that_github_refuses_to_show_stops_only_its_new_tenant(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(arguments: dict[str, Any]) -> Any:
        return {"fullName": arguments["fullName"]} if arguments["fullName"].endswith("-infra") else REFUSED

    answers = {"github:index/getRepository:getRepository": answer}
    with pytest.raises(ProgramError, match=r"tenants\.yaml:4: tenants\[0\]\.source\.url: GitHub does not tell whether"):
        run(answers=answers)
    assert run(answers=answers, earlier=DEPLOYED).resource(KEY, "alpha/acme")
    assert "tenants.yaml:4: tenants[0].source.url: GitHub does not tell whether github.com/acme/product" in caplog.text


APP = {"deployKeys": "app", "githubApp": {"id": "1234567", "installation": "12345678"}, "githubAppKey": "PEM"}
PUBLIC_TENANTS = "tenants:\n  - {name: beta, source: {url: 'https://github.com/acme/shop', branch: main}}\n"


def test_a_github_app_reads_the_infra_repository_without_a_deploy_key(run: Run) -> None:
    recording = run(PUBLIC_TENANTS, config=APP, github=Github(organizations=KEYS_OFF))
    assert not recording.of(KEY)
    source = recording.resource(GIT_REPOSITORY, "flux-system").inputs["spec"]
    assert source["provider"] == "github"
    assert source["url"] == "https://github.com/acme/saas-in-eks-infra"
    (secret,) = recording.of(SECRET)
    metadata = secret.inputs["metadata"]
    assert (metadata["namespace"], metadata["name"]) == ("flux-system", source["secretRef"]["name"])
    assert secret.inputs["stringData"] == {
        "githubAppID": "1234567",
        "githubAppInstallationID": "12345678",
        "githubAppPrivateKey": "PEM",
    }
    committed = [file.inputs["content"] for file in recording.of("github:index/repositoryFile:RepositoryFile")]
    assert any("provider: github" in text for text in committed)
    assert not [text for text in committed if "PEM" in text]


def test_the_apps_key_is_in_no_tenants_namespace(run: Run) -> None:
    with pytest.raises(
        ProgramError, match=r"tenants\[0\].source.url: a tenant's private repository on GitHub needs a deploy key"
    ):
        run(config=APP)


def test_a_github_app_reads_no_mirror(run: Run) -> None:
    mirrors = "mirrors: [{prefix: 'https://github.com/', url: 'https://git.example.com/'}]"
    with pytest.raises(ProgramError, match="deployKeys: a GitHub App reads from GitHub only"):
        run(PUBLIC_TENANTS, config={**APP, "mirrorsFile": "m.yaml"}, files={"m.yaml": mirrors})


def test_load_balancers_need_public_subnets_that_the_stack_makes(run: Run) -> None:
    balanced = TENANTS.replace("prune: true, ", "prune: true, network: {loadBalancers: [publicSubnets]}, ")
    with pytest.raises(ProgramError, match=r"loadBalancers\[0\]: the public subnets are unknown"):
        run(balanced)


def test_unknown_host_keys_are_refused_unless_a_mirror_has_them(run: Run) -> None:
    tenants = TENANTS.replace("github.com/acme/product", "git.example.com/p")
    with pytest.raises(ProgramError, match=r"tenants\[0\].source.url: the host keys of git.example.com are unknown"):
        run(tenants)
    mirror = {"prefix": "ssh://git@git.example.com/", "url": "ssh://git@mirror/", "knownHosts": f"mirror {HOST_KEY}"}
    mirrors = yaml.safe_dump({"mirrors": [mirror]})
    assert run(tenants, config={"mirrorsFile": "m.yaml"}, files={"m.yaml": mirrors}).of(SECRET)


def test_a_wrong_digest_stops_before_anything_is_touched(run: Run) -> None:
    with pytest.raises(ProgramError, match="is not the manifest that was pinned"):
        run(config={"fluxManifestSha256": "0" * 64})


def test_a_manifest_from_the_network_needs_a_digest(run: Run) -> None:
    with pytest.raises(ProgramError, match="needs a digest"):
        run(config={"fluxManifest": "https://example.com/install.yaml"})


def test_an_old_cluster_is_refused_with_a_remedy(run: Run, cluster: Callable[..., str]) -> None:
    with pytest.raises(ProgramError, match=r"runs Kubernetes v1\.32\.9-eks-1; Flux needs 1\.33 or newer\. Upgrade"):
        run(kubeconfig=cluster("v1.32.9-eks-1"))


def _identity(manifest: dict[str, Any]) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _arguments(deployment: Registration) -> set[str]:
    return set(deployment.inputs["spec"]["template"]["spec"]["containers"][0]["args"])


def test_a_kubeconfig_of_another_cluster_is_refused(run: Run) -> None:
    same = {"cluster": {"name": "eu", "uid": UID}}
    assert run().outputs["cluster"]["uid"] == run(earlier=same).outputs["cluster"]["uid"] == UID
    # An update of an earlier release left no uid.
    assert run(earlier={"cluster": {"name": "eu"}}).outputs["cluster"]["uid"] == UID
    with pytest.raises(ProgramError, match=f"leads to another cluster.* has the uid {UID}, not a-former-one"):
        run(earlier={"cluster": {"name": "eu", "uid": "a-former-one"}})


def test_what_the_cluster_has_already_stops_before_anything_is_registered(
    run: Run, cluster: Callable[..., str], manifest: str
) -> None:
    name = next(one["metadata"]["name"] for one in yaml.safe_load_all(manifest) if "Definition" in one["kind"])
    spec, status = {"versions": [{"name": "v0", "storage": True}]}, {"storedVersions": ["v0"]}
    paths = {
        "/api/v1/namespaces": {"items": [{"metadata": {"name": "alpha"}}]},
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": {
            "items": [{"metadata": {"name": name}, "spec": spec, "status": status}]
        },
    }
    with pytest.raises(ProgramError) as refused:
        run(kubeconfig=cluster("v1.36.4", paths))
    assert "tenants.yaml:3: tenants[0].name: the namespace alpha exists already" in str(refused.value)
    assert f"fluxManifest: objects of {name} may be stored as v0" in str(refused.value)


def test_a_deleted_entry_ends_the_program_before_anything_is_registered(run: Run) -> None:
    with pytest.raises(ProgramError, match="gone was deployed by the last update and is neither in tenants nor"):
        run(earlier={"tenants": {"gone": {"namespace": "gone"}}})
