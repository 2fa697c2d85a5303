"""A gRPC context for tests that call a stand-in without the engine."""

from __future__ import annotations


class AbortedError(Exception):
    """The error that ended a request."""


class Context:
    """The part of a gRPC context that ends a request with an error."""

    def abort(self, code: object, text: str) -> None:
        raise AbortedError(text)

    def set_trailing_metadata(self, metadata: object) -> None:
        pass
