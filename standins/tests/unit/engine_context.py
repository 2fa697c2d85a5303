"""What a stand-in for a provider meets in place of the engine's connection."""

from __future__ import annotations


class AbortedError(Exception):
    """What the engine is told instead of an answer."""


class Context:
    """The part of a gRPC context that ends a request with an error."""

    def abort(self, code: object, text: str) -> None:
        raise AbortedError(text)

    def set_trailing_metadata(self, metadata: object) -> None:
        pass
