"""What Pulumi keeps of an object: its inputs, and the live object as outputs with secrets marked."""

from __future__ import annotations

from typing import Any

from google.protobuf import struct_pb2

from standins import codec as values
from standins.codec import Secret, get

Object = dict[str, Any]

FIELD_MANAGER = "__fieldManager"
INPUTS = "__inputs"
_API_VERSION = "__initialApiVersion"

# Grows with every writer and tells a program nothing; the last also repeats a Secret's content.
_NOISE = ("managedFields",)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_SERVER_ASSIGNED = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")


def from_sdk(item: Any) -> Any:
    """The object as Kubernetes writes it: the SDK's typed classes cannot say `x-kubernetes-...`."""
    return _renamed(item, "x_kubernetes_", lambda key: key.replace("_", "-"))


def _to_sdk(item: Any) -> Any:
    return _renamed(item, "x-kubernetes-", lambda key: key.replace("-", "_"))


def _renamed(item: Any, prefix: str, rename: Any) -> Any:
    if isinstance(item, dict):
        return {
            rename(key) if key.startswith(prefix) else key: _renamed(value, prefix, rename)
            for key, value in item.items()
        }
    if isinstance(item, list):
        return [_renamed(value, prefix, rename) for value in item]
    return item


def live_of(item: Object) -> Object:
    """An object without what is only Pulumi's or only noise, to compare with another."""
    result = {key: value for key, value in item.items() if not key.startswith("__")}
    if isinstance(result.get("metadata"), dict):
        result["metadata"] = _quiet(result["metadata"])
    return result


def _quiet(metadata: Object) -> Object:
    kept = {key: value for key, value in metadata.items() if key not in _NOISE}
    if _LAST_APPLIED in (kept.get("annotations") or {}):
        kept["annotations"] = {key: value for key, value in kept["annotations"].items() if key != _LAST_APPLIED}
    return kept


def _outputs(live: Object, inputs: Object, manager: str) -> Object:
    outputs = values.mark_secrets(_to_sdk(live_of(live)), inputs)
    if (live.get("apiVersion"), live.get("kind")) == ("v1", "Secret") and not isinstance(outputs.get("data"), Secret):
        outputs["data"] = Secret(outputs.get("data") or {})
    outputs |= {FIELD_MANAGER: manager, _API_VERSION: live["apiVersion"]}
    if live["kind"] != "CustomResourceDefinition":
        # The official provider compares against these: with them it can take over a stack made here. Definitions, which
        # it would only update, go without: theirs are big, and the engine writes the whole state after each step.
        outputs[INPUTS] = inputs
    return outputs


def checkpoint(live: Object, inputs: Object, manager: str) -> struct_pb2.Struct:
    """The outputs to keep in state."""
    return values.to_struct(_outputs(live, inputs, manager))


def preview_outputs(planned: Object, inputs: Object, manager: str, *, exists: bool = False) -> struct_pb2.Struct:
    """The outputs of a dry run, less what the real one will have its own values of."""
    outputs = _outputs(planned, inputs, manager)
    outputs.pop("status", None)
    metadata = values.plain(outputs["metadata"])
    dropped = ("resourceVersion", "generation", "managedFields") if exists else _SERVER_ASSIGNED
    outputs["metadata"] = values.mark_secrets(
        {key: value for key, value in metadata.items() if key not in dropped}, get(inputs, "metadata")
    )
    return values.to_struct(outputs)


def inputs_of(live: Object) -> Object:
    """Inputs for an object that nobody has described yet (`pulumi import`): the object less what the server adds."""
    inputs = {key: value for key, value in live.items() if key != "status"}
    metadata = {key: value for key, value in _quiet(live["metadata"]).items() if key not in _SERVER_ASSIGNED}
    metadata.get("annotations", {}).pop("deployment.kubernetes.io/revision", None)
    inputs["metadata"] = metadata
    if (live["apiVersion"], live["kind"]) == ("v1", "Secret") and "data" in inputs:
        inputs["data"] = Secret(inputs["data"])
    return inputs
