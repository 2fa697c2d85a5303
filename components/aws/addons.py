"""EKS add-ons, with roles of their own where their pods act on AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.aws.roles import create_role
from model.config.aws import ADDON_ROLES, OBSERVABILITY, AddonSettings
from model.iam.documents import pod_identity_trust

BEFORE_NODES = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
"""Add-ons that a node needs to become ready; all others need nodes to run on."""
OWN_VALUES: Mapping[str, Mapping[str, Any]] = {"vpc-cni": {"enableNetworkPolicy": "true"}}
"""What the program needs of an add-on; the stack's settings are merged over it."""
ROLES: Mapping[str, str] = {OBSERVABILITY: "cloudwatch"}
"""Shorter ends of roles' names, which have 64 characters at most."""


@dataclass(frozen=True)
class AddonArgs:
    """An add-on, and the cluster that it belongs to."""

    context: AwsContext
    cluster_name: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    settings: AddonSettings
    values: Mapping[str, Any]
    """Configuration that the program computes, under the settings' own."""


def create_addon(
    prefix: str, name: str, args: AddonArgs, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource]
) -> aws.eks.Addon:
    """The add-on, after its role. `prefix` begins the logical names."""
    settings, context = args.settings, args.context
    values = merged(merged(OWN_VALUES.get(name, {}), args.values), settings.configuration)
    identities, attachments = None, ()
    namespace, account, policy = ADDON_ROLES.get(name, ("", "", ""))
    if settings.service_account:
        namespace, account = settings.namespace, settings.service_account
    if account:
        policies = settings.policies or [policy]
        role, attachments = create_role(
            f"{prefix}-{name}",
            context,
            parent,
            role=ROLES.get(name, name),
            trust=pulumi.Output.from_input(args.cluster_arn).apply(
                lambda arn: pod_identity_trust(context.account, arn, namespace, account)
            ),
            # The first one has the add-on's name alone, as before there could be more.
            policies={f"{prefix}-{name}": policies[0]}
            | {f"{prefix}-{name}-{arn.rpartition('/')[2]}": arn for arn in policies[1:]},
        )
        identities = [aws.eks.AddonPodIdentityAssociationArgs(service_account=account, role_arn=role.arn)]
    return aws.eks.Addon(
        f"{prefix}-{name}",
        cluster_name=args.cluster_name,
        addon_name=name,
        addon_version=settings.version,
        configuration_values=json.dumps(values, sort_keys=True) if values else None,
        pod_identity_associations=identities,
        resolve_conflicts_on_create="NONE" if settings.conflicts == "none" else "OVERWRITE",
        # A tuned CoreDNS (Corefile, replicas) survives an upgrade.
        resolve_conflicts_on_update="PRESERVE" if name == "coredns" else settings.conflicts.upper(),
        opts=context.child(parent, depends_on=[*depends_on, *attachments]),
    )


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings merged; other values of `over` win."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return result
