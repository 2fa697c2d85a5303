"""Correction of moto's API Gateway: it wants a package that checks OpenAPI documents, of no use for HTTP APIs."""

from __future__ import annotations

import sys
from types import ModuleType


def install() -> None:
    """Correct moto in this process; call it before the server starts."""
    package = ModuleType("openapi_spec_validator")
    validation = ModuleType("openapi_spec_validator.validation")
    exceptions = ModuleType("openapi_spec_validator.validation.exceptions")
    package.__dict__["validate"] = lambda document: None
    exceptions.__dict__["OpenAPIValidationError"] = ValueError
    for module in (package, validation, exceptions):
        sys.modules.setdefault(module.__name__, module)
