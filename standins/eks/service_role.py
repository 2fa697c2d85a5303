"""The component `eks:index:ServiceRole`: a role that an AWS service assumes, with managed policies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import pulumi
import pulumi_aws as aws


class ServiceRole(pulumi.ComponentResource):
    """`role`, and `ready`: the resources that have to exist before the service can use the role."""

    def __init__(
        self,
        name: str,
        *,
        service: str,
        partition: pulumi.Output[str],
        policies: Sequence[str],
        actions: Sequence[str] = ("sts:AssumeRole",),
        description: str | None = None,
        tags: pulumi.Input[dict[str, str]] | None = None,
        parent: pulumi.Resource,
    ) -> None:
        super().__init__("eks:index:ServiceRole", name, None, pulumi.ResourceOptions(parent=parent))
        statement = {"Action": list(actions), "Effect": "Allow", "Principal": {"Service": [service]}}
        opts = pulumi.ResourceOptions(parent=self)
        self.role = aws.iam.Role(
            f"{name}-role",
            description=description,
            assume_role_policy=_json({"Version": "2012-10-17", "Statement": [statement]}),
            tags=tags,
            opts=opts,
        )
        self.ready: list[pulumi.Resource] = [self.role]
        for policy in policies:
            # The name comes from the policy as it is called in the standard partition, wherever the role is.
            suffix = hashlib.sha1(f"arn:aws:iam::aws:policy/{policy}".encode(), usedforsecurity=False).hexdigest()[:8]
            arn = partition.apply(lambda where, policy=policy: f"arn:{where}:iam::aws:policy/{policy}")
            self.ready.append(
                aws.iam.RolePolicyAttachment(f"{name}-{suffix}", policy_arn=arn, role=self.role.name, opts=opts)
            )
        self.register_outputs({"directRole": self.role, "resolvedRole": self.role})


def _json(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))
