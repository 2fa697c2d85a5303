"""Preflight check: whether the cluster has objects that the update would take over or cannot replace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pulumi

from components.configuration import Configuration, refusal
from components.kubectl import KubectlError, kubectl
from components.product.moves import keep_objects_of_moving_tenants
from model.config.errors import Problem
from model.kubernetes import ownership
from model.kubernetes.manifests import OWNER_LABEL
from model.kubernetes.stored_versions import stored_version_problems

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?labelSelector=app.kubernetes.io/part-of=flux"

Preflight = Callable[[str], str]
"""Returns the kubeconfig that it was given. Raises pulumi.RunError with what has to be done first."""


def preflight_check(configuration: Configuration) -> Preflight:
    """The check of a stack. The provider of the cluster gets its kubeconfig from it, so nothing in there comes before.

    A preview without rights in the cluster finds nothing out; the update, which has them, does.
    """

    def check(kubeconfig: str) -> str:
        problems: list[Problem] = []
        try:
            problems.extend(_problems(kubeconfig, configuration))
        except KubectlError as error:
            pulumi.log.info(f"Not checked what exists in the cluster already: {error}")
        if problems:
            raise refusal(problems)
        if not pulumi.runtime.is_dry_run():
            keep_objects_of_moving_tenants(kubeconfig, configuration)
        return kubeconfig

    return check


def _problems(kubeconfig: str, configuration: Configuration) -> Iterator[Problem]:
    settings, tenants = configuration.settings, configuration.tenant_list
    stack_file = configuration.stack_file
    listed = json.loads(kubectl(kubeconfig, "get", "--raw", "/api/v1/namespaces"))
    namespaces = {item["metadata"]["name"]: item["metadata"] for item in listed.get("items", [])}
    yield from ownership.namespace_problems(namespaces, settings, tenants, stack_file)
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
