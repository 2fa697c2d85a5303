"""What stand-in providers with a fixed set of resource types have in common: checks, diffs, previews and Pulumi's gRPC.

A type lists its properties; from them follow which inputs are refused, what a change does, and what a preview can't
know. It works as Pulumi's bridge to Terraform providers does, since that is what the official plugins are: the last
known state is compared with the new inputs, and an input that is absent is as good as its type's empty value, unless
the service computes it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from local.plugins import protocol
from local.plugins.kubernetes.values import UNKNOWN, Secret, from_struct, has_unknown, plain, to_struct

THREADS = 16
Values = dict[str, Any]


class RefusedError(Exception):
    """The operation can't be done; the text is for the person who runs Pulumi and says what to do."""


class PartlyDoneError(Exception):
    """The resource exists, but not all of it could be set. Pulumi keeps `state` and tries an update next time."""

    def __init__(self, identifier: str, state: Values, reason: str) -> None:
        super().__init__(reason)
        self.identifier = identifier
        self.state = state


@dataclass(frozen=True)
class Property:
    """An input. `type` is str, bool, int or list.

    `default` is put in where the program says nothing. `computed`: without an input the service decides, so an absent
    input is no change. `replaces`: another value needs another resource. `ignored`: taken, never compared.
    `unsupported`: the official provider has it, the stand-in does not.
    """

    type: type = str
    required: bool = False
    default: Any = None
    choices: tuple[Any, ...] = ()
    computed: bool = False
    replaces: bool = False
    ignored: bool = False
    unsupported: bool = False

    def failure(self, name: str, value: Any) -> str | None:
        """Why a known value is refused."""
        if self.unsupported:
            return f"the stand-in has no mapping for {name}: leave it out, or use the official plugin"
        good = isinstance(value, self.type) and not (self.type is int and isinstance(value, bool))
        if not good:
            return f"expected {name} to be of type {self.type.__name__}, got {value!r}"
        if self.choices and value not in self.choices:
            return f"expected {name} to be one of {list(self.choices)}, got {value}"
        return None


class Kind:
    """A resource type. Values are plain: no secret marks; unknown ones only where it says so."""

    token: ClassVar[str]
    properties: ClassVar[dict[str, Property]]
    outputs: ClassVar[tuple[str, ...]] = ()
    """What only the service can tell."""
    secret_outputs: ClassVar[tuple[str, ...]] = ()
    delete_before_replace: ClassVar[bool] = False

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        """Complete the inputs in place and yield (property, reason) for what else is wrong. May meet UNKNOWN."""
        return ()

    def same(self, name: str, old: Any, new: Any) -> bool:
        """Whether two different values of a property mean the same."""
        return False

    def replaces(self, name: str, state: Values, inputs: Values) -> bool:
        """Whether a changed property needs another resource. May meet UNKNOWN."""
        return self.properties[name].replaces

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        """Outputs that an update of these properties may change."""
        return ()

    def create(self, inputs: Values) -> tuple[str, Values]:
        """Make it; its id and state."""
        raise NotImplementedError

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        """Its id and state as it is now; None if it is gone. Without a state it is imported."""
        raise NotImplementedError

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        """Change it; its new state."""
        raise NotImplementedError

    def delete(self, identifier: str, state: Values) -> None:
        """Delete it."""
        raise NotImplementedError


Function = Callable[[Values], Values]


@dataclass
class StandIn:
    """A provider: what it stands in for, its resource types and functions, and how it takes its configuration."""

    package: str
    version: str
    note: str
    kinds: dict[str, Kind] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    configure: Callable[[Values], None] = lambda values: None
    check_config: Callable[[Values], Iterable[tuple[str, str]]] = lambda values: ()

    def kind(self, urn: str) -> Kind:
        """The type of the resource that a URN names. Raises RefusedError for one without mapping."""
        token = urn.split("::")[2].rpartition("$")[2]
        if token not in self.kinds:
            raise RefusedError(
                f"the {self.package} stand-in has no mapping for {token}; it has {', '.join(self.kinds)}"
            )
        return self.kinds[token]


