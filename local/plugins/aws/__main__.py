"""Run as a Pulumi plugin: `python -m local.plugins.aws [ENGINE_ADDRESS]`."""

from __future__ import annotations

if __name__ == "__main__":
    import local.plugins.without_sdk  # noqa: F401 - before anything else: see there

# isort: split
from local.plugins.aws.configuration import stand_in
from local.plugins.provider import serve

if __name__ == "__main__":
    serve(stand_in())
