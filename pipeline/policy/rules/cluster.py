"""Rules about EKS clusters, their nodes and Kubernetes providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .resource import Hidden, Resource

CLUSTER = "aws:eks/cluster:Cluster"
COMPONENT = "eks:index:Cluster"
"""The pulumi-eks component, which takes the settings of a cluster under other names."""

LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
KUBERNETES_PROVIDER = "pulumi:providers:kubernetes"
LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")


def control_plane_logs(resource: Resource) -> Iterator[str]:
    """A cluster writes all logs of its control plane."""
    if resource.type not in (CLUSTER, COMPONENT):
        return
    enabled = resource.get("enabledClusterLogTypes")
    if isinstance(enabled, Hidden):
        return
    if missing := [kind for kind in LOG_TYPES if kind not in (enabled or [])]:
        yield f"it does not write {', '.join(missing)}: add them to enabledClusterLogTypes."


def standard_support(resource: Resource) -> Iterator[str]:
    """A cluster is upgraded when its version leaves standard support; extended support costs six times as much."""
    if resource.type not in (CLUSTER, COMPONENT):
        return
    support = resource.get("upgradePolicy", "supportType")
    if not isinstance(support, Hidden) and support != "STANDARD":
        yield f"its upgradePolicy is {support or 'not set, which means EXTENDED'}: set supportType to STANDARD."


def api_authentication(resource: Resource) -> Iterator[str]:
    """Access to a cluster is granted by access entries, not by the aws-auth ConfigMap."""
    if resource.type not in (CLUSTER, COMPONENT):
        return
    path = ("authenticationMode",) if resource.type == COMPONENT else ("accessConfig", "authenticationMode")
    mode = resource.get(*path)
    if not isinstance(mode, Hidden) and mode != "API":
        yield f"its authentication mode is {mode or 'not set, which means CONFIG_MAP'}: set authenticationMode to API."


def instance_metadata(resource: Resource) -> Iterator[str]:
    """Pods cannot get their node's credentials: instance metadata requires tokens (IMDSv2) and has a hop limit of 1."""
    if resource.type == LAUNCH_TEMPLATE:
        tokens = resource.get("metadataOptions", "httpTokens")
        hops = resource.get("metadataOptions", "httpPutResponseHopLimit")
        if not isinstance(tokens, Hidden) and tokens != "required":
            yield "instance metadata answers without a token: set metadataOptions.httpTokens to required."
        if not isinstance(hops, Hidden) and hops != 1:
            yield "instance metadata answers to pods: set metadataOptions.httpPutResponseHopLimit to 1."
    if resource.type == "aws:eks/nodeGroup:NodeGroup" and not resource.get("launchTemplate"):
        yield "EKS' own launch template answers to pods: give the group one with a hop limit of 1."


def cluster_identifier(resource: Resource) -> Iterator[str]:
    """A Kubernetes provider has a cluster identifier, so that a changed kubeconfig replaces nothing."""
    # pulumi-eks makes its own provider, which cannot be configured.
    if resource.type != KUBERNETES_PROVIDER or COMPONENT in resource.urn:
        return
    if not resource.get("clusterIdentifier"):
        yield "a changed kubeconfig would replace everything it made: set clusterIdentifier to the cluster's name."


def encrypted_disks(resource: Resource) -> Iterator[str]:
    """Unencrypted disks of a launch template; a part of the rule encrypted_stores."""
    mappings = resource.get("blockDeviceMappings")
    if isinstance(mappings, Hidden):
        return
    if not mappings:
        yield "its nodes' disks are as the image has them: name the root device with encrypted: true."
    for mapping in resource.items("blockDeviceMappings"):
        disk = mapping.get("ebs") if isinstance(mapping, Mapping) else None
        encrypted = disk.get("encrypted") if isinstance(disk, Mapping) else disk
        if not isinstance(encrypted, Hidden) and encrypted not in (True, "true"):
            yield f"the disk {mapping.get('deviceName')} is not encrypted: set ebs.encrypted to true."
