"""Run a policy pack in its own virtual environment: run_policy_pack.py ENGINE_ADDRESS... FOLDER."""

import ctypes
import runpy
import signal

ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the language host
runpy.run_module("pulumi.policy", run_name="__main__", alter_sys=True)
