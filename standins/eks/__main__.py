"""Run as a Pulumi plugin: `python -m standins.eks ENGINE_ADDRESS`."""

from __future__ import annotations

import os
import sys
import threading
import time

from pulumi.provider.server import main

from standins.eks.provider import EksProvider


def _end_with(parent: int) -> None:
    """An engine that was killed can't say goodbye."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    main(EksProvider(), sys.argv[1:])
