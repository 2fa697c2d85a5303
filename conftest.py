"""Settings of all test runs: what is dear in Python, and in the programs that tests start, is left out."""

from __future__ import annotations

import gc
import os

# The Go runtime collects garbage when the heap has grown by so many percent, or reaches the limit. At 200, an API
# server spent a third of its time on that. Up to four run at once.
os.environ.setdefault("GOGC", "500")
os.environ.setdefault("GOMEMLIMIT", "2GiB")
# A test's platform ends with the test: no etcd has to survive a power failure.
os.environ.setdefault("ETCD_UNSAFE_NO_FSYNC", "true")


def pytest_collection_finish() -> None:
    """The SDKs of Pulumi are a million objects that live until the end: do not traverse them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
