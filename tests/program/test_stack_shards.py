"""Stacks of shards: the platform's stack without tenants, and stacks of tenants that read it."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import yaml

from cli.shards import resources_of
from components.product import moves
from model.config import stack_shards, tenants, yaml_lines
from model.config.stack_shards import StackShard
from tests.program.conftest import UID, Run
from tests.program.recorder import FakeProviders, ProgramError, Recording
from tests.program.test_prod_eu import THEIRS
from tests.program.test_urns import AWS_TENANTS, NOTIFIED, SECRETS, auto_mode, local, managed_nodes

COUNT = 3
PLATFORM_OUTPUTS: dict[str, Any] = {
    "shards": COUNT,
    "cluster": {"uid": UID},
    "tenants": {},
    "forShards": {
        "kubeconfig": '{"kind": "Config"}',
        "kubernetesVersion": "1.36",
        "clusterArn": "arn:aws:eks:eu-west-1:123456789012:cluster/prod-eu",
        "userPoolId": "eu-west-1_Pool",
        "clientId": "shared-client",
        "logsKey": "arn:aws:kms:eu-west-1:123456789012:key/logs",
        "tenantBoundary": "arn:aws:iam::123456789012:policy/boundary",
    },
}
NOT_OF_TENANTS = ("pulumi:pulumi:", "pulumi:providers:", "saas:cluster:", "saas:monitoring:ContainerLogs")
"""What a shard has besides its tenants: the reference to its platform, providers, and components without resources."""


class Stacks:
    """A platform and its shards, with the outputs that each has after its last update."""

    def __init__(self, run: Run, config: dict[str, Any], tenants: str, **more: Any) -> None:
        self.run, self.config, self.tenants, self.more = run, config, tenants, more
        self.outputs: dict[str, dict[str, Any]] = {"eu": dict(PLATFORM_OUTPUTS)}

    def platform(self, count: int | None = COUNT, **changes: Any) -> Recording:
        shard = {"shard": {"count": count}} if count else {}
        return self.update("eu", {**self.config, **shard, **changes})

    def shard(self, index: int, count: int = COUNT, platform_count: int = COUNT, **own: Any) -> Recording:
        written = {**self.config, "shard": {"count": platform_count}}
        theirs = {"config": {f"saas-in-eks:{key}": value for key, value in written.items()}}
        name = own.pop("stack_name", f"eu-{index}")
        shard = {"platform": "eu", "shard": {"count": count, "index": index}} | own
        files = {
            "Pulumi.eu.yaml": yaml.safe_dump(theirs),
            f"Pulumi.eu-{index}.yaml": yaml.safe_dump(
                {"config": {f"saas-in-eks:{key}": value for key, value in shard.items()}}
            ),
        }
        return self.update(name, shard, files)

    def update(self, name: str, config: dict[str, Any], files: dict[str, str] | None = None) -> Recording:
        def outputs(args: Any) -> Any:
            return {"outputs": self.outputs.get(args["name"].rpartition("/")[2], {})}

        return self.run(
            self.tenants,
            config=config,
            stack_name=name,
            files={**self.more.get("files", {}), **(files or {})},
            answers={**THEIRS, "pulumi:pulumi:readStackOutputs": outputs},
            secrets=SECRETS,
        )


@pytest.fixture
def platform_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs that a StackReference reads."""
    new_resource = FakeProviders.new_resource

    def answer(self: FakeProviders, args: Any) -> Any:
        if args.typ == "pulumi:pulumi:StackReference":
            assert args.inputs["name"] == "acme/saas-in-eks/eu"
            return args.inputs["name"], {**args.inputs, "outputs": PLATFORM_OUTPUTS}
        return new_resource(self, args)

    monkeypatch.setattr(FakeProviders, "new_resource", answer)


@pytest.fixture(params=["local", "prod-eu", "auto-mode"])
def stacks(request: pytest.FixtureRequest, run: Run, image_manifest: str, manifest: str, tmp_path: Any) -> Stacks:
    config, tenants = {
        "local": (local(), NOTIFIED),
        "prod-eu": (managed_nodes(), AWS_TENANTS),
        "auto-mode": (auto_mode(), AWS_TENANTS),
    }[request.param]
    if "kubeconfig" in config:
        config["kubeconfig"] = str(tmp_path / "kubeconfig")
    scanner_only = manifest.replace("image-automation-controller", "image-reflector-controller")
    install = image_manifest if request.param == "local" else scanner_only
    return Stacks(run, config, tenants, files={"install.yaml": install})


def urns(recording: Recording, name: str) -> set[str]:
    return {urn.replace(f"urn:pulumi:{name}::", "urn:pulumi:eu::") for urn in recording.registrations}


