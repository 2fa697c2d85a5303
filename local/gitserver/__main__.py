"""The Git server's process: `python -m local.gitserver --home DIR`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from local.gitserver import git, server
from local.home import Home


def main() -> None:
    parser = argparse.ArgumentParser(description="Git over SSH and HTTP, and GitHub's API, on loopback ports.")
    parser.add_argument("--home", type=Path, required=True, help="the platform's folder")
    home = Home(parser.parse_args().home.resolve())
    try:
        asyncio.run(server.serve(home))
    except (OSError, git.GitError) as error:
        sys.exit(f"The Git server can't start: {error}")


if __name__ == "__main__":
    main()
