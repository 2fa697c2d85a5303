"""Versions of EKS add-ons, checked before anything is made: a wrong one would fail after the control plane exists."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.configuration import Configuration, refusal
from model.config.aws import addon_version_problem, is_behind
from model.config.errors import Problem


def check_addon_versions(configuration: Configuration, context: AwsContext | None) -> None:
    """Log EKS' default and newest version of each add-on. Raises pulumi.RunError for a pinned version that is newer."""
    settings = configuration.settings.aws
    if settings is None or context is None or settings.cluster.adopt:
        return
    kubernetes, options = settings.cluster.version, pulumi.InvokeOptions(provider=context.provider)
    problems: list[Problem] = []
    rows: list[str] = []
    for name, addon in settings.cluster.addons.items():
        pinned = addon.version
        default, newest = (
            aws.eks.get_addon_version(
                addon_name=name, kubernetes_version=kubernetes, most_recent=most_recent, opts=options
            ).version
            for most_recent in (False, True)
        )
        if found := addon_version_problem(name, pinned, default, newest):
            path = ("aws", "cluster", "addons", name)
            problems.append(configuration.stack_file.problem(path, *found))
        rows.append(f"{name} {pinned} (default {default}, newest {newest})")
        if is_behind(pinned, default):
            pulumi.log.warn(
                f"{name} {pinned} is older than {default}, EKS' default for Kubernetes {kubernetes}. EKS may offer it "
                f"no more: `aws eks describe-addon-versions --kubernetes-version {kubernetes} --addon-name {name}`."
            )
    if problems:
        raise refusal(problems)
    if rows:
        pulumi.log.info(f"Add-ons for Kubernetes {kubernetes}: {'; '.join(rows)}.")