def of_tenants(urn: str) -> bool:
    kind, name = urn.split("::")[2], urn.split("::")[3]
    return not kind.startswith(NOT_OF_TENANTS) or "/logs" in name


@pytest.mark.usefixtures("platform_outputs")
def test_platform_and_shards_have_the_resources_of_one_stack_each_once(stacks: Stacks) -> None:
    whole = urns(stacks.platform(count=None), "eu")
    platform = urns(stacks.platform(), "eu")
    shards = {index: urns(stacks.shard(index), f"eu-{index}") for index in range(1, COUNT + 1)}
    tenants = [{urn for urn in own if of_tenants(urn)} for own in shards.values()]
    assert all(tenants), "each shard has a tenant"
    assert sum(map(len, tenants)) == len(set.union(*tenants)), "a resource is in two shards"
    assert not platform & set.union(*tenants)
    everything = platform.union(*shards.values())
    assert {urn for urn in everything ^ whole if ":Stack::" not in urn} == set()


@pytest.mark.usefixtures("platform_outputs")
def test_a_move_of_a_tenant_takes_all_that_it_has(stacks: Stacks) -> None:
    for index in range(1, COUNT + 1):
        shard = stacks.shard(index)
        state = {"deployment": {"resources": [{"urn": urn, "type": r.type} for urn, r in shard.registrations.items()]}}
        roots = {urn for name in shard.outputs["tenants"] for urn in resources_of(state, name)}
        for urn in filter(of_tenants, shard.registrations):
            ancestors = [urn]
            while ancestors[-1] in shard.registrations:
                ancestors.append(shard.registrations[ancestors[-1]].parent)
            assert roots & {*ancestors}, f"`./saas shard move` would leave {urn}"


@pytest.mark.usefixtures("platform_outputs")
def test_a_shard_on_aws_uses_what_the_platform_made(run: Run, manifest: str) -> None:
    scanner_only = manifest.replace("image-automation-controller", "image-reflector-controller")
    stacks = Stacks(
        run,
        managed_nodes(),
        AWS_TENANTS.replace("identity: client", "identity: client\n    stackShard: 1"),
        files={"install.yaml": scanner_only},
    )
    shard, values = stacks.shard(1), PLATFORM_OUTPUTS["forShards"]
    provider = shard.resource("pulumi:providers:kubernetes", "prod-eu").inputs
    assert (provider["kubeconfig"], provider["clusterIdentifier"]) == (values["kubeconfig"], "prod-eu")
    client = shard.resource("aws:cognito/userPoolClient:UserPoolClient", "client").inputs
    assert (client["userPoolId"], client["name"]) == (values["userPoolId"], "saas-in-eks-eu-client")
    role = shard.resource("aws:iam/role:Role", "client").inputs
    # Names and tags as in one stack: the deployment role may make no others, and a tenant that moves keeps its own.
    assert role["name"] == "saas-in-eks-eu-tenant-client"
    assert role["permissionsBoundary"] == "arn:aws:iam::123456789012:policy/saas-in-eks-eu-tenants-boundary"
    assert values["clusterArn"] in role["assumeRolePolicy"]
    tags = json.loads(shard.resource("pulumi:providers:aws", "aws").inputs["defaultTags"])["tags"]
    assert tags["Stack"] == "eu"
    logs = shard.resource("aws:cloudwatch/logGroup:LogGroup", "client/logs").inputs
    assert logs["kmsKeyId"] == values["logsKey"]
    config_map = shard.resource("kubernetes:core/v1:ConfigMap", "client").inputs["data"]
    assert config_map["OIDC_ISSUER"] == "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Pool"
    assert set(stacks.platform().outputs["forShards"]) == set(values) | {"tenantBoundary"}


@pytest.fixture
def small(run: Run, tmp_path: Any) -> Stacks:
    """Two tenants of a product, and one of an own source, in three shards."""
    config = {
        "cluster": "eu",
        "owner": "acme",
        "fluxManifest": "install.yaml",
        "kubeconfig": str(tmp_path / "kubeconfig"),
    }
    return Stacks(run, config, SMALL)


SMALL = """\
products:
  shop: {source: {url: "https://github.com/acme/shop", branch: main}}
tenants:
  - {name: alpha, product: shop, stackShard: 1}
  - {name: beta, product: shop, stackShard: 2}
  - {name: gamma, source: {url: "https://github.com/acme/shop", branch: main}, stackShard: 2}
"""


@pytest.mark.usefixtures("platform_outputs")
def test_what_a_shard_makes_does_not_wait_for_the_platforms_resources(small: Stacks) -> None:
    shard = small.shard(2)
    assert shard.outputs["tenants"].keys() == {"beta", "gamma"}
    assert (shard.outputs["shard"], shard.outputs["fluxShards"]) == (2, {"default": False})
    kustomization = shard.resource("kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization", "beta/product-shop")
    assert kustomization.inputs["spec"]["sourceRef"]["name"] == "shop"
    assert all(urn in shard.registrations for one in shard.registrations.values() for urn in one.depends_on)


