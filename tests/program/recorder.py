"""Runs the whole `__main__.py` under Pulumi mocks and records what it registers."""

from __future__ import annotations

import asyncio
import functools
import json
import runpy
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import yaml
from google.protobuf import struct_pb2
from pulumi.runtime import config as pulumi_config
from pulumi.runtime import mocks, rpc, stack
from pulumi.runtime.proto import resource_pb2

from components.aws.context import AwsContext

NEWEST_RELEASE = "1.36.1-20261120"
"""The AMI release that AWS recommends."""
EKS_ENDPOINT = "https://eks.example"
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Registration:
    """One resource as the program registered it."""

    urn: str
    type: str
    name: str
    parent: str
    request: resource_pb2.RegisterResourceRequest

    @functools.cached_property
    def inputs(self) -> dict[str, Any]:
        """Without secret marks. Most tests read those of a few resources only."""
        return _decoded(self.request.object)

    @property
    def depends_on(self) -> set[str]:
        return set(self.request.dependencies)


class Monitor(mocks.MockMonitor):
    """Records every request; a duplicate URN is an error, as in the engine."""

    def __init__(self, given: FakeProviders) -> None:
        super().__init__(given)
        self.given = given
        given.monitor = self
        self.registrations: dict[str, Registration] = {}
        self.answers: dict[str, resource_pb2.RegisterResourceResponse] = {}
        self.outputs: dict[str, Any] = {}

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        chain = parent.split("::")[2] + "$" if parent and "pulumi:pulumi:Stack" not in parent else ""
        return "urn:pulumi:" + "::".join([pulumi.get_stack(), pulumi.get_project(), chain + type_, name])

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        """Answer with the inputs as they came: the SDK's own mocks decode and encode them, a third of a run's time."""
        # The SDK would make each a resource of this program, which waits for this call to end.
        _without_references(request.object)
        urn = self.make_urn(request.parent, request.type, request.name)
        if urn in self.registrations:
            raise AssertionError(f"{urn} is registered twice")
        self.registrations[urn] = Registration(urn, request.type, request.name, request.parent, request)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        state = struct_pb2.Struct()
        state.CopyFrom(request.object)
        if request.type == "eks:index:Cluster":
            # Outputs are resources, not the plain objects that `_without_references` leaves.
            for name in {"serviceRole", "clusterSecurityGroup"} & state.fields.keys():
                del state[name]
        state.update(self.given.outputs(request.type, request.name, request.object))
        self.answers[urn] = resource_pb2.RegisterResourceResponse(
            urn=urn, id=self.given.identifier(request.name), object=state
        )
        return self.answers[urn]

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        """Answer what a reference to a resource leads to; leave other functions to the SDK's mocks."""
        found = self.answers.get(request.args["urn"]) if request.tok == "pulumi:pulumi:getResource" else None
        if found is None:
            return super().Invoke(request)
        result = struct_pb2.Struct()
        result.update({"urn": found.urn, "id": found.id, "state": found.object})
        fields: dict[str, Any] = {"return": result}  # the name is a keyword
        return resource_pb2.ResourceInvokeResponse(**fields)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        if "pulumi:pulumi:Stack" in request.urn:
            self.outputs = rpc.deserialize_properties(request.outputs, keep_unknowns=True)
        return super().RegisterResourceOutputs(request)


@dataclass
class Github:
    """Repositories and organizations on GitHub, with their properties. Products exist unless one says otherwise."""

    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    organizations: dict[str, dict[str, Any]] = field(default_factory=dict)


