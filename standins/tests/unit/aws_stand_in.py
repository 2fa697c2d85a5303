"""The stand-in for pulumi-resource-aws as the engine uses it: check first, then the operation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2 as wire

from standins.aws import configuration
from standins.codec import from_struct, to_struct
from standins.protocol import Engine
from standins.provider import Servicer
from standins.tests.unit.engine_context import AbortedError, Context

State = dict[str, Any]


class Plugin:
    """The plugin, configured with tags of its own. Types are named by their tokens' end: "ec2/vpc:Vpc"."""

    def __init__(self, **config: Any) -> None:
        self.servicer = Servicer(configuration.stand_in(), Engine())
        self.configure(**config)

    def configure(self, **config: Any) -> None:
        encoded = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
        args = to_struct({"region": "eu-west-1", **encoded})
        self.servicer.Configure(wire.ConfigureRequest(args=args), Context())

    @staticmethod
    def urn(kind: str, name: str = "it") -> str:
        return f"urn:pulumi:s::p::aws:{kind}::{name}"

    def failures(self, kind: str, **inputs: Any) -> list[tuple[str, str]]:
        request = wire.CheckRequest(urn=self.urn(kind), news=to_struct(inputs), randomSeed=b"0123456789")
        return [(each.property, each.reason) for each in self.servicer.Check(request, Context()).failures]

    def checked(self, kind: str, inputs: State, old: State | None = None) -> Any:
        request = wire.CheckRequest(
            urn=self.urn(kind), news=to_struct(inputs), olds=to_struct(old or {}), randomSeed=b"0123456789"
        )
        answer = self.servicer.Check(request, Context())
        assert not answer.failures, answer.failures
        return answer.inputs

    def create(self, kind: str, *, preview: bool = False, **inputs: Any) -> tuple[str, State]:
        request = wire.CreateRequest(urn=self.urn(kind), properties=self.checked(kind, inputs), preview=preview)
        answer = self.servicer.Create(request, Context())
        return answer.id, from_struct(answer.properties)

    def diff(self, kind: str, state: State, **inputs: Any) -> tuple[list[str], list[str]]:
        """The changed properties, and those of them that replace the resource."""
        news = self.checked(kind, inputs, state)
        request = wire.DiffRequest(urn=self.urn(kind), id="x", olds=to_struct(state), news=news)
        answer = self.servicer.Diff(request, Context())
        return sorted(answer.diffs), sorted(answer.replaces)

    def unchanged(self, kind: str, **inputs: Any) -> tuple[str, State]:
        """Create it; reading it again shows no change."""
        identifier, state = self.create(kind, **inputs)
        assert self.read(kind, identifier, state) == (identifier, state)
        assert self.diff(kind, state, **inputs) == ([], [])
        return identifier, state

    def update(self, kind: str, identifier: str, state: State, *, preview: bool = False, **inputs: Any) -> State:
        news = self.checked(kind, inputs, state)
        request = wire.UpdateRequest(
            urn=self.urn(kind), id=identifier, olds=to_struct(state), news=news, preview=preview
        )
        return from_struct(self.servicer.Update(request, Context()).properties)

    def read(self, kind: str, identifier: str, state: State | None = None) -> tuple[str, State]:
        """The id, empty for a missing resource, and the state."""
        request = wire.ReadRequest(urn=self.urn(kind), id=identifier, properties=to_struct(state or {}))
        answer = self.servicer.Read(request, Context())
        return answer.id, from_struct(answer.properties)

    def delete(self, kind: str, identifier: str, state: State) -> None:
        request = wire.DeleteRequest(urn=self.urn(kind), id=identifier, properties=to_struct(state))
        self.servicer.Delete(request, Context())

    def invoke(self, token: str, **arguments: Any) -> State:
        request = wire.InvokeRequest(tok=f"aws:{token}", args=to_struct(arguments))
        return from_struct(getattr(self.servicer.Invoke(request, Context()), "return"))

    def refusal(self, operation: str, *arguments: Any, **more: Any) -> str:
        """The error of a refused operation."""
        with pytest.raises(AbortedError) as refused:
            getattr(self, operation)(*arguments, **more)
        return str(refused.value)


def emulated(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Make AWS' tools use an emulator."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
