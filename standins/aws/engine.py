"""Engine of the AWS stand-in: reads the description of a resource type, and calls the API by it.

A description is a class with tables: properties and outputs with their names in the API, and the calls that create,
read, update and delete. The exceptions are methods: `require` and `refuse_delete` raise the errors
that AWS has and the emulator lacks; `find`, `describe` and `change` can be extended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from standins.aws.policies import invalid_json, kept_text, same_document
from standins.aws.session import AwsError, Session
from standins.codec import has_unknown
from standins.provider import UNKNOWN, InitFailedError, Kind, Property, RefusedError, Values, refused_arguments

MAX_TAGS = 50


@dataclass(frozen=True)
class Field(Property):
    """A property and where the API has it.

    `api` is its name in requests; empty: as here, in the service's spelling; None: the API does not know it, so its
    value stays as the program wrote it. `at` is its path in descriptions if that is another one. `single`: the SDK has
    a list where the API has one object, or the other way round. `document`: a JSON policy, compared by its meaning.
    """

    api: str | None = ""
    at: str = ""
    single: bool = False
    document: bool = False


REGION = {"region": Field(computed=True, ignored=True, unsupported=True, api=None)}
"""An input of most types of pulumi-aws 7: everything here is in the provider's region."""

TAGS = {"tags": Field(dict, of=str, api=None), "tagsAll": Field(dict, of=str, api=None)}
"""`tagsAll` is computed from `tags` and the provider's default tags, so a changed default is an update."""


@dataclass(frozen=True)
class Call:
    """An operation of the API.

    `parameters` are values, or "{property}" and "{id}" for the resource's own; of a call that reads, they take the
    place of the resource's `key`. `answer` is a path in the answer: to the id of something created, to the description
    of something read. An update is called when one of the properties `when` changes (always, if there are none), and
    sends these; if the first of them has no value any more, `otherwise` is called in its place.
    """

    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    answer: str = ""
    when: tuple[str, ...] = ()
    otherwise: str = ""


@dataclass(frozen=True)
class Tagging:
    """How a service changes tags: two operations, and how it writes tags, `pairs` being names of a tag's two parts."""

    tag: str = "tag_resource"
    untag: str = "untag_resource"
    by: Mapping[str, str] = field(default_factory=dict)
    tags: str = "Tags"
    keys: str = "TagKeys"
    pairs: tuple[str, str] | None = ("Key", "Value")
    listed: str = ""
    """The operation that lists them, where a description has none."""

    def written(self, tags: Mapping[str, str]) -> Any:
        if self.pairs is None:
            return dict(tags)
        key, value = self.pairs
        return [{key: name, value: text} for name, text in tags.items()]

    def parsed(self, tags: Any) -> dict[str, str]:
        if self.pairs is None:
            return dict(tags or {})
        key, value = self.pairs
        return {tag[key]: tag.get(value, "") for tag in tags or ()}


