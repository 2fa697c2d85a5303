"""Base of the stand-in providers: input checks, diffs, previews and Pulumi's gRPC.

A resource type lists its properties; from them follow which inputs are refused, whether a change updates or replaces,
and which outputs a preview does not know. It works as Pulumi's bridge to Terraform providers does, which the official
plugins are built on: the last known state is compared with the new inputs, and an absent input equals its type's empty
value, unless the service computes it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from standins import protocol
from standins.codec import UNKNOWN, Secret, from_struct, has_unknown, mark_secrets, plain, to_struct

THREADS = 16
Values = dict[str, Any]


class RefusedError(Exception):
    """A refused operation; the message is for the person who runs Pulumi and includes the remedy."""


class InitFailedError(Exception):
    """The resource was created, but not completely. Pulumi keeps `state` and tries an update next time."""

    def __init__(self, identifier: str, state: Values, reason: str) -> None:
        super().__init__(reason)
        self.identifier = identifier
        self.state = state


@dataclass(frozen=True)
class Property:
    """An input. `type` is str, bool, int, float, list or dict.

    `of` is the type of a list's or dict's members: a plain type, or objects with these properties (a dict `of`
    properties is one such object). `unordered`: a list whose order has no meaning. `default` is used if the program has
    no value. `computed`: the service decides about an absent input, so that is no change. `replaces`: another value
    needs another resource. `ignored`: accepted, never compared. `unsupported`: the official provider has it, the
    stand-in refuses it.
    """

    type: type = str
    required: bool = False
    default: Any = None
    choices: tuple[Any, ...] = ()
    of: type | Mapping[str, Property] | None = None
    unordered: bool = False
    computed: bool = False
    replaces: bool = False
    ignored: bool = False
    unsupported: bool = False

    def failures(self, name: str, value: Any) -> Iterator[tuple[str, str]]:
        """The refused values, each with the reason; unknown values are accepted."""
        if self.unsupported:
            yield name, f"the stand-in has no mapping for {name}: leave it out, or use the official plugin"
        elif value is UNKNOWN:
            return
        elif not _is_a(value, self.type):
            yield name, f"expected {name} to be of type {self.type.__name__}, got {value!r}"
        elif self.choices and value not in self.choices:
            yield name, f"expected {name} to be one of {list(self.choices)}, got {value}"
        elif self.type is list:
            for index, item in enumerate(value):
                yield from self._member_failures(f"{name}[{index}]", item)
        elif isinstance(self.of, Mapping):
            yield from self._member_failures(name, value)
        elif self.type is dict:
            for key, item in value.items():
                yield from self._member_failures(f"{name}.{key}", item)

    def _member_failures(self, name: str, value: Any) -> Iterator[tuple[str, str]]:
        if value is UNKNOWN or self.of is None:
            return
        if not isinstance(self.of, Mapping):
            yield from Property(self.of).failures(name, value)
        elif not isinstance(value, dict):
            yield name, f"expected {name} to be an object, got {value!r}"
        else:
            yield from _object_failures(self.of, value, f"{name}.", name)

    def completed(self, value: Any) -> Any:
        """The value with the defaults of the properties in it."""
        if not isinstance(self.of, Mapping):
            return value
        if isinstance(value, list):
            return [_with_defaults(self.of, item) for item in value]
        return _with_defaults(self.of, value)

    def differs(self, old: Any, new: Any) -> bool:
        """Whether the new value differs, or may differ because it is unknown."""
        if self.ignored or (self.computed and new is None):
            return False
        old, new = _empty(self, old), _empty(self, new)
        if has_unknown(new):
            return True
        if self.type is list:
            if len(old) != len(new):
                return True
            return self._other_items(old, new) if self.unordered else any(map(self._other, old, new))
        return self._other(old, new)

    def planned(self, value: Any, state: Any) -> Any:
        """The input as it will be in the state: inside objects, computed values are as before, or unknown."""
        if not isinstance(self.of, Mapping) or not isinstance(value, dict):
            return value
        known = state if isinstance(state, dict) else {}
        computed = {name: UNKNOWN for name, declared in self.of.items() if declared.computed}
        computed |= {name: known[name] for name in computed if name in known}
        return computed | {
            name: self.of[name].planned(item, known.get(name)) if name in self.of else item
            for name, item in value.items()
        }

    def _other(self, old: Any, new: Any) -> bool:
        """Whether two members differ; of a dict `of` properties, the dict is the member."""
        if isinstance(self.of, Mapping) and isinstance(old, dict) and isinstance(new, dict):
            return any(declared.differs(old.get(name), new.get(name)) for name, declared in self.of.items())
        return old != new

    def _other_items(self, old: list[Any], new: list[Any]) -> bool:
        rest = list(old)
        for item in new:
            index = next((at for at, candidate in enumerate(rest) if not self._other(candidate, item)), None)
            if index is None:
                return True
            del rest[index]
        return False


def _is_a(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _object_failures(
    properties: Mapping[str, Property], values: Values, prefix: str, where: str
) -> Iterator[tuple[str, str]]:
    """The refused properties of an object: wrong values, unknown properties, and missing required ones."""
    for name, value in values.items():
        if name in properties:
            yield from properties[name].failures(f"{prefix}{name}", value)
        else:
            known = ", ".join(name for name, declared in properties.items() if not declared.unsupported)
            yield f"{prefix}{name}", f"the stand-in has no mapping for property {name}; {where} has {known}"
    for name, declared in properties.items():
        if declared.required and values.get(name) is None:
            yield f"{prefix}{name}", f"missing required property {name}"


def refused_arguments(arguments: Mapping[str, Property], values: Values) -> Iterator[tuple[str, str]]:
    """The refused arguments of a function, each with the reason."""
    return _object_failures(arguments, values, "", "the function")


def _with_defaults(properties: Mapping[str, Property], values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    complete = {name: declared.default for name, declared in properties.items() if declared.default is not None}
    return complete | {
        name: properties[name].completed(value) if name in properties else value for name, value in values.items()
    }


class Kind:
    """A resource type. Values have no secret marks, and are known unless a method says otherwise."""

    token: ClassVar[str]
    properties: ClassVar[dict[str, Property]]
    outputs: ClassVar[Collection[str]] = ()
    """Outputs that only the service knows."""
    secret_outputs: ClassVar[tuple[str, ...]] = ()
    delete_before_replace: ClassVar[bool] = False
    autonamed: ClassVar[str] = "name"
    """The property that gets a generated value, which later updates keep."""

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        """Complete the inputs in place and yield (property, reason) for further faults. Values may be UNKNOWN."""
        return ()

    def same(self, name: str, old: Any, new: Any) -> bool:
        """Whether two different values of a property mean the same."""
        return False

    def replaces(self, name: str, state: Values, inputs: Values) -> bool:
        """Whether a changed property replaces the resource. Values may be UNKNOWN."""
        return self.properties[name].replaces

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        """Outputs that an update of these properties may change."""
        return ()

    def create(self, inputs: Values) -> tuple[str, Values]:
        """Create the resource. Returns its id and state."""
        raise NotImplementedError

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        """The current id and state; None if the resource does not exist. An empty `state` means an import."""
        raise NotImplementedError

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        """Update the resource. Returns its new state."""
        raise NotImplementedError

    def delete(self, identifier: str, state: Values) -> None:
        """Delete the resource."""
        raise NotImplementedError


Function = Callable[[Values], Values]


@dataclass
class StandIn:
    """A provider: the package it replaces, its resource types and functions, and its configuration."""

    package: str
    version: str
    note: str
    kinds: dict[str, Kind] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    configure: Callable[[Values], None] = lambda values: None
    check_config: Callable[[Values], Iterable[tuple[str, str]]] = lambda values: ()

    def kind(self, urn: str) -> Kind:
        """The resource type in a URN. Raises RefusedError for a type without mapping."""
        token = urn.split("::")[2].rpartition("$")[2]
        if token not in self.kinds:
            raise RefusedError(
                f"the {self.package} stand-in has no mapping for {token}; it has {', '.join(self.kinds)}"
            )
        return self.kinds[token]


def _rpc(method: Callable[..., Any]) -> Callable[..., Any]:
    """A RefusedError becomes an error with its text; any other exception keeps its trace."""

    @functools.wraps(method)
    def wrapped(self: Servicer, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except RefusedError as refused:
            context.abort(grpc.StatusCode.UNKNOWN, str(refused))

    return wrapped


def _empty(declared: Property, value: Any) -> Any:
    """The value; for an absent value, the type's empty value."""
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
        marked = _without_null(from_struct(request.news))
        given, old = plain(marked), plain(from_struct(request.olds))
        inputs = _with_defaults(kind.properties, given)
        if kind.autonamed in kind.properties and kind.autonamed not in inputs and kind.autonamed in old:
            inputs[kind.autonamed] = old[kind.autonamed]
        own = list(kind.check(request.urn.rpartition("::")[2], inputs, request.randomSeed))
        failures = [*_object_failures(kind.properties, inputs, "", kind.token), *own]
        return provider_pb2.CheckResponse(
            inputs=to_struct({name: mark_secrets(value, marked.get(name)) for name, value in inputs.items()}),
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
            planned = {**dict.fromkeys((*kind.outputs, *computed), UNKNOWN), **_planned(kind, inputs, {})}
            return provider_pb2.CreateResponse(properties=self._outputs(kind, planned, marked))
        try:
            identifier, state = kind.create(inputs)
        except InitFailedError as part:
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
            planned = {**state, **dict.fromkeys(moved, UNKNOWN), **_planned(kind, inputs, state)}
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
            # Imported: all that differs from the defaults. Refreshed: the present values of the program's inputs.
            wanted = name in old_inputs if old_inputs else not declared.ignored and value != _empty(declared, None)
            if wanted and value is not None:
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
        if name in ignored or not declared.differs(state.get(name), inputs.get(name)):
            continue
        old, new = _empty(declared, state.get(name)), _empty(declared, inputs.get(name))
        if has_unknown(new) or not kind.same(name, old, new):
            changed.append(name)
    return changed


def _planned(kind: Kind, inputs: Values, state: Values) -> Values:
    return {name: kind.properties[name].planned(value, state.get(name)) for name, value in inputs.items()}


def _without_null(item: Any) -> Any:
    """The value without nulls, which equal absent values."""
    if isinstance(item, Secret):
        return Secret(_without_null(item.value))
    if isinstance(item, dict):
        return {key: _without_null(value) for key, value in item.items() if plain(value) is not None}
    if isinstance(item, list):
        return [_without_null(value) for value in item]
    return item


def serve(stand_in: StandIn) -> None:
    """Serve as a plugin whose first argument, if any, is the engine's address; return when the engine is done."""
    servicer = Servicer(stand_in, protocol.Engine(protocol.engine_address(sys.argv[1:])))
    protocol.serve(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server),
        threads=THREADS,
        on_stop=lambda: None,
    )