class FakeProviders(mocks.Mocks):
    """Providers that echo inputs, with outputs such as ids and keys unless in a preview."""

    monitor: Monitor

    def __init__(
        self,
        github: Github,
        preview: bool,
        answers: Mapping[str, Any] | None = None,
        earlier: Mapping[str, Any] | None = None,
    ) -> None:
        self.github, self.preview, self.answers, self.earlier = github, preview, answers or {}, earlier or {}

    def call(self, args: mocks.MockCallArgs) -> Any:
        if args.token in self.answers:
            answer = self.answers[args.token]
            return answer(args.args) if callable(answer) else answer
        match args.token:
            case "pulumi:pulumi:readStackOutputs":
                return {"name": args.args["name"], "outputs": dict(self.earlier)}
            case "aws:index/getAvailabilityZones:getAvailabilityZones":
                zones = {f"eu-west-1{letter}": f"euw1-az{n}" for n, letter in enumerate("abc", 1)}
                return {"names": [*zones], "zoneIds": [*zones.values()]}
            case "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings":
                # Every type, in the zones of the regions that the tests use.
                types = args.args["filters"][0]["values"]
                zones = [f"{region}{letter}" for region in ("eu-west-1", "ap-northeast-1") for letter in "abcd"]
                pairs = [(kind, zone) for kind in types for zone in zones]
                return {"instanceTypes": [kind for kind, _ in pairs], "locations": [zone for _, zone in pairs]}
            case "aws:cloudwatch/getLogGroups:getLogGroups":
                return {"logGroupNames": []}
            case "aws:eks/getAddonVersion:getAddonVersion":
                return {"version": "v999.0.0-eksbuild.1" if args.args["mostRecent"] else "v0.0.0-eksbuild.1"}
            case "aws:eks/getClusters:getClusters":
                return {"names": []}  # as before the first update
            case "aws:ssm/getParameter:getParameter":
                return {"name": args.args["name"], "insecureValue": NEWEST_RELEASE, "value": NEWEST_RELEASE}
            case "github:index/getRestApi:getRestApi":
                found = self.github.organizations.get(args.args["endpoint"].removeprefix("orgs/"))
                return {"code": 404 if found is None else 200, "body": json.dumps(found or {})}
            case "github:index/getRepository:getRepository":
                return self._repository(args.args["fullName"])
        raise AssertionError(f"{args.token} has no answer: add it to `answers`")

    def _repository(self, full_name: str) -> dict[str, Any]:
        missing = {"fullName": full_name}
        product = missing if full_name.endswith("-infra") else {**missing, "nodeId": "R_1", "archived": False}
        return self.github.repositories.get(full_name, product)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """A resource that the program reads."""
        return self.identifier(args.name), {**args.inputs, **self.outputs(args.typ, args.name, args.inputs)}

    def identifier(self, name: str) -> str:
        return "" if self.preview else f"{name}-id"

    def outputs(self, type_: str, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What a resource's outputs have besides its inputs."""
        if type_ == "eks:index:Cluster":
            return self._eks_cluster(name, inputs)
        if type_ == "github:index/repository:Repository":
            return {"htmlUrl": f"https://github.com/acme/{name}"}
        if self.preview:
            return {}
        if type_ == "tls:index/privateKey:PrivateKey":
            secret = dict.fromkeys(("privateKeyPem", "privateKeyPemPkcs8"), "PRIVATE")
            return {"publicKeyOpenssh": "ecdsa-sha2-nistp384 AAAA\n", **secret}
        if type_ == "kubernetes:core/v1:Service":
            return {"spec": {**inputs["spec"], "clusterIP": "10.0.0.17"}}
        if type_.startswith("aws:"):
            return self._aws(type_, name, inputs)
        return {}

    @staticmethod
    def _aws(type_: str, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        service = type_.split(":")[1].split("/")[0]
        found = {"arn": f"arn:aws:{service}:eu-west-1:123456789012:{name}", "keyId": f"{name}-key"}
        if "name" not in inputs:
            found["name"] = name
        if type_ == "aws:apigatewayv2/api:Api":
            found["apiEndpoint"] = "https://api.execute-api.eu-west-1.amazonaws.com"
        if type_ == "aws:ec2/eip:Eip":
            found["publicIp"] = f"address of {name}"
        return found

    def _eks_cluster(self, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The cluster inside pulumi-eks' component, as a reference to a resource."""
        urn = self.monitor.make_urn("", "aws:eks/cluster:Cluster", name)
        outputs = {
            "arn": f"arn:aws:eks:eu-west-1:123456789012:cluster/{inputs['name']}",
            "endpoint": EKS_ENDPOINT,
            "certificateAuthority": {"data": "Q0E="},
            "vpcConfig": {"clusterSecurityGroupId": "sg-0123456789abcdef0"},
            "roleArn": f"arn:aws:iam::123456789012:role/{inputs['name']}-eksRole-role-0123456",
        }
        state = {"name": inputs["name"], "version": inputs["version"], **({} if self.preview else outputs)}
        identifier = "" if self.preview else inputs["name"]
        self.monitor.resources[urn] = mocks.MockMonitor.ResourceRegistration(urn, identifier, state)
        reference = {rpc._special_sig_key: rpc._special_resource_sig, "urn": urn, "id": identifier}
        return {"eksCluster": reference}


@dataclass(frozen=True)
class Recording:
    """Registered resources and stack outputs of one run of the program."""

    registrations: dict[str, Registration]
    outputs: dict[str, Any]

    def of(self, type_: str) -> list[Registration]:
        return [r for r in self.registrations.values() if r.type == type_]

    def resource(self, type_: str, name: str) -> Registration:
        found = [r for r in self.of(type_) if r.name == name]
        assert len(found) == 1, f"{len(found)} of {type_} {name}; there are {sorted(r.urn for r in self.of(type_))}"
        return found[0]

    def needs(self, registration: Registration) -> set[str]:
        """URNs of its direct and transitive dependencies."""
        seen: set[str] = set()
        waiting = list(registration.depends_on)
        while waiting:
            urn = waiting.pop()
            if urn not in seen:
                seen.add(urn)
                # Resources inside a remote component are known to the component only.
                waiting += self.registrations[urn].depends_on if urn in self.registrations else ()
        return seen


class ProgramError(Exception):
    """The program failed with this message."""


def run(
    folder: Path,
    *,
    config: dict[str, Any],
    stack_name: str = "test",
    preview: bool = False,
    github: Github | None = None,
    answers: Mapping[str, Any] | None = None,
    earlier: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Recording:
    """Run the program in `folder`, which holds its files. Raises ProgramError if it fails with a message."""

    def program() -> None:
        runpy.run_path(str(folder / "__main__.py"), run_name="__main__")

    return record(
        program,
        config=config,
        stack_name=stack_name,
        preview=preview,
        github=github,
        answers=answers,
        earlier=earlier,
        secrets=secrets,
    )


def record(
    program: Callable[[], None],
    *,
    config: dict[str, Any] | None = None,
    stack_name: str = "test",
    preview: bool = False,
    github: Github | None = None,
    answers: Mapping[str, Any] | None = None,
    earlier: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Recording:
    """Run any program.

    `answers` are results of provider functions by their tokens, or functions of the arguments; `earlier` are the
    stack's outputs of the last update; `secrets` are the encrypted part of the configuration.
    """
    monitor = Monitor(FakeProviders(github or Github(), preview, answers, earlier))
    found: list[BaseException] = []

    def body() -> None:
        loop = asyncio.new_event_loop()
        # Only the first failure matters; others follow from it.
        loop.set_exception_handler(lambda _loop, _context: None)
        asyncio.set_event_loop(loop)
        features = set(monitor.GetDeploymentInfo(None).supportedFeatures)
        # As mocks.set_mocks does, but without its root stack: run_in_stack below makes one.
        pulumi.runtime.configure(
            mocks.MockSettings(
                monitor=monitor,
                monitor_features=features,
                engine=mocks.MockEngine(None),
                project="saas-in-eks",
                stack=stack_name,
                dry_run=preview,
                organization="acme",
                callbacks=None,
            )
        )
        encrypted = {f"saas-in-eks:{key}": value for key, value in (secrets or {}).items()}
        values = {f"saas-in-eks:{key}": _text(value) for key, value in (defaults() | (config or {})).items()}
        pulumi_config.set_all_config(values | encrypted, [*encrypted])

        try:
            loop.run_until_complete(stack.run_in_stack(program))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    for error in found:
        if isinstance(error, pulumi.RunError):
            raise ProgramError(str(error)) from error
        raise error
    return Recording(monitor.registrations, monitor.outputs)


TAGS = {"Project": "saas", "Stack": "prod-eu"}


def aws_context(*, prefix: str = "saas-prod-eu", protected: bool = True) -> AwsContext:
    """An AwsContext for tests of single components; call it in a running program."""
    return AwsContext(
        provider=aws.Provider("aws", region="eu-west-1"),
        region="eu-west-1",
        account="123456789012",
        prefix=prefix,
        tags=TAGS,
        protected=protected,
    )


@functools.cache
def defaults() -> dict[str, Any]:
    """The configuration's defaults, from Pulumi.yaml as the engine takes them."""
    declared = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())["config"]
    return {key: entry["default"] for key, entry in declared.items() if "default" in entry}


def project(folder: Path, tenants: str, manifest: str, kubeconfig: str) -> Path:
    """A copy of the project's own files with other data."""
    for name in ("__main__.py", "Pulumi.yaml"):
        shutil.copy(CHECKOUT / name, folder / name)
    (folder / "tenants.yaml").write_text(tenants)
    (folder / "install.yaml").write_text(manifest)
    (folder / "kubeconfig").write_text(kubeconfig)
    return folder


def _without_references(struct: Any) -> None:
    """Make plain objects of the references to resources."""
    for value in list(struct.fields.values()):
        if value.HasField("struct_value"):
            inner = value.struct_value
            if rpc._special_sig_key in inner and inner[rpc._special_sig_key] == rpc._special_resource_sig:
                del inner.fields[rpc._special_sig_key]
            _without_references(inner)


def _decoded(value: Any) -> Any:
    """A value of a request as the program gave it, without secret marks."""
    if value == rpc.UNKNOWN:
        return pulumi.output.Unknown()
    if isinstance(value, struct_pb2.ListValue):
        return [_decoded(inner) for inner in value]
    if not isinstance(value, struct_pb2.Struct):
        return value
    if rpc._is_rpc_struct_secret(value):
        return _decoded(value["value"])
    if rpc._special_sig_key in value:
        return rpc.deserialize_property(value)
    decoded = {key: _decoded(inner) for key, inner in value.items()}
    return {key: inner for key, inner in decoded.items() if inner is not None}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
