"""Names that AWS takes only up to a length, and that this program and AWS make longer."""

from __future__ import annotations

from collections.abc import Iterator

from model.config.document import Document
from model.config.mistakes import Mistake
from model.config.settings import Settings
from model.iam.tenant_policy import ROLE_NAME_LIMIT

LONGEST_ROLE = "aws-ebs-csi-driver"
"""Of the roles that are called `<project>-<stack>-<role>`."""
MAXIMUM_PREFIX = ROLE_NAME_LIMIT - len(f"-{LONGEST_ROLE}")
MAXIMUM_CLUSTER = 63 - 26 - 1
"""A node group's name has 63 characters: the cluster's, a hyphen, and 26 that tell it from its successor."""


def problems(settings: Settings, project: str, stack: str, source: Document) -> Iterator[Mistake]:
    """What is called too long a name for what the stack has on AWS; `settings` are those of `source`."""
    if settings.aws is None:
        return
    if len(f"{project}-{stack}") > MAXIMUM_PREFIX:
        message = f"{project}-{stack}, which names begin with, leaves no room for {LONGEST_ROLE} in a role's"
        remedy = f"Choose names for the project and the stack with {MAXIMUM_PREFIX - 1} characters together at most."
        yield source.mistake(("aws",), message, remedy)
    if len(settings.cluster) > MAXIMUM_CLUSTER and not settings.aws.cluster.adopt:
        message = f"{settings.cluster} is too long for what a node group's name has besides"
        yield source.mistake(("cluster",), message, f"Choose one of {MAXIMUM_CLUSTER} characters at most.")
