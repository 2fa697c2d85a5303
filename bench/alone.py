"""The program without an engine: `python -m bench.alone program|flat KIND COUNT`, timed as a whole process.

Both run under the recorder of the program tests. The flat program registers as many plain resources as the real one
does for that many tenants, with inputs of the same size, and nothing else: no model, no components, no checks.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench import workload
from local.toolchain import manifest
from tests.program import recorder

FLAT = """\
import json
from pathlib import Path
import pulumi
for name, inputs in json.loads((Path(__file__).parent / "resources.json").read_text()):
    pulumi.CustomResource("bench:index:Plain", name, inputs)
"""


def main() -> None:
    """Run one of the two once."""
    what, kind, count, kubeconfig = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        config = {"kubeconfig": kubeconfig, "owner": "acme", "fluxManifest": "install.yaml"}
        if what == "flat":
            (folder / "__main__.py").write_text(FLAT)
            (folder / "resources.json").write_text(sys.stdin.read())
        else:
            tenants, install = (
                workload.tenants_yaml(kind, workload.names(count)),
                manifest.install_manifest().read_text(),
            )
            recorder.project(folder, tenants, install, Path(kubeconfig).read_text())
        recording = recorder.run(folder, config=config)
        if what == "resources":
            sys.stdout.write(workload.plain(recording))


if __name__ == "__main__":
    main()