class AwsKind(Kind):
    """A resource type on AWS, described by the class attributes of its subclass."""

    service: ClassVar[str]
    capitals: ClassVar[bool] = True
    """Whether the service's names begin with capital letters."""
    identity: ClassVar[str] = "{id}"
    """The form of the id, made of properties; by default the id in the answer of `creates`."""
    imported: ClassVar[str] = ""
    """The form of the id of an import, if it differs from `identity`."""
    key: ClassVar[Mapping[str, Any]]
    """The parameters that name the resource in all calls except `creates`."""
    missing: ClassVar[Collection[str]] = ()
    """Error codes for a resource that does not exist."""
    creates: ClassVar[Call]
    reads: ClassVar[Call]
    updates: ClassVar[tuple[Call, ...]] = ()
    deletes: ClassVar[Call]
    born: ClassVar[Mapping[str, Any]] = {}
    """Properties that `creates` can't set, with AWS' values of them: `updates` follow right after it."""
    outputs: ClassVar[Mapping[str, str]] = {}  # pyright: ignore[reportIncompatibleVariableOverride] - keys
    """Output -> its path in descriptions; empty: as here, in the service's spelling."""
    moving: ClassVar[Mapping[str, Collection[str]]] = {}
    """Output -> the properties whose update changes it (any, if there are none)."""
    tagging: ClassVar[Tagging] = Tagging()
    longest_name: ClassVar[int] = 0
    """Characters of a generated name; 0: no name is generated."""
    name_prefix: ClassVar[str] = ""

    def __init__(self, aws: Session) -> None:
        self.aws = aws

    # Inputs

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        if self.longest_name and inputs.get(self.autonamed) is None:
            end = f"-{seed.hex()[:7]}"
            inputs[self.autonamed] = f"{self.name_prefix}{name}"[: self.longest_name - len(end)] + end
        if "tagsAll" in self.properties:
            yield from self._check_tags(inputs)
        for key, declared in self.properties.items():
            if isinstance(declared, Field) and declared.document and (reason := invalid_json(inputs.get(key))):
                yield key, reason

    def _check_tags(self, inputs: Values) -> Iterable[tuple[str, str]]:
        tags = inputs.get("tags", {})
        if has_unknown(tags):
            inputs["tagsAll"] = UNKNOWN
            return
        written = tags.items() if isinstance(tags, dict) else ()
        inputs["tagsAll"] = {**self.aws.default_tags, **{key: tag for key, tag in written if isinstance(tag, str)}}
        for key in inputs["tagsAll"]:
            if key.lower().startswith("aws:"):
                yield "tags", f"{key}: tags that begin with aws: are reserved by AWS; choose another key"
        if len(inputs["tagsAll"]) > MAX_TAGS:
            yield "tags", f"{len(inputs['tagsAll'])} tags, of which AWS takes {MAX_TAGS} at most"

    def same(self, name: str, old: Any, new: Any) -> bool:
        declared = self.properties[name]
        return isinstance(declared, Field) and declared.document and same_document(old, new)

    def changed(self, state: Values, inputs: Values, *names: str) -> bool:
        """Whether an update changes one of these properties."""
        return any(
            self.properties[name].differs(state.get(name), inputs.get(name))
            and not self.same(name, state.get(name), inputs.get(name))
            for name in names
        )

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        return [output for output, causes in self.moving.items() if not causes or changed & set(causes)]

    # The API

    def call(self, method: str, /, **parameters: Any) -> Values:
        return self.aws.call(self.service, method, **parameters)

    def refusal(self, operation: str, code: str, message: str) -> AwsError:
        """An error as the service answers it."""
        return AwsError(f"{self.service}.{operation}", code, message)

    def argument(self, name: str) -> str:
        """A property's name in requests."""
        declared = self.properties[name]
        return (isinstance(declared, Field) and declared.api) or self.spelled(name)

    def spelled(self, name: str) -> str:
        return name[0].upper() + name[1:] if self.capitals else name

    def arguments(self, values: Values, names: Iterable[str]) -> Values:
        """Properties as parameters of a call."""
        return {self.argument(name): self.to_api(self.properties[name], values.get(name)) for name in names}

    def to_api(self, declared: Property, value: Any) -> Any:
        """A value as the API has it: objects with its names."""
        if not isinstance(declared.of, Mapping) or value is None:
            return value
        if isinstance(value, list):
            items = [self._object_to_api(declared.of, item) for item in value]
            return items if not _is_single(declared) else next(iter(items), None)
        made = self._object_to_api(declared.of, value)
        return [made] if _is_single(declared) else made

    def _object_to_api(self, of: Mapping[str, Property], item: Values) -> Values:
        return {_api(of[key]) or self.spelled(key): self.to_api(of[key], value) for key, value in item.items()}

    def from_api(self, declared: Property, value: Any) -> Any:
        """The inverse; without fields that are no properties."""
        if isinstance(value, datetime):
            return value.strftime("%Y-%m-%dT%H:%M:%SZ")
        if isinstance(declared.of, Mapping) and value is not None:
            of = declared.of
            if _is_single(declared):
                value = [value] if declared.type is list else next(iter(value), None)
            if isinstance(value, list):
                return [self._object_from_api(of, item) for item in value]
            return self._object_from_api(of, value) if value else None
        return [] if value is None and declared.type is list else value

    def _object_from_api(self, of: Mapping[str, Property], item: Values) -> Values:
        found = {
            key: self.from_api(declared, value_at(item, _at(declared) or self.spelled(key)))
            for key, declared in of.items()
        }
        return {key: value for key, value in found.items() if value is not None}

    def scope(self, identifier: str, values: Values) -> Values:
        """The values that calls name the resource by: its properties, or the parts of the id of an import."""
        pattern = self.identity if values else self.imported or self.identity
        parts = _parse(pattern, identifier)
        if parts is None and not values:
            raise RefusedError(f"{identifier!r} can't be imported: write an id of the form {pattern}")
        return {"id": identifier, **values, **(parts or {})}

    # Operations

    def require(self, operation: str, inputs: Values) -> None:
        """Raise the errors that AWS has and the emulator lacks. `operation` is the API's: CreateVpc."""

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        """Raise an error if AWS would not delete it yet; or delete its parts first."""

    def settle(self, scope: Values) -> None:
        """Wait until a change is done, where the service takes its time."""

    def creation(self, inputs: Values) -> Values:
        """The parameters of the call that creates."""
        names = [
            name
            for name, declared in self.properties.items()
            if _api(declared) is not None and not declared.unsupported and name not in self.born
        ]
        return self.arguments(inputs, names) | fill(self.creates.parameters, inputs) | self.initial_tags(inputs)

    def initial_tags(self, inputs: Values) -> Values:
        tags = inputs.get("tagsAll")
        return {self.tagging.tags: self.tagging.written(tags)} if tags else {}

    def create(self, inputs: Values) -> tuple[str, Values]:
        self.require(self._name_of(self.creates), inputs)
        answer = self.call(self.creates.operation, **self.creation(inputs))
        path = self.creates.answer
        made = value_at(answer, path) if path else self.identity.format(**{"id": "new"} | inputs)
        scope = self.scope(made, inputs)
        try:
            self.settle(scope)
            self.apply(scope, {**inputs, **self.born}, inputs, creating=True)
        except RefusedError as error:
            if (found := self.read(scope["id"], inputs)) is None:
                raise
            raise InitFailedError(*found, str(error)) from error
        return self.made(scope["id"], inputs)

    def _name_of(self, call: Call) -> str:
        return "".join(part.title() for part in call.operation.split("_"))

    def made(self, identifier: str, state: Values) -> tuple[str, Values]:
        """As `read`, of what has just been created or changed. `state` has the values that the API lacks."""
        found = self.read(identifier, state)
        if found is None:
            raise RefusedError(f"{identifier} was deleted right after it was created or changed: run `pulumi refresh`")
        return found

    def find(self, scope: Values) -> Values | None:
        """The service's description; None of something that does not exist."""
        parameters = fill(self.reads.parameters or self.key, scope)
        answer = self.aws.find(self.service, self.reads.operation, self.missing, **parameters)
        return value_at(answer, self.reads.answer)

    def describe(self, scope: Values, found: Values) -> Values:
        """The state, by the service's description and the values that only the state has."""
        state: Values = {}
        for name, declared in self.properties.items():
            if _api(declared) is None:
                state[name] = scope.get(name, declared.default)
                continue
            value = self.from_api(declared, value_at(found, _at(declared) or self.spelled(name)))
            is_document = isinstance(declared, Field) and declared.document
            state[name] = kept_text(value, scope.get(name)) if is_document and value is not None else value
        state |= {
            name: self.from_api(Property(), value_at(found, at or self.spelled(name)))
            for name, at in self.outputs.items()
        }
        if "region" in self.properties:
            state["region"] = self.aws.region
        return state

    def tags_of(self, scope: Values, found: Values) -> Values:
        """`tags` and `tagsAll` by what AWS has: the provider's own are among `tags` only if the program has them."""
        if "tagsAll" not in self.properties:
            return {}
        tagging = self.tagging
        if tagging.listed:
            where = fill(tagging.by or self.key, scope)
            written = self.aws.list(self.service, tagging.listed, tagging.tags, **where)
        else:
            written = found.get(tagging.tags)
        everything = {key: value for key, value in self.tagging.parsed(written).items() if not key.startswith("aws:")}
        known, default = scope.get("tags") or {}, self.aws.default_tags
        own = {key: value for key, value in everything.items() if key in known or default.get(key) != value}
        return {"tags": own, "tagsAll": everything}

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        scope = self.scope(identifier, state)
        found = self.find(scope)
        if found is None:
            return None
        state = self.describe(scope, found)
        return scope["id"], {**state, **self.tags_of({**scope, **state, "tags": scope.get("tags")}, found)}

    def apply(self, scope: Values, state: Values, inputs: Values, *, creating: bool = False) -> None:
        """Make the calls of `updates` that the change needs."""
        for call in self.updates:
            if self.changed(state, inputs, *call.when) or not (call.when or creating):
                self.change(call, scope, inputs)
                self.settle(scope)

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        names = call.when or self.updatable()
        if call.otherwise and not inputs.get(call.when[0]):
            self.call(call.otherwise, **fill(self.key, scope))
        else:
            sent = self.arguments(inputs, names)
            self.call(call.operation, **{**fill(self.key, scope), **fill(call.parameters, scope | inputs), **sent})

    def updatable(self) -> list[str]:
        """The properties in a request that names everything."""
        return [
            name
            for name, declared in self.properties.items()
            if _api(declared) is not None and not (declared.replaces or declared.unsupported)
        ]

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        scope = self.scope(identifier, state)
        for call in self.updates:
            if not call.when or self.changed(state, inputs, *call.when):
                self.require(self._name_of(call), inputs)
        self.apply(scope, state, inputs)
        if "tagsAll" in self.properties:
            self.retag(scope, state["tagsAll"], inputs["tagsAll"])
        return self.made(identifier, inputs)[1]

    def retag(self, scope: Values, actual: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Change the tags to the wanted ones."""
        tagging = self.tagging
        where = fill(tagging.by or self.key, scope)
        if gone := [key for key in actual if key not in wanted and not key.startswith("aws:")]:
            self.call(tagging.untag, **where, **{tagging.keys: gone})
        if new := {key: value for key, value in wanted.items() if actual.get(key) != value}:
            self.call(tagging.tag, **where, **{self._tags_parameter: tagging.written(new)})

    @property
    def _tags_parameter(self) -> str:
        return "Tags" if self.capitals else "tags"

    def delete(self, identifier: str, state: Values) -> None:
        scope = self.scope(identifier, state)
        found = self.find(scope)
        if found is None:
            return
        self.refuse_delete(identifier, state, found)
        parameters = fill(self.key, scope) | fill(self.deletes.parameters, scope)
        self.aws.find(self.service, self.deletes.operation, self.missing, **parameters)


def _api(declared: Property) -> str | None:
    return declared.api if isinstance(declared, Field) else ""


def _at(declared: Property) -> str | None:
    return (declared.at or declared.api) if isinstance(declared, Field) else ""


def _is_single(declared: Property) -> bool:
    return isinstance(declared, Field) and declared.single


def value_at(item: Any, path: str) -> Any:
    """The value at a path such as "Vpcs.0.VpcId"; None if there is none."""
    for step in path.split(".") if path else ():
        if isinstance(item, Mapping):
            item = item.get(step)
        elif isinstance(item, list) and step.isdigit() and int(step) < len(item):
            item = item[int(step)]
        else:
            return None
    return item


def fill(template: Any, scope: Values) -> Any:
    """The template with values in the places of "{name}"; a name alone keeps its value's type."""
    if isinstance(template, Mapping):
        return {key: fill(value, scope) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, scope) for value in template]
    if isinstance(template, str) and "{" in template:
        alone = re.fullmatch(r"\{(\w+)\}", template)
        return scope.get(alone[1]) if alone else template.format(**scope)
    return template


def _parse(pattern: str, identifier: str) -> Values | None:
    """The properties in an id of this form; None for an id of another form."""
    expression = ""
    for text, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", pattern):
        expression += re.escape(text) + (f"(?P<{name}>.+?)" if name else "")
    found = re.fullmatch(expression, identifier)
    return found.groupdict() if found else None


def parsed_json(text: Any) -> Any:
    """The JSON in a text; another text unchanged."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


@dataclass(frozen=True)
class AwsFunction:
    """A function of the provider: its arguments, and the code that answers it."""

    arguments: Mapping[str, Property]
    answer: Callable[[Session, Values], Values]

    def bound(self, aws: Session) -> Callable[[Values], Values]:
        """The function with a session, and its arguments checked."""

        def call(arguments: Values) -> Values:
            given: dict[str, Any] = {key: value for key, value in arguments.items() if value is not None}
            if wrong := [reason for _, reason in refused_arguments(self.arguments, given)]:
                raise RefusedError("; ".join(wrong))
            return self.answer(aws, given)

        return call
