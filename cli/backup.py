"""`./saas tenant backup`: a tenant's objects as a file, its volumes by AWS Backup, the checksum in tenants.yaml."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import typer

from cli import aws, pulumi, tenants_file, yaml_edit
from cli.errors import CommandError
from cli.status import Kubeconfig, Kubectl
from cli.tenants import CHECKOUT, DryRun, File, Json, Known, Pr, entry_of, finish
from model.config.departures import LEAVING
from model.config.names import STATE_LABEL
from model.iam.boundary import TENANT_TAG

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
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write. It has the tenant's Secrets.")
    ] = None,
    kept_at: Annotated[
        str | None, typer.Option(metavar="URL", help="Where you copy the file to, such as s3://…; default: FILE.")
    ] = None,
    stack: Annotated[
        str | None, typer.Option(help="A stack on AWS with `backup`: its bucket gets the file, its vault the volumes.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Write all objects of a tenant that leaves, and the ids of its volumes, to a file, and record its checksum.

    With --stack the file goes to the stack's bucket, and AWS Backup copies everything of the stack that has the tag
    `tenant`. Without, the volumes' contents are yours to back up before you purge the tenant.

    \b
    ./saas tenant backup acme --stack prod-eu --pr
    ./saas tenant backup acme --to acme.json --kept-at s3://acme-backups/acme.json
    """
    if (to is None and stack is None) or (kept_at and stack):
        remedy = "Write --stack STACK for a stack on AWS, or --to FILE and perhaps --kept-at URL."
        raise CommandError("the backup has no place, or two", remedy)
    if not any(tenant.name == name and tenant.leaving for tenant in tenants_file.load(file).tenants):
        remedy = f"Run `./saas tenant leave {name} --keep 30d`, update, and back it up then."
        raise CommandError(f"{name} is not leaving", remedy)
    store = _store(stack) if stack else None
    found = snapshot(Kubectl(kubeconfig), name)
    content = json.dumps(found, indent=1, sort_keys=True).encode()
    checksum = hashlib.sha256(content).hexdigest()
    record = {"id": store.address(name, checksum) if store else kept_at or str(to), "sha256": checksum}

    def edit(text: str) -> str:
        index, entry = entry_of(text, file, name)
        before = entry["leaving"].get("backup") or {}
        if all(before.get(key) == value for key, value in record.items()):
            return text
        return yaml_edit.set_value(text, ("tenants", index, "leaving", "backup"), record)

    if not dry_run:
        # All of it before the checksum is recorded.
        if to:
            with open(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
                written.write(content)
        if store:
            for copied, job in store.keep(name, content, checksum, found["volumes"]).items():
                typer.echo(f"AWS Backup copies {copied}: job {job}", err=True)
    finish(name, "backup", edit, file, dry_run=dry_run, preview=False, stack=None, pr=pr, as_json=as_json)


@dataclass(frozen=True)
class Store:
    """Where a stack on AWS keeps backups."""

    region: str
    bucket: str
    vault: str
    role: str
    """The role that AWS Backup copies volumes as."""
    tags: Mapping[str, str]
    """Tags of what belongs to the stack."""

    def address(self, tenant: str, checksum: str) -> str:
        """The file's address. None of its folders has the tenant's name: it could be the tenant's by its boundary."""
        return f"s3://{self.bucket}/tenant={tenant}/{checksum}.json"

    def keep(self, tenant: str, content: bytes, checksum: str, volumes: Sequence[Object]) -> Mapping[str, str]:
        """Store the file, and start to copy what has the tenant's tag. Returns the jobs by what they copy.

        The same content again starts no other job and stores no other version.
        """
        wanted = {TENANT_TAG: tenant, **self.tags}
        kinds = ("--resource-type-filters", "ec2:volume", "elasticfilesystem:file-system")
        filters = json.dumps([{"Key": key, "Values": [value]} for key, value in wanted.items()])
        tagged = aws.call(self.region, "resourcegroupstaggingapi", "get-resources", *kinds, "--tag-filters", filters)
        found = sorted(each["ResourceARN"] for each in tagged["ResourceTagMappingList"])
        ids = {arn.rpartition("/")[2] for arn in found}
        # An access point's id follows that of its file system.
        if missed := [each["id"] for each in volumes if each["id"] and each["id"].partition("::")[0] not in ids]:
            tags = ", ".join(f"{key}={value}" for key, value in wanted.items())
            message = f"AWS Backup would not copy {', '.join(missed)} of {tenant}: the tags are missing"
            raise CommandError(message, f"Tag them {tags}, if they are the tenant's.")
        self._upload(self.address(tenant, checksum).removeprefix(f"s3://{self.bucket}/"), content)
        return {arn: self._copy(arn, checksum) for arn in found}

    def _upload(self, key: str, content: bytes) -> None:
        with tempfile.NamedTemporaryFile() as file:  # for its owner only
            file.write(content)
            file.flush()
            new = ("--checksum-algorithm", "SHA256", "--if-none-match", "*")
            try:
                aws.call(
                    self.region, "s3api", "put-object", "--bucket", self.bucket, "--key", key, "--body", file.name, *new
                )
            except aws.RefusedError as error:
                if error.code != "PreconditionFailed":  # it is there already
                    raise

    def _copy(self, arn: str, checksum: str) -> str:
        what = ("--backup-vault-name", self.vault, "--resource-arn", arn, "--iam-role-arn", self.role)
        token = hashlib.sha256(f"{arn} {checksum}".encode()).hexdigest()
        return aws.call(self.region, "backup", "start-backup-job", *what, "--idempotency-token", token)["BackupJobId"]


def _store(stack: str) -> Store:
    outputs = pulumi.outputs(CHECKOUT, stack)
    if "backups" not in outputs:
        remedy = "Set `backup` in its `aws` and update it; with shards name the platform's stack. Or write --to FILE."
        raise CommandError(f"{stack} keeps no backups", remedy)
    return Store(region=outputs["aws"]["region"], **outputs["backups"])


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
