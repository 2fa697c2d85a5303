"""Lets a plugin import Pulumi's protocol without the SDK around it. For programs only, before any other import.

Importing `pulumi.runtime.proto` the usual way first imports the whole Pulumi SDK, which takes longer than everything
else that a plugin does until it serves. Importing this module puts two empty packages in the SDK's place, so that only
the protocol is loaded; the SDK itself can't be used in that process any more.
"""

from __future__ import annotations

import importlib.util
import sys
import types


def _skip_package_init(name: str) -> None:
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"{name} is not installed beside this plugin: run `make install`")
        package = types.ModuleType(name)
        package.__path__ = spec.submodule_search_locations
        sys.modules[name] = package


# Order matters: finding `pulumi.runtime` imports `pulumi`.
_skip_package_init("pulumi")
_skip_package_init("pulumi.runtime")
