"""Import Pulumi's gRPC protocol without the SDK around it. For programs only, before any other import.

`import pulumi.runtime.proto` first imports the two packages above it, and with them the whole SDK: 0.35 seconds of CPU
time and 27 MB, in each plugin of each `pulumi` command. A plugin needs the protocol only. This module puts two empty
packages in their place; the SDK itself can't be used in that process any more.
"""

from __future__ import annotations

import importlib.util
import sys
import types

for _name in ("pulumi", "pulumi.runtime"):  # in this order: to find the second, Python imports the first
    if _name not in sys.modules:
        _spec = importlib.util.find_spec(_name)
        if _spec is None or _spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"{_name} is not installed in {sys.prefix}: run `make tools`, which installs it")
        _package = types.ModuleType(_name)
        _package.__path__ = _spec.submodule_search_locations
        sys.modules[_name] = _package
