"""The provider: Pulumi's requests about resources, carried out by the API server."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from standins import codec as values
from standins.codec import get
from standins.kubernetes import VERSION, changes, identity, kubeconfig, waiting
from standins.kubernetes.api import Api, ApiError, CancelledError, Kind, NoSuchKindError, Object
from standins.kubernetes.state import FIELD_MANAGER, checkpoint, from_sdk, inputs_of, live_of, preview_outputs
from standins.protocol import Engine, fail_with_details

THREADS = 256
"""Requests served at a time; most of them only wait for the API server."""

_EXPECTED = (
    ApiError,
    CancelledError,
    ConnectionError,
    NoSuchKindError,
    ValueError,
    identity.UnsupportedTypeError,
    kubeconfig.KubeconfigError,
    waiting.NotReadyError,
)


@dataclass(frozen=True)
class Settings:
    """The provider's configuration, as far as it is not the kubeconfig."""

    upsert: bool = False
    force: bool = False
    mutable_config_maps: bool = False
    mutable_secrets: bool = False
    delete_unreachable: bool = False


def _rpc(method: Callable[..., Any]) -> Callable[..., Any]:
    """What can be expected to go wrong becomes the error that the user reads: no secrets in it, no traceback."""

    @functools.wraps(method)
    def wrapped(self: Provider, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except _EXPECTED as error:
            code = grpc.StatusCode.CANCELLED if isinstance(error, CancelledError) else grpc.StatusCode.UNKNOWN
            context.abort(code, _without_secrets(explain(error), request))
            raise

    return wrapped


def explain(error: Exception) -> str:
    """The error with what to do about it."""
    if isinstance(error, ApiError):
        if managers := error.conflicting_managers():
            return (
                f"{error}\nSomebody else ({', '.join(sorted(managers))}) set these fields. To take them over, annotate "
                'the object with pulumi.com/patchForce: "true" or set the provider\'s enablePatchForce; to leave them '
                "alone, remove them from the program or list them in ignore_changes"
            )
        if error.status in (401, 403) and error.reason in ("Unauthorized", "Forbidden"):
            return f"{error}\nThe kubeconfig's user may not do this: use another one, or grant it the permission"
    return str(error)


def _without_secrets(text: str, request: Any) -> str:
    secrets: list[str] = []
    for field in ("properties", "news", "olds"):
        if field in request.DESCRIPTOR.fields_by_name and request.HasField(field):
            secrets += values.secret_texts(values.from_struct(getattr(request, field)))
    return values.redact(text, secrets)


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One configured provider: the engine starts a process for each."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.cancelled = threading.Event()
        self.settings = Settings()
        self._api: Api | None = None
        self._unreachable = "the provider is not configured yet"
        self._planned_scopes: dict[tuple[str, str], bool] = {}

    # Configuration

    def Handshake(self, request, context):  # noqa: N802
        if request.engine_address:
            self.engine.connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    def Attach(self, request, context):  # noqa: N802
        self.engine.connect(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request, context):  # noqa: N802
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request, context):  # noqa: N802
        return provider_pb2.GetSchemaResponse(schema='{"name": "kubernetes", "version": "' + VERSION + '"}')

    def CheckConfig(self, request, context):  # noqa: N802
        failures = []
        for name in ("renderYamlToDirectory", "helmReleaseSettings"):
            if values.text_field(request.news, name):
                reason = "this stand-in for pulumi-kubernetes has no Helm and renders no YAML: remove it"
                failures.append(provider_pb2.CheckFailure(property=name, reason=reason))
        if values.text_field(request.news, "enableServerSideApply") == "false":
            reason = "this stand-in for pulumi-kubernetes knows server-side apply only: remove it or set it to true"
            failures.append(provider_pb2.CheckFailure(property="enableServerSideApply", reason=reason))
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @_rpc
    def DiffConfig(self, request, context):  # noqa: N802
        old = values.plain(values.from_struct(request.old_inputs if request.HasField("old_inputs") else request.olds))
        new = values.plain(values.from_struct(request.news))
        changed = sorted({str(path[0]) for path in changes.difference(old, new)} - {"version"})
        replaces = []
        if old.get("clusterIdentifier") and new.get("clusterIdentifier"):
            replaces = ["clusterIdentifier"] if "clusterIdentifier" in changed else []
        elif any(new.get(key) is values.UNKNOWN for key in ("kubeconfig", "context", "cluster")):
            # Without an identifier there is no telling whether it will be the same cluster.
            replaces = [key for key in ("kubeconfig", "context", "cluster") if new.get(key) is values.UNKNOWN]
        elif _cluster_of(old) != _cluster_of(new):
            replaces = [key for key in ("kubeconfig", "context", "cluster") if key in changed]
        outcome = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=outcome, diffs=changed, replaces=replaces)

    @_rpc
    def Configure(self, request, context):  # noqa: N802
        config = values.plain(values.from_struct(request.args))
        self.settings = Settings(
            upsert=_flag(config, "upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
            force=_flag(config, "enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
            mutable_config_maps=_flag(config, "enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
            mutable_secrets=_flag(config, "enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
            delete_unreachable=_flag(config, "deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"),
        )
        where = [config.get(key) or "" for key in ("kubeconfig", "context", "cluster", "namespace")]
        if any(value is values.UNKNOWN for value in where):
            self._unreachable = "its kubeconfig is not known before the cluster exists"
        else:
            self._connect(*where)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    def _connect(self, config: str, context: str, cluster: str, namespace: str) -> None:
        try:
            found = kubeconfig.load(config, Path.cwd(), context, cluster, namespace)
        except kubeconfig.KubeconfigError as error:
            # Not an error yet: as with the official provider, one that nothing uses may be unusable.
            self._unreachable = str(error)
            return
        self._api = Api(found, self.cancelled, connections=THREADS)
        self.engine.log(
            "info",
            f"kubernetes: stand-in for pulumi-resource-kubernetes {VERSION}, server-side apply against {found.server}",
        )

    def api(self) -> Api:
        """The API server. Raises ConnectionError if the configuration leads to none."""
        if self._api is None:
            raise ConnectionError(f"there is no Kubernetes cluster to work on: {self._unreachable}")
        return self._api

    # Resources

    @_rpc
    def Check(self, request, context):  # noqa: N802
        api_version, kind = identity.group_version_kind(request.type or identity.resource_type(request.urn))
        response = provider_pb2.CheckResponse(inputs=request.news)
        # Only what Check may change is read: most of a big object, such as a CRD, passes untouched.
        fields = response.inputs.fields
        for key, expected in (("apiVersion", api_version), ("kind", kind)):
            given = values.from_value(fields[key]) if key in fields else None
            if given not in (None, expected, values.UNKNOWN):
                reason = f"it is {given!r}, but the resource's type says {expected!r}"
                response.failures.append(provider_pb2.CheckFailure(property=key, reason=reason))
            fields[key].string_value = expected
        if (api_version, kind) == ("v1", "Secret"):
            for key in {"data", "stringData"} & set(fields):
                content = values.plain(values.from_value(fields[key]))
                if content is not None:
                    fields[key].CopyFrom(values.to_value(values.Secret(content)))
        given = values.from_value(fields["metadata"]) if "metadata" in fields else {}
        metadata = self._checked_metadata(request, api_version, kind, given)
        if metadata != given:
            fields["metadata"].CopyFrom(values.to_value(metadata))
        if kind == "CustomResourceDefinition":
            self._plan_scope(response.inputs)
        return response

    def _checked_metadata(self, request: provider_pb2.CheckRequest, api_version: str, kind: str, given: Any) -> Any:
        metadata = given.value if isinstance(given, values.Secret) else given
        if metadata is values.UNKNOWN:
            return given
        metadata = dict(metadata or {})
        if not metadata.get("name"):
            metadata["name"], metadata["annotations"] = self._autoname(request, metadata)
        if not metadata.get("namespace") and self._is_namespaced(api_version, kind) is not False:
            metadata["namespace"] = self._api.cluster.namespace if self._api else "default"
        return values.Secret(metadata) if isinstance(given, values.Secret) else metadata

    def _autoname(self, request: provider_pb2.CheckRequest, metadata: Object) -> tuple[str, Object]:
        annotations = {**(metadata.get("annotations") or {}), identity.AUTONAMED: "true"}
        olds = values.from_struct(request.olds)
        if get(olds, "metadata", "annotations", identity.AUTONAMED) == "true":
            return str(get(olds, "metadata", "name")), annotations
        options = provider_pb2.CheckRequest.AutonamingOptions
        if request.HasField("autonaming"):
            if request.autonaming.mode == options.DISABLE:
                raise ValueError("autonaming is off for this stack: set metadata.name")
            return request.autonaming.proposed_name, annotations
        return identity.autoname(request.urn), annotations

    def _is_namespaced(self, api_version: str, kind: str) -> bool | None:
        """None if nobody knows yet: the kind's CRD neither exists nor was seen in this program."""
        if self._api is None:
            return self._planned_scopes.get((api_version, kind))
        try:
            return self._api.kind(api_version, kind).namespaced
        except NoSuchKindError:
            return self._planned_scopes.get((api_version, kind))

    def _plan_scope(self, crd: struct_pb2.Struct) -> None:
        spec = values.from_value(crd.fields["spec"]) if "spec" in crd.fields else {}
        for version in get(spec, "versions") or []:
            key = f"{get(spec, 'group')}/{get(version, 'name')}", str(get(spec, "names", "kind"))
            self._planned_scopes[key] = get(spec, "scope") == "Namespaced"

    @_rpc
    def Diff(self, request, context):  # noqa: N802
        response = provider_pb2.DiffResponse
        if request.old_inputs == request.news:
            return response(changes=response.DIFF_NONE, hasDetailedDiff=True)
        old, new = values.from_struct(request.old_inputs), values.from_struct(request.news)
        self._settle_namespaces(old, new)
        found = changes.difference(old, new)
        for ignored in request.ignoreChanges:
            pattern = values.parse_path(ignored)
            found = {path: change for path, change in found.items() if not values.covers(pattern, path)}
        immutable = changes.immutable_paths(
            new,
            mutable_config_maps=self.settings.mutable_config_maps,
            mutable_secrets=self.settings.mutable_secrets,
        )
        replaces = [values.path_text(path) for path in found if changes.replaces(path, immutable)]
        detailed = {}
        for path, change in found.items():
            kind = f"{change}_REPLACE" if changes.replaces(path, immutable) else change
            detailed[values.path_text(path)] = provider_pb2.PropertyDiff(
                kind=provider_pb2.PropertyDiff.Kind.Value(kind), inputDiff=True
            )
        same_place = all(get(old, "metadata", key) == get(new, "metadata", key) for key in ("name", "namespace"))
        autonamed = get(new, "metadata", "annotations", identity.AUTONAMED) == "true"
        return response(
            changes=response.DIFF_SOME if found else response.DIFF_NONE,
            replaces=replaces,
            # Two objects of one name can't exist side by side.
            deleteBeforeReplace=bool(replaces) and same_place and not autonamed,
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    def _settle_namespaces(self, *versions: Object) -> None:
        """Forget namespaces of what has none: they were assumed while the kind's CRD did not exist."""
        for item in versions:
            if (
                isinstance(item.get("metadata"), dict)
                and self._is_namespaced(item["apiVersion"], item["kind"]) is False
            ):
                item["metadata"].pop("namespace", None)

    @_rpc
    def Create(self, request, context):  # noqa: N802
        inputs = values.from_struct(request.properties)
        kind = self._kind_to_write(inputs, preview=request.preview)
        if kind is None:
            return provider_pb2.CreateResponse(properties=request.properties)
        item = self._to_apply(kind, inputs)
        manager = identity.field_manager(request.urn)
        if request.preview:
            outputs = self._preview_creation(kind, item, manager)
            if outputs is None:
                return provider_pb2.CreateResponse(properties=request.properties)
            return provider_pb2.CreateResponse(properties=preview_outputs(outputs, inputs, manager))
        live = self._create(kind, item, manager, request)
        live = self._wait(kind, live, inputs, manager, request, context)
        return provider_pb2.CreateResponse(id=identity.object_id(live), properties=checkpoint(live, inputs, manager))

    def _kind_to_write(self, inputs: Object, *, preview: bool) -> Kind | None:
        """The kind to send to the API server; None in a preview that can't ask it."""
        if preview and (self._api is None or values.has_unknown(inputs)):
            return None
        try:
            return self.api().kind(inputs["apiVersion"], inputs["kind"], wait=not preview)
        except NoSuchKindError:
            if preview:
                return None
            raise

    def _to_apply(self, kind: Kind, inputs: Object) -> Object:
        item = from_sdk(values.plain(inputs))
        if not kind.namespaced:
            item["metadata"].pop("namespace", None)
        return item

    def _preview_creation(self, kind: Kind, item: Object, manager: str) -> Object | None:
        """The object as it would be; None if only later steps of the same update make that possible."""
        try:
            return self.api().apply(kind, item, manager=manager, force=True, dry_run=True)
        except ApiError as error:
            if error.is_missing_namespace or error.status == 403:
                return None
            if not error.is_immutable:
                raise
        # The object that is about to be replaced is in the way: try the new one under a name that nobody has.
        name = f"{item['metadata']['name'][:50]}-preview"
        renamed = {**item, "metadata": {**item["metadata"], "name": name}}
        outputs = self.api().apply(kind, renamed, manager=manager, force=True, dry_run=True)
        outputs["metadata"]["name"] = item["metadata"]["name"]
        return outputs

    def _create(self, kind: Kind, item: Object, manager: str, request: provider_pb2.CreateRequest) -> Object:
        api, metadata = self.api(), item["metadata"]
        namespace, name = metadata.get("namespace"), metadata["name"]
        if not self.settings.upsert:
            existing = api.get(kind, namespace, name)
            if existing and not existing["metadata"].get("deletionTimestamp"):
                raise ValueError(
                    f"{kind.kind} {identity.object_id(item)} exists already. To take it over, set the provider's "
                    "upsertExistingObjects or run `pulumi import`; if a resource was renamed, give it an alias"
                )
        return self._apply(kind, item, manager, request)

    def _apply(self, kind: Kind, item: Object, manager: str, request: Any) -> Object:
        """The object as it is then, one that lives: not one that an earlier command is deleting."""
        force = self.settings.force or get(item, "metadata", "annotations", "pulumi.com/patchForce") == "true"
        live = self.api().apply(kind, item, manager=manager, force=force, dry_run=request.preview)
        if request.preview or not live["metadata"].get("deletionTimestamp"):
            return live
        seconds = waiting.timeout_seconds(request.timeout, item)
        namespace, name = live["metadata"].get("namespace"), live["metadata"]["name"]
        waiting.until_gone(self.api(), kind, namespace, name, seconds=seconds, status=self._status(request.urn))
        return self.api().apply(kind, item, manager=manager, force=force, dry_run=False)

    def _status(self, urn: str) -> waiting.Status:
        return lambda text: self.engine.log("info", text, urn, ephemeral=True)

    def _wait(self, kind: Kind, live: Object, inputs: Object, manager: str, request: Any, context: Any) -> Object:
        """The object once it is ready. Otherwise the RPC ends with an error that keeps the object in state."""
        seconds = waiting.timeout_seconds(request.timeout, live)
        reason, last = "", live
        try:
            return waiting.until_ready(self.api(), kind, live, seconds=seconds, status=self._status(request.urn))
        except waiting.NotReadyError as error:
            reason, last = str(error), error.item
        except (ApiError, CancelledError, ConnectionError, NoSuchKindError, ValueError) as error:
            reason = f"can't tell whether it is ready: {explain(error)}"
        self._fail_initialised(context, last, inputs, manager, _without_secrets(reason, request))
        return last

    def _fail_initialised(self, context: Any, live: Object, inputs: Object, manager: str, reason: str) -> None:
        details = provider_pb2.ErrorResourceInitFailed(
            id=identity.object_id(live),
            properties=checkpoint(live, inputs, manager),
            inputs=values.to_struct(inputs),
            reasons=[reason],
        )
        fail_with_details(context, reason, details)

    @_rpc
    def Update(self, request, context):  # noqa: N802
        inputs = values.from_struct(request.news)
        kind = self._kind_to_write(inputs, preview=request.preview)
        if kind is None:
            return provider_pb2.UpdateResponse(properties=request.news)
        manager = values.text_field(request.olds, FIELD_MANAGER) or identity.field_manager(request.urn)
        item = self._to_apply(kind, inputs)
        if request.ignoreChanges:
            self._keep_ignored(kind, item, [values.parse_path(text) for text in request.ignoreChanges])
        try:
            live = self._apply(kind, item, manager, request)
        except ApiError as error:
            if request.preview and (error.status == 403 or error.is_missing_namespace):
                return provider_pb2.UpdateResponse(properties=request.news)
            raise
        if request.preview:
            return provider_pb2.UpdateResponse(properties=preview_outputs(live, inputs, manager, exists=True))
        live = self._wait(kind, live, inputs, manager, request, context)
        return provider_pb2.UpdateResponse(properties=checkpoint(live, inputs, manager))

    def _keep_ignored(self, kind: Kind, item: Object, ignored: list[values.Path]) -> None:
        """Send ignored fields as they are, so that whoever changes them (an autoscaler) is not overruled."""
        live = self.api().get(kind, item["metadata"].get("namespace"), item["metadata"]["name"])
        for path in ignored:
            parent, current = get(item, *path[:-1]), get(live, *path)
            if isinstance(parent, dict) and current is not None and path[-1] in parent:
                parent[path[-1]] = current

    @_rpc
    def Read(self, request, context):  # noqa: N802
        api_version, kind_name = identity.group_version_kind(request.type or identity.resource_type(request.urn))
        namespace, name = identity.parse_id(request.id)
        try:
            kind = self.api().kind(api_version, kind_name)
            live = self.api().get(kind, namespace, name)
        except NoSuchKindError:
            live = None
        except ConnectionError:
            if not self.settings.delete_unreachable:
                raise
            live = None
        if live is None:
            return provider_pb2.ReadResponse()
        inputs = values.from_struct(request.inputs)
        if inputs:
            inputs = changes.drift(inputs, live_of(values.plain(values.from_struct(request.properties))), live_of(live))
        else:
            inputs = inputs_of(live)
        manager = values.text_field(request.properties, FIELD_MANAGER) or identity.field_manager(request.urn)
        missing = waiting.is_ready(self.api(), live) if request.inputs.fields else None
        if missing:
            reason = f"{kind_name} {name} is not ready: {missing}"
            self._fail_initialised(context, live, inputs, manager, reason)
        state = checkpoint(live, inputs, manager)
        return provider_pb2.ReadResponse(id=request.id, properties=state, inputs=values.to_struct(inputs))

    @_rpc
    def Delete(self, request, context):  # noqa: N802
        api_version, kind_name = identity.group_version_kind(request.type or identity.resource_type(request.urn))
        namespace, name = identity.parse_id(request.id)
        inputs = values.plain(values.from_struct(request.old_inputs))
        try:
            api = self.api()
            kind = api.kind(api_version, kind_name)
            seconds = waiting.timeout_seconds(request.timeout, inputs)
            status = self._status(request.urn)
            waiting.delete(api, kind, namespace, name, inputs, seconds=seconds, status=status)
        except NoSuchKindError:
            # Objects go with their CRD.
            return empty_pb2.Empty()
        except ConnectionError:
            if not self.settings.delete_unreachable:
                raise
        return empty_pb2.Empty()

    # Everything else

    @_rpc
    def Invoke(self, request, context):  # noqa: N802
        raise ValueError(f"{request.tok}: this stand-in for pulumi-kubernetes has no functions")

    @_rpc
    def Call(self, request, context):  # noqa: N802
        raise ValueError(f"{request.tok}: this stand-in for pulumi-kubernetes has no methods")

    @_rpc
    def Construct(self, request, context):  # noqa: N802
        raise ValueError(f"{request.type}: this stand-in for pulumi-kubernetes has no components (charts, YAML groups)")

    def Cancel(self, request, context):  # noqa: N802
        self.cancelled.set()
        return empty_pb2.Empty()


def _flag(config: dict[str, Any], name: str, variable: str) -> bool:
    """A yes-or-no setting: from the provider's configuration, else from the environment, else no."""
    value = config.get(name)
    return str(os.environ.get(variable, "") if value is None else value).lower() == "true"


def _cluster_of(config: dict[str, Any]) -> Any:
    """What tells clusters apart when there is no identifier; None if the kubeconfig can't be read (any more)."""
    try:
        parsed, _ = kubeconfig.document(config.get("kubeconfig") or "", Path.cwd())
        return kubeconfig.active_cluster(parsed, config.get("context") or "", config.get("cluster") or "")
    except kubeconfig.KubeconfigError:
        return None
