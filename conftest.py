"""Settings of all test runs: cheap garbage collection."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """The SDKs of Pulumi are a million objects that live until the end: do not traverse them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