def test_flux_of_a_platform_with_shards_refuses_to_be_deleted(small: Stacks) -> None:
    for count, protected in ((None, False), (COUNT, True)):
        namespace = small.platform(count=count).resource("kubernetes:core/v1:Namespace", "flux-system")
        assert namespace.request.protect is protected


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another stack's name": ({"stack_name": "eu-two"}, "the stack of this shard is called eu-2, not eu-two"),
    "a shard that is not there": ({"index": 4}, "there is no shard 4 of 3"),
    "a setting of the platform": ({"branch": "trunk"}, "branch is the same for all shards.*Pulumi.eu.yaml only"),
    "another number of shards": ({"count": 4}, "eu has 3 shards, not 4"),
    "a platform that is a shard": ({"platform": "eu-2", "stack_name": "eu-2-2"}, "eu-2 is a shard itself"),
    "a platform without a file": (
        {"platform": "us"},
        "is called us-2|the platform's file Pulumi.us.yaml does not exist",
    ),
    "no index": ({"shard": {"count": 3}}, "needs the shard that it has"),
    "no number": ({"shard": {"count": "3"}}, "shard.count.*must be a whole number"),
    "nothing": ({"shard": {}}, "needs the shard that it has"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_shard_that_does_not_fit_its_platform_is_refused(small: Stacks, case: str) -> None:
    changes, message = WRONG[case]
    with pytest.raises(ProgramError, match=f"(?s){message}"):
        small.shard(**{"index": 2, **changes})


def test_an_index_without_a_platform_is_refused(small: Stacks) -> None:
    with pytest.raises(ProgramError, match="a shard needs the stack of its platform"):
        small.platform(shard={"count": 3, "index": 1})


@pytest.mark.parametrize("outputs", [{}, {"shards": 2}], ids=["never updated", "another number"])
def test_a_shard_before_its_platform_is_refused(small: Stacks, outputs: dict[str, Any]) -> None:
    small.outputs["eu"] = outputs
    with pytest.raises(ProgramError, match="Run `pulumi up --stack eu` first"):
        small.shard(2)


def test_a_shard_that_no_stack_has_is_refused(small: Stacks) -> None:
    small.tenants = SMALL.replace("stackShard: 1", "stackShard: 4")
    with pytest.raises(ProgramError, match="stackShard: there is no shard 4 of 3"):
        small.platform()


MOVE = "belongs to the stack eu-2, and its state is in {}(?s:.*)`./saas shard move beta --platform eu`"


@pytest.mark.parametrize("holder", ["eu", "eu-1"])
def test_a_tenant_whose_state_is_elsewhere_is_neither_deleted_nor_made_twice(small: Stacks, holder: str) -> None:
    small.outputs[holder] = {**small.outputs.get(holder, {}), "shard": 1, "tenants": {"beta": {"product": "shop"}}}
    with pytest.raises(ProgramError, match=f"tenants.yaml:5: .*beta {MOVE.format(holder)}"):
        small.shard(2)
    with pytest.raises(ProgramError, match=f"tenants.yaml:5: .*beta {MOVE.format(holder)}"):
        small.platform() if holder == "eu" else small.shard(1)


@pytest.mark.usefixtures("platform_outputs")
def test_a_tenant_whose_state_is_elsewhere_holds_up_no_other_shard(small: Stacks) -> None:
    small.outputs["eu-1"] = {"shard": 1, "tenants": {"beta": {"product": "shop"}}}
    assert small.shard(3).outputs["tenants"] == {}
    assert small.platform().outputs["tenants"] == {}


@pytest.mark.usefixtures("platform_outputs")
@pytest.mark.parametrize("entry", ["stackShard: 2", "stackShard: 1"], ids=["kept", "reverted"])
def test_the_stacks_of_an_interrupted_move_refuse_to_run_until_it_is_finished(small: Stacks, entry: str) -> None:
    small.tenants = SMALL.replace("beta, product: shop, stackShard: 2", f"beta, product: shop, {entry}")
    small.outputs["eu-1"] = {"shard": 1, "tenants": {"beta": {"product": "shop", "movingTo": "eu-2"}}}
    for index in (1, 2):
        with pytest.raises(
            ProgramError, match=r"(?s)move of beta from eu-1 to eu-2 was interrupted.*`./saas shard mov"
        ):
            small.shard(index)
    assert small.shard(3).outputs["tenants"] == {}
    assert small.platform().outputs["tenants"] == {}


@pytest.mark.parametrize("count", [2, None])
def test_fewer_shards_are_refused_while_one_that_goes_has_tenants(small: Stacks, count: int | None) -> None:
    small.tenants, small.outputs["eu-3"] = SMALL.replace("stackShard: 2", "stackShard: 1"), {"tenants": {"beta": {}}}
    with pytest.raises(ProgramError, match=r"beta belongs to the stack .*, and its state is in eu-3"):
        small.platform(count=count)


def test_a_product_stays_until_the_last_shard_has_left_it(small: Stacks) -> None:
    small.tenants = "tenants: []\ndeparted: [{name: beta, since: 2026-11-26}]\n"
    small.outputs["eu-2"] = {"shard": 2, "tenants": {"beta": {"product": "shop"}}}
    with pytest.raises(ProgramError, match="beta runs the product shop until the next update of the stack eu-2"):
        small.platform()
    small.outputs["eu-2"]["tenants"] = {}
    assert small.platform().outputs["products"] == {}


def test_flux_controllers_stay_until_the_last_shard_needs_them_no_more(small: Stacks) -> None:
    def controllers() -> set[str]:
        return {one.name for one in small.platform().of("kubernetes:apps/v1:Deployment") if "customers" in one.name}

    assert controllers() == set()
    small.outputs["eu-2"] = {"shard": 2, "fluxShards": {"customers": True}}
    assert controllers() == {f"{name}-controller-customers" for name in ("source", "kustomize", "helm")}


@pytest.mark.usefixtures("platform_outputs")
def test_a_shard_needs_the_notification_secrets_of_its_own_tenants_only(small: Stacks) -> None:
    notify = ", notify: [{name: ops, type: slack, secret: unknown}]}"
    small.tenants = SMALL.replace("stackShard: 1}", f"stackShard: 1{notify}")
    small.shard(2)
    small.platform()
    with pytest.raises(ProgramError, match="unknown"):
        small.shard(1)


@pytest.mark.parametrize(("index", "policy", "patched"), [(1, None, True), (2, "Orphan", False)], ids=["own", "other"])
def test_a_shard_leaves_moving_tenants_of_others_alone(
    monkeypatch: pytest.MonkeyPatch, index: int, policy: str | None, patched: bool
) -> None:
    """alpha moves from a source of its own to a product."""
    metadata = {"namespace": "alpha", "name": "alpha", "labels": {moves.TENANT_LABEL: "alpha"}}
    item = {"metadata": metadata, "spec": {"deletionPolicy": policy}}
    calls: list[str] = []

    def kubectl(_: str, command: str, *__: str) -> str:
        calls.append(command)
        return json.dumps({"items": [item]})

    monkeypatch.setattr(moves, "kubectl", kubectl)
    everyone = tenants.parse(yaml_lines.parse(SMALL, "tenants.yaml"))
    here = stack_shards.tenants_of(everyone, StackShard(count=3, index=index))
    given: Any = SimpleNamespace(tenants=here.tenants, everyone=everyone)
    moves.keep_objects_of_moving_tenants("", given)
    assert ("patch" in calls) is patched


class Refused(grpc.RpcError):
    """An answer of the engine."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return str(self)


INCOMPLETE = "failed to load checkpoint: EOF"
VANISHED = "failed to load checkpoint: blob (code=NotFound)"
UNKNOWN = "unknown stack"


@pytest.mark.parametrize(
    ("stack_name", "failures", "error", "ends"),
    [
        ("eu", 2, INCOMPLETE, False),
        ("eu", 2, VANISHED, False),
        ("eu", 2, UNKNOWN, False),
        ("eu-1", 9, UNKNOWN, False),
        ("eu", 9, INCOMPLETE, True),
        ("eu", 9, UNKNOWN, True),
        ("eu-1", 9, INCOMPLETE, True),
        ("eu-1", 1, "access denied", True),
    ],
)
def test_a_state_that_was_read_while_another_was_written_is_read_again(
    run: Run, stack_name: str, failures: int, error: str, ends: bool, tmp_path: Any
) -> None:
    """A stack exists while it is updated; a shard may not exist yet."""
    left = [error] * failures

    def outputs(args: Any) -> Any:
        if left and args["name"].endswith(f"/{stack_name}"):
            raise Refused(left.pop())
        return {"outputs": {}}

    def update() -> Recording:
        return run(
            "tenants: []",
            stack_name="eu",
            config={**local(), "kubeconfig": str(tmp_path / "kubeconfig"), "shard": {"count": 1}},
            answers={**THEIRS, "pulumi:pulumi:readStackOutputs": outputs},
            secrets=SECRETS,
        )

    if ends:
        with pytest.raises(Exception, match=re.escape(error)):
            update()
    else:
        assert update().registrations
        assert (not left) == (failures == 2)
