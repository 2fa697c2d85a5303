"""Run a Pulumi program in its own virtual environment: run_program.py SETTINGS_AS_JSON PROGRAM ARGUMENT...

Exit codes: 0 done, 32 failed with an error that is in the engine's log, others failed.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import runpy
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

PR_SET_PDEATHSIG = 1
ERROR_SHOWN = 32


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends: an engine that is killed leaves no program behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Run the program."""
    end_with_parent()
    import pulumi
    import pulumi.runtime

    settings, program = json.loads(sys.argv[1]), sys.argv[2]
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(pulumi.runtime.Settings(**settings))
    sys.argv = sys.argv[2:]

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=4 * (settings["parallel"] or 1)))
        await pulumi.runtime.run_in_stack(run_path)

    def run_path() -> None:
        runpy.run_path(program, run_name="__main__")

    # A program that fails leaves futures behind; asyncio would report each of them.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        asyncio.run(run())
    except pulumi.RunError as error:  # a message for the user
        pulumi.log.error(str(error))
        return ERROR_SHOWN
    except Exception:
        pulumi.log.error(f"Program failed with an unhandled exception:\n{traceback.format_exc()}")
        return ERROR_SHOWN
    return 0


if __name__ == "__main__":
    sys.exit(main())
