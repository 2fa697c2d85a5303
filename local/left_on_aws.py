"""A load balancer and a volume that Kubernetes makes on AWS: objects of a person, and what the volume's driver does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from local import aws, backup, controlplane
from local.home import Home

SERVICE, CLAIM, VOLUME = "ingress", "database", "pvc-of-the-database"
_NAMESPACE = "/api/v1/namespaces/default"
_VOLUME = f"/api/v1/persistentvolumes/{VOLUME}"
_SIZE = {"storage": "8Gi"}
_ACCESS = {"accessModes": ["ReadWriteOnce"], "storageClassName": backup.STORAGE_CLASS}
_POLL_SECONDS = 1.0


def make(home: Home) -> None:
    """Create the objects, with what they have once the controllers have seen them."""
    api = controlplane.administrator(home)
    made = backup.create_volume(home, aws.session(home), "default")
    port = {"port": 443, "protocol": "TCP"}
    api.create(
        f"{_NAMESPACE}/services",
        {"metadata": {"name": SERVICE}, "spec": {"type": "LoadBalancer", "ports": [port]}},
    )
    claim = {"volumeName": VOLUME, "resources": {"requests": _SIZE}, **_ACCESS}
    api.create(f"{_NAMESPACE}/persistentvolumeclaims", {"metadata": {"name": CLAIM}, "spec": claim})
    driver = "ebs.csi.eks.amazonaws.com"
    api.create(
        "/api/v1/persistentvolumes",
        {
            "metadata": {"name": VOLUME, "annotations": {"pv.kubernetes.io/provisioned-by": driver}},
            "spec": {
                "capacity": _SIZE,
                "claimRef": {"namespace": "default", "name": CLAIM},
                "csi": {"driver": driver, "volumeHandle": made["VolumeId"]},
                "persistentVolumeReclaimPolicy": "Delete",
                **_ACCESS,
            },
        },
    )


def delete(home: Home) -> None:
    """Delete the Service and the claim, as a person does."""
    api = controlplane.administrator(home)
    api.delete(f"{_NAMESPACE}/services/{SERVICE}")
    api.delete(f"{_NAMESPACE}/persistentvolumeclaims/{CLAIM}")


@contextmanager
def driver(home: Home, may_delete: Callable[[], bool]) -> Iterator[None]:
    """Run the volume's driver: it deletes the volume of the deleted claim, as late as `may_delete` lets it."""
    ends = threading.Event()

    def run() -> None:
        while not may_delete():
            if ends.is_set():
                return
            time.sleep(_POLL_SECONDS)
        api, session = controlplane.administrator(home), aws.session(home)
        volume = api.get(_VOLUME) or {}
        session.call("ec2", "delete_volume", VolumeId=volume["spec"]["csi"]["volumeHandle"])
        api.delete(_VOLUME)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
