"""Settings of all test runs: cheap garbage collection, of Python and of the programs in Go that tests start."""

from __future__ import annotations

import gc
import os

# The Go runtime collects garbage whenever the heap has grown by so many percent. The default of 100 costs an API server
# a sixth of its time; 400 would take 0.7 GB more for each platform, of which up to four run side by side.
os.environ.setdefault("GOGC", "200")


def pytest_collection_finish() -> None:
    """The SDKs of Pulumi are a million objects that live until the end: do not traverse them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
