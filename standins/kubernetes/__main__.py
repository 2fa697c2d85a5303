"""Run as a Pulumi plugin: `python -m standins.kubernetes [ENGINE_ADDRESS]`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from standins import without_sdk  # noqa: F401 - first: see there

# isort: split
from pulumi.runtime.proto import provider_pb2_grpc

from standins import protocol
from standins.kubernetes.provider import THREADS, Provider


def main() -> None:
    provider = Provider(protocol.Engine(sys.argv[1] if len(sys.argv) > 1 else None))
    protocol.serve(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server),
        threads=THREADS,
        on_stop=provider.cancelled.set,
    )


if __name__ == "__main__":
    main()
