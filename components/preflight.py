"""Preflight check: whether the cluster has objects that the update would take over or cannot replace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi

from components.configuration import Configuration, refusal
from components.kubectl import KubectlError, kubectl
from components.product.moves import keep_objects_of_moving_tenants
from components.tenant.volumes import keep_volumes_of_leaving_tenants
from model.config.errors import Problem
from model.kubernetes import ownership
from model.kubernetes.manifests import OWNER_LABEL
from model.kubernetes.stored_versions import stored_version_problems

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?labelSelector=app.kubernetes.io/part-of=flux"
ANOTHER_CLUSTER = (
    "{kubeconfig} leads to another cluster than that of the last update: its namespace kube-system has the uid {now}, "
    "not {then}. Correct the kubeconfig; another cluster needs a stack of its own. If this one was made anew, run "
    "`pulumi destroy` before: it forgets the former one."
)


class Preflight:
    """The check of a stack. The provider of the cluster gets its kubeconfig from it, so nothing in there comes before.

    A preview without rights in the cluster finds nothing out; the update, which has them, does.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        known = configuration.earlier.get("cluster") or configuration.platform.get("cluster", {})
        self.cluster_uid = str(known.get("uid", ""))
        """Of the namespace kube-system, which tells clusters apart: that of the last update until the check. A new
        shard has its platform's."""

    def __call__(self, kubeconfig: str) -> str:
        """The kubeconfig that is given. Raises pulumi.RunError with what has to be done first."""
        problems: list[Problem] = []
        try:
            namespaces = _namespaces(kubeconfig)
            found = str(namespaces.get("kube-system", {}).get("uid", ""))
            if self.cluster_uid and found != self.cluster_uid:
                raise pulumi.RunError(ANOTHER_CLUSTER.format(kubeconfig=kubeconfig, now=found, then=self.cluster_uid))
            self.cluster_uid = found
            problems.extend(_problems(kubeconfig, namespaces, self._configuration))
        except KubectlError as error:
            pulumi.log.info(f"Not checked what exists in the cluster already: {error}")
        if problems:
            raise refusal(problems)
        if not pulumi.runtime.is_dry_run():
            keep_objects_of_moving_tenants(kubeconfig, self._configuration)
            keep_volumes_of_leaving_tenants(kubeconfig, self._configuration)
        return kubeconfig


def _namespaces(kubeconfig: str) -> dict[str, Any]:
    listed = json.loads(kubectl(kubeconfig, "get", "--raw", "/api/v1/namespaces"))
    return {item["metadata"]["name"]: item["metadata"] for item in listed.get("items", [])}


def _problems(kubeconfig: str, namespaces: Mapping[str, Any], configuration: Configuration) -> Iterator[Problem]:
    settings, tenants = configuration.settings, configuration.tenant_list
    stack_file = configuration.stack_file
    yield from ownership.namespace_problems(namespaces, settings, tenants, stack_file)
    yield from ownership.departure_problems(namespaces, settings.cluster, configuration.everyone)
    if not settings.is_shard:
        definitions = json.loads(kubectl(kubeconfig, "get", "--raw", DEFINITIONS)).get("items", [])
        for problem in stored_version_problems(definitions, configuration.flux.definitions):
            yield stack_file.problem(("fluxManifest",), *problem)
    for index, tenant in enumerate(tenants.tenants):
        if tenant.adopt and tenant.name in namespaces:
            yield from ownership.object_problems(index, _others(kubeconfig, tenant.name), settings, tenants)


def _others(kubeconfig: str, namespace: str) -> list[tuple[str, str]]:
    """Kind and name of a namespace's objects that are not the platform's."""
    owner = OWNER_LABEL.replace(".", r"\.")
    template = f'{{range .items[*]}}{{.kind}},{{.metadata.name}},{{.metadata.labels.{owner}}}{{"\\n"}}{{end}}'
    answer = kubectl(
        kubeconfig, "get", ",".join(ownership.KINDS), "--namespace", namespace, "--output", f"jsonpath={template}"
    )
    rows = (line.split(",") for line in answer.splitlines())
    return [(kind, name) for kind, name, owned in rows if not owned]