def _rpc(method: Callable[..., Any]) -> Callable[..., Any]:
    """What a person can do something about becomes an error with that text; anything else keeps its trace."""

    @functools.wraps(method)
    def wrapped(self: Servicer, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except RefusedError as refused:
            context.abort(grpc.StatusCode.UNKNOWN, str(refused))

    return wrapped


def _empty(declared: Property, value: Any) -> Any:
    """The value, with an absent one as its type's empty value."""
    return declared.type() if value is None else value


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Pulumi's requests, answered by a StandIn."""

    def __init__(self, stand_in: StandIn, engine: protocol.Engine) -> None:
        self._stand_in = stand_in
        self._engine = engine

    def Handshake(self, request, context):  # noqa: N802
        if request.engine_address:
            self._engine.connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request, context):  # noqa: N802
        self._engine.connect(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request, context):  # noqa: N802
        return plugin_pb2.PluginInfo(version=self._stand_in.version)

    def GetSchema(self, request, context):  # noqa: N802
        return provider_pb2.GetSchemaResponse(
            schema=f'{{"name": "{self._stand_in.package}", "version": "{self._stand_in.version}"}}'
        )

    def CheckConfig(self, request, context):  # noqa: N802
        failures = [
            provider_pb2.CheckFailure(property=name, reason=reason)
            for name, reason in self._stand_in.check_config(plain(from_struct(request.news)))
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request, context):  # noqa: N802
        old = plain(from_struct(request.old_inputs if request.HasField("old_inputs") else request.olds))
        new = plain(from_struct(request.news))
        changed = sorted(name for name in {*old, *new} - {"version"} if old.get(name) != new.get(name))
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, diffs=changed)

    @_rpc
    def Configure(self, request, context):  # noqa: N802
        self._stand_in.configure(plain(from_struct(request.args)))
        stand_in = self._stand_in
        text = (
            f"{stand_in.package}: stand-in for pulumi-resource-{stand_in.package} {stand_in.version}, {stand_in.note}"
        )
        self._engine.log("info", text + "\n")
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @_rpc
    def Invoke(self, request, context):  # noqa: N802
        if request.tok not in self._stand_in.functions:
            known = ", ".join(self._stand_in.functions) or "none"
            raise RefusedError(
                f"the {self._stand_in.package} stand-in has no mapping for {request.tok}; it has {known}"
            )
        result = self._stand_in.functions[request.tok](plain(from_struct(request.args)))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(to_struct(result))  # a keyword in Python
        return response

    @_rpc
    def Check(self, request, context):  # noqa: N802
        kind = self._stand_in.kind(request.urn)
        marked = {name: value for name, value in from_struct(request.news).items() if plain(value) is not None}
        inputs, old = plain(marked), plain(from_struct(request.olds))
        failures: list[tuple[str, str]] = []
        for name, value in inputs.items():
            if name not in kind.properties:
                failures.append((name, f"unknown property; {kind.token} has {', '.join(kind.properties)}"))
            elif not has_unknown(value) and (reason := kind.properties[name].failure(name, value)):
                failures.append((name, reason))
        for name, declared in kind.properties.items():
            if declared.default is not None:
                inputs.setdefault(name, declared.default)
        if "name" in kind.properties and "name" not in inputs and "name" in old:
            inputs["name"] = old["name"]  # the name that was chosen at first stays
        failures += kind.check(request.urn.rpartition("::")[2], inputs, request.randomSeed)
        for name, declared in kind.properties.items():
            if declared.required and inputs.get(name) is None:
                failures.append((name, f"missing required property {name}"))
        return provider_pb2.CheckResponse(
            inputs=to_struct({name: marked.get(name, value) for name, value in inputs.items()}),
            failures=[provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in failures],
        )

    @_rpc
    def Diff(self, request, context):  # noqa: N802
        kind = self._stand_in.kind(request.urn)
        state, inputs = plain(from_struct(request.olds)), plain(from_struct(request.news))
        changed = _changed(kind, state, inputs, set(request.ignoreChanges))
        replaces = [name for name in changed if kind.replaces(name, state, inputs)]
        detail = provider_pb2.PropertyDiff
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some,
            diffs=changed,
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and kind.delete_before_replace,
            hasDetailedDiff=True,
            detailedDiff={
                name: detail(kind=detail.UPDATE_REPLACE if name in replaces else detail.UPDATE) for name in changed
            },
        )

    @_rpc
    def Create(self, request, context):  # noqa: N802
        kind, marked = self._stand_in.kind(request.urn), from_struct(request.properties)
        inputs = plain(marked)
        if request.preview:
            computed = [name for name, declared in kind.properties.items() if declared.computed]
            planned = {**dict.fromkeys((*kind.outputs, *computed), UNKNOWN), **inputs}
            return provider_pb2.CreateResponse(properties=self._outputs(kind, planned, marked))
        try:
            identifier, state = kind.create(inputs)
        except PartlyDoneError as part:
            details = provider_pb2.ErrorResourceInitFailed(
                id=part.identifier,
                properties=self._outputs(kind, part.state, marked),
                reasons=[str(part)],
                inputs=request.properties,
            )
            protocol.fail_with_details(context, str(part), details)
            raise
        return provider_pb2.CreateResponse(id=identifier, properties=self._outputs(kind, state, marked))

    @_rpc
    def Update(self, request, context):  # noqa: N802
        kind, marked = self._stand_in.kind(request.urn), from_struct(request.news)
        old = from_struct(request.olds)
        state, inputs = plain(old), plain(marked)
        if request.preview:
            moved = set(kind.changes_outputs(set(_changed(kind, state, inputs, set()))))
            planned = {**state, **dict.fromkeys(moved, UNKNOWN), **inputs}
            return provider_pb2.UpdateResponse(properties=self._outputs(kind, planned, marked))
        return provider_pb2.UpdateResponse(
            properties=self._outputs(kind, kind.update(request.id, state, inputs), marked)
        )

    @_rpc
    def Read(self, request, context):  # noqa: N802
        kind, marked = self._stand_in.kind(request.urn), from_struct(request.properties)
        found = kind.read(request.id, plain(marked))
        if found is None:
            return provider_pb2.ReadResponse()
        identifier, state = found
        old_inputs = from_struct(request.inputs)
        inputs: Values = {}
        for name, declared in kind.properties.items():
            value = state.get(name)
            # Imported: what a program would have to say. Refreshed: what it says, as it is now.
            told = name in old_inputs if old_inputs else not declared.ignored and value != _empty(declared, None)
            if told and value is not None:
                inputs[name] = Secret(value) if isinstance(old_inputs.get(name), Secret) else value
        return provider_pb2.ReadResponse(
            id=identifier, properties=self._outputs(kind, state, marked), inputs=to_struct(inputs)
        )

    @_rpc
    def Delete(self, request, context):  # noqa: N802
        self._stand_in.kind(request.urn).delete(request.id, plain(from_struct(request.properties)))
        return empty_pb2.Empty()

    def Cancel(self, request, context):  # noqa: N802
        return empty_pb2.Empty()

    def _outputs(self, kind: Kind, state: Values, marked: Values) -> Any:
        """The state on the wire: secret where the type says so, or where the input was."""
        secret = set(kind.secret_outputs) | {name for name, value in marked.items() if plain(value) != value}
        return to_struct(
            {name: Secret(value) if name in secret else value for name, value in state.items() if value is not None}
        )


def _changed(kind: Kind, state: Values, inputs: Values, ignored: set[str]) -> list[str]:
    changed = []
    for name, declared in kind.properties.items():
        if declared.ignored or name in ignored or (declared.computed and name not in inputs):
            continue
        old, new = _empty(declared, state.get(name)), _empty(declared, inputs.get(name))
        if has_unknown(new) or (old != new and not kind.same(name, old, new)):
            changed.append(name)
    return changed


def serve(stand_in: StandIn) -> None:
    """Serve as a plugin whose first argument, if any, is the engine's address; return when the engine is done."""
    addresses = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    servicer = Servicer(stand_in, protocol.Engine(addresses[0] if addresses else None))
    protocol.serve(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server),
        threads=THREADS,
        on_stop=lambda: None,
    )
