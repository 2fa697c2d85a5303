"""The folder of an embedded platform: its data, logs and settings."""

from __future__ import annotations

import json
import os
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from local.files import write_atomically

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout."""

DEFAULT = PROJECT / ".local"

PORTS = range(20_000, 32_768)
"""Below the range that Linux takes for outgoing connections, any of which could occupy a port."""


@dataclass(frozen=True)
class Home:
    """A platform's folder. The platform writes nothing outside it."""

    path: Path

    @staticmethod
    def default() -> Home:
        """`.local` in the checkout, or the folder that SAAS_LOCAL_HOME names."""
        return Home(Path(os.environ.get("SAAS_LOCAL_HOME") or DEFAULT).resolve())

    def create(self) -> Home:
        """Create the folder, readable by its owner only: it holds keys."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for folder in (self.bin, self.logs):
            folder.mkdir(exist_ok=True)
        return self

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.path / "kubeconfig"

    @property
    def bin(self) -> Path:
        """Programs that are on PATH after `source env`."""
        return self.path / "bin"

    @property
    def logs(self) -> Path:
        """One NAME.log per process."""
        return self.path / "logs"

    @property
    def aws_calls(self) -> Path:
        """Kinds of API calls that the emulator of AWS served."""
        return self.path / "aws-calls.txt"

    @property
    def mirrors(self) -> Path:
        """URL prefixes that lead to the Git server or the registry instead; the stack's `mirrorsFile`."""
        return self.path / "mirrors.yaml"

    @property
    def git(self) -> Path:
        """The Git server's bare repositories, OWNER/NAME.git, and its records."""
        return self.path / "git"

    @property
    def manifest(self) -> Path:
        """Flux's install manifest, assembled when the tools were built."""
        return self.path / "flux-install.yaml"

    @property
    def pulumi_home(self) -> Path:
        """PULUMI_HOME: plugins and credentials of this platform only."""
        return self.path / "pulumi"

    @property
    def backend(self) -> Path:
        """The file backend with the stacks' state."""
        return self.path / "state"

    @property
    def env(self) -> Path:
        """Environment variables for `pulumi`, `kubectl` and `git` on this platform: `source .local/env`."""
        return self.path / "env"

    def port(self, name: str) -> int:
        """The loopback port of a server: chosen when first asked for, then always the same."""
        record = self.path / "ports.json"
        with FileLock(self.path / "ports.lock"):
            ports: dict[str, int] = json.loads(record.read_text()) if record.exists() else {}
            while name not in ports:
                candidate = random.choice(PORTS)  # noqa: S311 - only to keep platforms apart
                if candidate not in ports.values() and _is_free(candidate):
                    ports[name] = candidate
                    write_atomically(record, json.dumps(ports, indent=1))
            return ports[name]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
