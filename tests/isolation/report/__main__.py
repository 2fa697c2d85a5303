"""Run the isolation tests and write what they found: `make isolation-report`. Or read a JUnit file that is there."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from local.home import PROJECT
from local.toolchain import catalogue
from tests.isolation.report import page, picture, results

SUITE = "tests/isolation"
FOLDER = PROJECT / ".local" / "isolation-report"
SUBJECTS = ("kube-apiserver", "kube-controller-manager", "etcd", "source-controller", "kustomize-controller")
SUBJECTS += ("helm-controller", "notification-controller", "cyclonus")


def main() -> int:
    """Write the report whatever came out; fails where something did not hold."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    junit = Path(sys.argv[1]) if len(sys.argv) > 1 else _run()
    found = results.read(junit)
    drawing = picture.picture(found.network) if found.network else None
    if drawing:
        (FOLDER / page.PICTURE).write_text(drawing)
    text = page.markdown(found, _circumstances(junit))
    (FOLDER / "report.md").write_text(text)
    (FOLDER / "report.html").write_text(page.as_html(text, drawing))
    for name in ("report.md", "report.html"):
        print((FOLDER / name).relative_to(PROJECT))
    if found.failed or not found.attempts:
        sys.stderr.write(f"{len(found.failed)} of {found.tests} tests did not hold; the report names them.\n")
        return 1
    return 0


def _run() -> Path:
    junit = FOLDER / "junit.xml"
    junit.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", SUITE, f"--junitxml={junit}"]
    done = subprocess.run(command, cwd=PROJECT, check=False)
    if not junit.exists():
        sys.exit(done.returncode or 1)
    return junit


def _circumstances(junit: Path) -> page.Run:
    date = datetime.fromtimestamp(junit.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return page.Run(date, _revision(), {name: catalogue.versions()[name] for name in SUBJECTS})


def _revision() -> str:
    """The commit, and whether something in the folder differs from it."""
    command = ["git", "describe", "--always", "--dirty=, changed", "--exclude=*"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
