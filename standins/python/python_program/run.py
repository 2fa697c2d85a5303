"""Runs a Pulumi program in the virtual environment that it belongs to. Imports nothing of this project.

Exit codes: 0 done, 32 failed and said why in the engine's log, anything else failed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import runpy
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

SHOWN_ERROR = 32


def end_with_parent(pause: float = 1.0) -> None:
    """End this process soon after its parent has: an engine that was killed must not leave a program behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(pause)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    end_with_parent()
    parser = argparse.ArgumentParser(description="Run a Pulumi program")
    for option in ("monitor", "engine", "project", "root_directory", "stack", "pwd", "dry_run", "organization"):
        parser.add_argument(f"--{option}", default="")
    parser.add_argument("--parallel", type=int, default=0)
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    try:
        import pulumi
        import pulumi.runtime
    except ImportError:
        traceback.print_exc()
        print("The Pulumi SDK is not installed in this virtual environment: run `pulumi install`.", file=sys.stderr)
        return 1
    if options.pwd:
        os.chdir(options.pwd)
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            monitor=options.monitor,
            engine=options.engine,
            project=options.project,
            stack=options.stack,
            parallel=options.parallel,
            dry_run=options.dry_run == "true",
            organization=options.organization,
            root_directory=options.root_directory,
        )
    )
    sys.argv = [options.program, *options.arguments]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(options.parallel, 1) * 4)
    loop.set_default_executor(executor)
    # A program that fails leaves futures behind that nobody will look at; asyncio would report each of them.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    program = os.path.abspath(options.program)
    if os.path.isdir(program) and not os.path.exists(os.path.join(program, "__main__.py")):
        pulumi.log.error(f"there is no __main__.py in {program}: is `main` in Pulumi.yaml right?")
        return SHOWN_ERROR

    def program_run() -> None:
        runpy.run_path(options.program, run_name="__main__")

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(program_run))
    except pulumi.RunError as error:
        # Meant for the user as it is.
        pulumi.log.error(str(error))
        return 1
    except Exception:
        pulumi.log.error(f"Program failed with an unhandled exception:\n{_traceback(program)}")
        return SHOWN_ERROR
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _traceback(program: str) -> str:
    """The current exception's traceback from the program's own first line on."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    for index, frame in enumerate(frames):
        file = os.path.abspath(frame.filename)
        if file.startswith(program) and file != __file__ and not file.startswith(sys.prefix):
            return traceback.format_exc(limit=index - len(frames))
    return traceback.format_exc()


if __name__ == "__main__":
    sys.exit(main())
