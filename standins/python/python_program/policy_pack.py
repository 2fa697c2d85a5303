"""Runs a policy pack in its own virtual environment: policy_pack.py ENGINE_ADDRESS... FOLDER."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).with_name("run.py")))["end_with_parent"]()
runpy.run_module("pulumi.policy", run_name="__main__", alter_sys=True)
