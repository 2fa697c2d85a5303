"""One platform for the engine tests of the stand-ins."""

from tests.engine.conftest import platform

__all__ = ["platform"]
