"""`./saas tenant check-backup`: a tenant's backup restored as a test, compared, and the day recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from cli import backup, tenants_file, yaml_edit
from cli.backup import Object
from cli.errors import CommandError
from cli.status import Kubeconfig, Kubectl
from cli.tenants import CHECKOUT, DryRun, File, Json, Known, Pr, entry_of, finish, today
from model.config.names import PREFIX

TEST_LABEL = f"{PREFIX}restore-test"
"""Label of the namespaces that a test makes. Tenants cannot write namespaces."""
EVERYWHERE = {("v1", "ConfigMap", "kube-root-ca.crt"), ("v1", "ServiceAccount", "default")}
"""Objects that Kubernetes makes in each namespace."""
OF_THE_JOB = ("batch.kubernetes.io/controller-uid", "controller-uid")
"""Labels by which a Job finds its pods: each Job gets its own."""


class Api(backup.Api, Protocol):
    """A cluster's API, in which objects are made, too."""

    def create(self, objects: Sequence[Object], *, dry_run: bool = False) -> tuple[list[Object], list[str]]:
        """The objects that the cluster made, or would make, and why it refused others."""
        ...

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace, and wait until it is gone."""
        ...


def check_backup(
    name: Known,
    source: Annotated[Path, typer.Option("--from", metavar="FILE", help="The file that `./saas tenant backup` wrote.")],
    volumes_restored: Annotated[
        bool, typer.Option("--volumes-restored", help="You have restored its volumes, and read them.")
    ] = False,
    kubeconfig: Kubeconfig = None,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Restore a tenant's backup as a test, compare it with the file, and record the day, so that it may be purged.

    ConfigMaps and Secrets are made in a new namespace, which is deleted afterwards; the API server checks all other
    objects without storing them: controllers would act on them. The cluster can be another one.

    \b
    ./saas tenant check-backup acme --from acme.json --volumes-restored --pr
    """
    tenant = next((tenant for tenant in tenants_file.load(file).tenants if tenant.name == name), None)
    record = tenant.leaving.backup if tenant and tenant.leaving else None
    if record is None or record.sha256 is None:
        remedy = f"Run `./saas tenant backup {name} --to {source}` first."
        raise CommandError(f"no backup of {name} is recorded with its checksum", remedy)
    content = _content(source, name, record.sha256)
    if content["volumes"] and not volumes_restored:
        volumes = ", ".join(volume["id"] or volume["volume"] for volume in content["volumes"])
        remedy = "Restore them as docs/operation.md says, look at their files, and add --volumes-restored."
        raise CommandError(f"{name} has volumes, which the file does not have: {volumes}", remedy)
    if found := list(differences(Kubectl(kubeconfig), name, content["objects"])):
        listed = "".join(f"\n  - {difference}" for difference in found)
        raise CommandError(f"the backup cannot be restored as it is:{listed}", "Back the tenant up again, or mend it.")

    def edit(text: str) -> str:
        index, entry = entry_of(text, file, name)
        recorded = entry["leaving"].get("backup") or {}
        if recorded.get("sha256") != record.sha256:
            raise CommandError(f"another backup of {name} was recorded meanwhile", "Check that one.")
        if recorded.get("restored"):
            return text
        return yaml_edit.set_value(text, ("tenants", index, "leaving", "backup", "restored"), today())

    finish(name, "check-backup", edit, file, dry_run=dry_run, preview=False, stack=None, pr=pr, as_json=as_json)


def _content(source: Path, name: str, checksum: str) -> Object:
    """A backup of this tenant with this checksum."""
    try:
        content = source.read_bytes()
    except OSError as error:
        raise CommandError(f"{source} cannot be read: {error.strerror}", "Name the file with --from.") from None
    found = hashlib.sha256(content).hexdigest()
    if found != checksum:
        message = f"{source} is not the backup that is recorded: its checksum is {found}, not {checksum}"
        raise CommandError(message, "Fetch it again from where it is kept, or make another backup.")
    written = json.loads(content)
    if written["tenant"] != name:
        raise CommandError(f"{source} is a backup of {written['tenant']}", f"Make one of {name}.")
    return written


