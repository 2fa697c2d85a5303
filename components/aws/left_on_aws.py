"""Load balancers and volumes that Kubernetes made on AWS have to be gone before their cluster is deleted.

Their controllers end with the cluster, and what these have not deleted by then stays on AWS: a load balancer keeps its
subnets from being deleted, and a volume costs until a person finds it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.kubectl import KubectlError, kubectl

HOOK = "left-on-aws"
WAIT_SECONDS = 600.0
POLL_SECONDS = 3.0

VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "/api/v1/persistentvolumeclaims"
BALANCED = {
    "/api/v1/services": "Service",
    "/apis/networking.k8s.io/v1/ingresses": "Ingress",
    "/apis/gateway.networking.k8s.io/v1/gateways": "Gateway",
    "/apis/elbv2.k8s.aws/v1beta1/targetgroupbindings": "TargetGroupBinding",
    "/apis/eks.amazonaws.com/v1/targetgroupbindings": "TargetGroupBinding",
}
"""Kinds for which controllers make load balancers, their targets or security group rules, by the path of their list."""
CONTROLLERS = ("k8s.aws", "eks.amazonaws.com")
"""Ends of the domains in finalizers of the AWS Load Balancer Controller, and of that of Auto Mode."""
PROVISIONED = "pv.kubernetes.io/provisioned-by"
"""Annotation of a volume that a driver has made. It deletes no other."""

REMEDY = (
    "Delete these objects with kubectl, a volume by its claim, and repeat the command. To keep a volume, set its "
    "persistentVolumeReclaimPolicy to Retain. If an object stays although it was deleted, the controller that has to "
    "delete it on AWS may be gone: do that by hand, then remove the object's finalizers."
)
UNREACHABLE = (
    "The cluster does not tell whether it still has load balancers and volumes on AWS: {error}\nRepeat the command "
    "when it answers. If it does not exist any more, look for them on AWS, then run: pulumi state delete '{urn}'"
)


@dataclass(frozen=True)
class Left:
    """An object for which AWS has something."""

    name: str
    deleted: bool
    """Whether its deletion is under way."""

    def __str__(self) -> str:
        return f"{self.name} (being deleted)" if self.deleted else self.name


def deletion_hook() -> pulumi.ResourceHookBinding:
    """For the provider of a cluster that the stack deletes: the provider goes after all objects, before the cluster.

    The engine refuses a `pulumi destroy` that does not run the program, and with it the hook.
    """
    return pulumi.ResourceHookBinding(before_delete=[pulumi.ResourceHook(HOOK, _wait)])


async def _wait(args: pulumi.ResourceHookArgs) -> None:
    kubeconfig = str((args.old_inputs or {})["kubeconfig"])
    try:
        await wait_until_gone(kubeconfig)
    except KubectlError as error:
        raise pulumi.RunError(UNREACHABLE.format(error=error, urn=args.urn)) from error


async def wait_until_gone(kubeconfig: str, seconds: float = WAIT_SECONDS, pause: float = POLL_SECONDS) -> None:
    """Wait for what is being deleted. Raises pulumi.RunError for everything else, and what takes too long."""
    deadline = time.monotonic() + seconds
    before: list[Left] = []
    while left := await asyncio.to_thread(_ask, kubeconfig):
        if time.monotonic() > deadline or not all(each.deleted for each in left):
            listed = "".join(f"\n  - {each}" for each in left)
            raise pulumi.RunError(f"AWS still has what Kubernetes made for these objects:{listed}\n{REMEDY}")
        if left != before:
            pulumi.log.info(f"Waiting until AWS has nothing left of {', '.join(each.name for each in left)}")
        before = left
        await asyncio.sleep(pause)


def _ask(kubeconfig: str) -> list[Left]:
    return list(left_on_aws({path: _items(kubeconfig, path) for path in (*BALANCED, VOLUMES, CLAIMS)}))


def _items(kubeconfig: str, path: str) -> list[dict[str, Any]]:
    try:
        return json.loads(kubectl(kubeconfig, "get", "--raw", path))["items"]
    except KubectlError as error:
        if "NotFound" in str(error):  # the cluster does not have this kind
            return []
        raise


def left_on_aws(lists: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Left]:
    """The objects, by the paths of their lists, for which AWS has something that goes with them."""
    for path, kind in BALANCED.items():
        for item in lists[path]:
            if _is_balanced(item):
                name = f"{kind} {item['metadata']['namespace']}/{item['metadata']['name']}"
                yield Left(f"{name}{_address(item)}", "deletionTimestamp" in item["metadata"])
    claims = {
        (item["metadata"]["namespace"], item["metadata"]["name"])
        for item in lists[CLAIMS]
        if "deletionTimestamp" not in item["metadata"]
    }
    for item in lists[VOLUMES]:
        metadata, spec = item["metadata"], item["spec"]
        if spec["persistentVolumeReclaimPolicy"] == "Delete" and PROVISIONED in metadata.get("annotations", {}):
            claim = spec.get("claimRef", {})
            owner = (claim.get("namespace"), claim.get("name"))
            volume = spec.get("csi", {}).get("volumeHandle", "")
            name = f"PersistentVolume {metadata['name']} of the claim {owner[0]}/{owner[1]}"
            yield Left(name + (f", {volume}" if volume else ""), owner not in claims)


def _is_balanced(item: Mapping[str, Any]) -> bool:
    finalizers = item["metadata"].get("finalizers", ())
    return item.get("spec", {}).get("type") == "LoadBalancer" or any(
        finalizer.partition("/")[0].endswith(CONTROLLERS) for finalizer in finalizers
    )


def _address(item: Mapping[str, Any]) -> str:
    status = item.get("status", {})
    for address in (*status.get("loadBalancer", {}).get("ingress", ()), *status.get("addresses", ())):
        return f", {address.get('hostname') or address.get('ip') or address.get('value')}"
    return ""
