"""Settings of all test runs: cheap garbage collection, of Python and of the programs in Go that tests start."""

from __future__ import annotations

import gc
import os

# The Go runtime collects garbage when the heap has grown by so many percent. Twice the default saves an eighth of an
# API server's time, for 0.2 GB of memory; 400 takes 0.7 GB, and up to four platforms run side by side.
os.environ.setdefault("GOGC", "200")


def pytest_collection_finish() -> None:
    """The SDKs of Pulumi are a million objects that live until the end: do not traverse them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