def differences(api: Api, name: str, objects: Sequence[Object]) -> Iterator[str]:
    """What a test of restoring these objects shows: refusals, and fields that come back with another value."""
    for left in (api.get(f"/api/v1/namespaces?labelSelector={TEST_LABEL}={name}") or {}).get("items", []):
        api.delete_namespace(left["metadata"]["name"])  # of a test that was killed
    metadata = {"generateName": "restore-test-", "labels": {TEST_LABEL: name}}
    made, refused = api.create([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
    if refused:
        raise CommandError(f"the cluster makes no namespace: {refused[0]}", "Use a kubeconfig that may.")
    namespace = made[0]["metadata"]["name"]
    try:
        wanted = [_again(each, namespace) for each in objects if _key(each) not in EVERYWHERE]
        stored = [_inert(each) for each in wanted if _is_data(each)]
        checked = [each for each in wanted if not _is_data(each)]
        _, refusals = api.create(stored)
        yield from refusals
        kinds = {each["kind"]: f"/api/v1/namespaces/{namespace}/{each['kind'].lower()}s" for each in stored}
        listed = {kind: (api.get(path) or {}).get("items", []) for kind, path in kinds.items()}
        read = [{**item, "apiVersion": "v1", "kind": kind} for kind, items in listed.items() for item in items]
        yield from _missing_fields(stored, read)
        if checked:
            answers, refusals = api.create(checked, dry_run=True)
            yield from refusals
            yield from _missing_fields(checked, answers, refused=bool(refusals))
    finally:
        api.delete_namespace(namespace)


def _missing_fields(wanted: Sequence[Object], found: Sequence[Object], *, refused: bool = False) -> Iterator[str]:
    """Fields of objects that are not there, or not the same. After refusals, objects may be missing."""
    by_key = {_key(each): each for each in found}
    for each in wanted:
        actual, shown = by_key.get(_key(each)), f"{each['kind']} {each['metadata']['name']}"
        if actual is None:
            if not refused:
                yield f"{shown} is missing"
            continue
        for field in each.keys() - {"apiVersion", "kind", "metadata"}:
            if not _contains(actual.get(field), each[field]):
                yield f"{shown} has another {field}"


def _contains(actual: Any, wanted: Any) -> bool:
    """Whether a value has all that is wanted; the API server adds defaults."""
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(_contains(actual.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        alike = isinstance(actual, list) and len(actual) == len(wanted)
        return alike and all(map(_contains, actual, wanted))
    return actual == wanted


def _key(item: Object) -> tuple[str, str, str]:
    return item["apiVersion"], item["kind"], item["metadata"]["name"]


def _is_data(item: Object) -> bool:
    """Whether it can be stored without a controller that acts on it."""
    if item["apiVersion"] != "v1" or item.get("type") == "kubernetes.io/service-account-token":
        return False
    return item["kind"] in ("ConfigMap", "Secret")


def _inert(item: Object) -> Object:
    """An object without the labels, annotations and finalizers by which the tenant could steer others."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace")}
    return {**item, "metadata": metadata}


def _again(item: Object, namespace: str) -> Object:
    """An object as somebody would make it in another namespace: without what the cluster gave the old one."""
    kept = {key: value for key, value in item["metadata"].items() if key in ("name", "labels", "annotations")}
    made = {**item, "metadata": {**kept, "namespace": namespace}}
    match item["apiVersion"], item["kind"]:
        case "v1", "Service":
            gone = ("healthCheckNodePort", *(() if item["spec"].get("clusterIP") == "None" else _ADDRESSES))
            spec = {key: value for key, value in item["spec"].items() if key not in gone}
            ports = [{key: value for key, value in port.items() if key != "nodePort"} for port in spec.get("ports", [])]
            made["spec"] = {**spec, "ports": ports}
        case "batch/v1", "Job" if not item["spec"].get("manualSelector"):
            spec = {key: value for key, value in item["spec"].items() if key != "selector"}
            made["metadata"] = {**made["metadata"], "labels": _without(kept.get("labels", {}))}
            of_pods = spec["template"].get("metadata", {})
            template = {**spec["template"], "metadata": {**of_pods, "labels": _without(of_pods.get("labels", {}))}}
            made["spec"] = {**spec, "template": template}
        case _:
            pass
    return made


_ADDRESSES = ("clusterIP", "clusterIPs")


def _without(labels: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key not in OF_THE_JOB}
