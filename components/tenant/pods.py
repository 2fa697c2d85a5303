"""Ends the pods of a suspended tenant that outlive its workloads' patches: of charts, and of products that escape them.

The quota admits no new pod by then, so they have to be ended only once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import pulumi

from components.kubectl import KubectlError, kubectl

ORDERLY_SECONDS = 30
"""How long Flux and Kubernetes' controllers have to end the pods in their order."""
RUNNING = "status.phase!=Succeeded,status.phase!=Failed"


def end_pods(kubeconfig: pulumi.Input[str], namespace: str, after: Sequence[pulumi.CustomResource]) -> None:
    """Delete the pods that run in a namespace 30 s after these resources were updated; a preview deletes none."""
    if pulumi.runtime.is_dry_run():
        return

    async def end(given: Sequence[str]) -> None:
        # Other resources are registered meanwhile.
        await asyncio.to_thread(_end, given[0], namespace)

    pulumi.Output.all(kubeconfig, *(resource.id for resource in after)).apply(end)


def _end(kubeconfig: str, namespace: str) -> None:
    path, deadline = f"/api/v1/namespaces/{namespace}/pods?fieldSelector={RUNNING}", time.monotonic() + ORDERLY_SECONDS
    try:
        while found := json.loads(kubectl(kubeconfig, "get", "--raw", path))["items"]:
            if time.monotonic() > deadline:
                kubectl(kubeconfig, "delete", "--raw", path)
                pulumi.log.info(f"{namespace} is suspended: deleted {len(found)} pods that its product kept running.")
                return
            time.sleep(1)
    except KubectlError as error:
        raise pulumi.RunError(
            f"{namespace} is suspended, and whether its pods have ended is unknown: {error}. Repeat the update with "
            "rights to list and delete pods."
        ) from error
