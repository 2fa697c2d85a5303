"""`./saas tenant backup`: a tenant's Kubernetes objects as a file, with its checksum in tenants.yaml."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import typer

from cli import tenants_file, yaml_edit
from cli.errors import CommandError
from cli.status import Kubeconfig, Kubectl
from cli.tenants import CHECKOUT, DryRun, File, Json, Known, Pr, entry_of, finish
from model.config.departures import LEAVING
from model.config.names import STATE_LABEL

Object = dict[str, Any]
LEFT_OUT = frozenset("controllerrevisions endpoints endpointslices events leases pods replicasets".split())
"""Kinds that Kubernetes' controllers make anew, and that change by themselves."""


class Api(Protocol):
    """A cluster's API."""

    def get(self, path: str) -> Object | None:
        """The object or list at a path; None if there is none."""
        ...


def backup(
    name: Known,
    to: Annotated[Path, typer.Option(metavar="FILE", help="The file to write. It has the tenant's Secrets.")],
    kept_at: Annotated[
        str | None, typer.Option(metavar="URL", help="Where you copy the file to, such as s3://…; default: FILE.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Write all objects of a tenant that leaves, and the ids of its volumes, to a file, and record its checksum.

    It has no volumes' contents: back them up, too, before you purge the tenant.

    \b
    ./saas tenant backup acme --to acme.json --kept-at s3://acme-backups/acme.json
    """
    if not any(tenant.name == name and tenant.leaving for tenant in tenants_file.load(file).tenants):
        remedy = f"Run `./saas tenant leave {name} --keep 30d`, update, and back it up then."
        raise CommandError(f"{name} is not leaving", remedy)
    content = json.dumps(snapshot(Kubectl(kubeconfig), name), indent=1, sort_keys=True).encode()
    record = {"id": kept_at or str(to), "sha256": hashlib.sha256(content).hexdigest()}

    def edit(text: str) -> str:
        index, entry = entry_of(text, file, name)
        before = entry["leaving"].get("backup") or {}
        if all(before.get(key) == value for key, value in record.items()):
            return text
        return yaml_edit.set_value(text, ("tenants", index, "leaving", "backup"), record)

    if not dry_run:
        # Mode 0600, as it has Secrets; written before the checksum is recorded.
        with open(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
            written.write(content)
    finish(name, "backup", edit, file, dry_run=dry_run, preview=False, stack=None, pr=pr, as_json=as_json)


def snapshot(api: Api, name: str) -> Object:
    """A tenant's objects, without what changes by itself, and its volumes. The tenant has to be leaving in the cluster.

    State and volumes are read from objects that the tenant cannot write: its namespace, and PersistentVolumes.
    """
    namespace = api.get(f"/api/v1/namespaces/{name}")
    if namespace is None or namespace["metadata"].get("labels", {}).get(STATE_LABEL) != LEAVING:
        raise CommandError(
            f"{name} is not leaving in this cluster", f"Run `./saas tenant leave {name} --keep 30d` and update first."
        )
    volumes = [
        {
            "claim": volume["spec"]["claimRef"]["name"],
            "volume": volume["metadata"]["name"],
            "id": volume["spec"].get("csi", {}).get("volumeHandle"),
        }
        for volume in _items(api, "/api/v1/persistentvolumes")
        if volume["spec"].get("claimRef", {}).get("namespace") == name
    ]
    objects = [
        _lasting(item, version, kind)
        for version, kind, path in _kinds(api, name)
        for item in sorted(_items(api, path), key=lambda item: item["metadata"]["name"])
    ]
    # No date, so that the same objects have the same checksum.
    return {"tenant": name, "uid": namespace["metadata"]["uid"], "volumes": volumes, "objects": objects}


def _kinds(api: Api, namespace: str) -> Iterator[tuple[str, str, str]]:
    """API version, kind and path of all kinds of objects in the namespace."""
    groups = cast("list[Object]", (api.get("/apis") or {}).get("groups", []))
    versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]
    for version in versions:
        root = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        for resource in (api.get(root) or {}).get("resources", []):
            kind = resource["name"]
            if resource["namespaced"] and {"list", "create"} <= {*resource["verbs"]} and kind not in LEFT_OUT:
                yield version, resource["kind"], f"{root}/namespaces/{namespace}/{kind}"


def _items(api: Api, path: str) -> list[Object]:
    return (api.get(path) or {}).get("items", [])


def _lasting(item: Object, version: str, kind: str) -> Object:
    metadata = {
        key: value for key, value in item["metadata"].items() if key not in ("managedFields", "resourceVersion")
    }
    kept = {key: value for key, value in item.items() if key != "status"}
    return {**kept, "apiVersion": version, "kind": kind, "metadata": metadata}
