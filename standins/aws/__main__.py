"""Run as a Pulumi plugin: `python -m standins.aws [ENGINE_ADDRESS]`."""

from __future__ import annotations

if __name__ == "__main__":
    import standins.without_sdk  # noqa: F401 - before anything else: see there

# isort: split
from standins.aws.configuration import stand_in
from standins.provider import serve

if __name__ == "__main__":
    serve(stand_in())
