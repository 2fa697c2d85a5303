"""EKS as moto serves it: routes from AWS' own description of the API, objects as its answers show them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import moto.eks
import moto.eks.models
import moto.eks.urls
from botocore import xform_name
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import get_service_model

from standins.moto.eks.addons import Addons
from standins.moto.eks.clusters import LATE_LOGS
from standins.moto.eks.control_plane import ControlPlane
from standins.moto.eks.nodes import NodeGroups
from standins.moto.eks.references import References, write_late_logs
from standins.moto.eks.tags import Tags


class Backend(BaseBackend, NodeGroups, Addons, Tags):
    """One region of one account."""

    asked: ClassVar[list[Callable[[], ControlPlane]]] = []
    """The function that describes the control plane; in a list, as it would become a method of the class otherwise."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.clusters = {}
        self.updates = {}
        self.references = References(account_id, region_name)

    auto_mode: ClassVar[list[Callable[[], None]]] = []
    """The function that brings Auto Mode's definitions into the control plane."""

    def control_plane(self) -> ControlPlane:
        return self.asked[0]()

    def start_auto_mode(self) -> None:
        for bring in self.auto_mode:
            bring()


class Responses(BaseResponse):
    """One method per operation that a Backend has, under the name that moto looks for."""

    def __init__(self) -> None:
        super().__init__(service_name="eks")
        self.automated_parameter_parsing = True


def _operation(name: str) -> Callable[[Responses], ActionResult]:
    def answer(self: Responses) -> ActionResult:
        backend = moto.eks.models.eks_backends[self.current_account][self.region]
        return ActionResult(getattr(backend, name)(dict(self.params)))

    return answer


def install(control_plane: Callable[[], ControlPlane], auto_mode: Callable[[], None] | None = None) -> None:
    """Replace moto's EKS in this process; call it before anything is served.

    `control_plane` is asked each time a cluster is made. It raises NoControlPlaneError if there is none. `auto_mode`
    is called for a cluster with Auto Mode.
    """
    Backend.asked[:] = [control_plane]
    write_late_logs(LATE_LOGS)
    Backend.auto_mode[:] = [auto_mode] if auto_mode else []
    backends = BackendDict(Backend, "eks")
    for module in (moto.eks, moto.eks.models):
        setattr(module, "eks_backends", backends)  # noqa: B010 - of another type than moto's own
    model = get_service_model("eks")
    operations: Any = model.operation_names
    responses = Responses()
    paths: dict[str, Any] = {}
    for operation in operations:
        name = xform_name(operation)
        if hasattr(Backend, name):
            setattr(Responses, name, _operation(name))
            path = model.operation_model(operation).http["requestUri"]
            # ARNs have slashes, which have lost their encoding by the time that a route is looked for.
            pattern = re.sub(r"\{(\w+)\}", lambda name: f"(?P<{name[1]}>{'.+' if 'Arn' in name[1] else '[^/]+'})", path)
            paths[f"{{0}}{pattern}$"] = responses.dispatch
    moto.eks.urls.url_paths = paths
    Backend._url_module = moto.eks.urls  # pyright: ignore[reportAttributeAccessIssue]
