"""Rules of the policy pack, as functions over plain data: the pack and the tests call them.

exposure     public endpoints and open security groups
cluster      settings of EKS clusters and their nodes
data         encryption, retention and protection of stored data
permissions  wildcards in IAM policies
plain_text   credentials in plain text
tags         cost allocation tags
isolation    objects that isolate a tenant
exceptions   resources that may break a rule, each with a reason
resource     resources as the rules see them

Imports neither Pulumi nor this project, so that it runs in the policy pack's own environment and in the tests'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .cluster import api_authentication, cluster_identifier, control_plane_logs, instance_metadata, standard_support
from .data import encrypted_stores, immutable_tags, log_retention, protected_data
from .exceptions import SCHEMA, RuleException, parse
from .exposure import closed_security_groups, endpoint_allow_list
from .isolation import tenant_isolation
from .permissions import limited_endpoints, narrow_permissions
from .plain_text import no_plain_text_secrets
from .resource import SECRET, UNKNOWN, Hidden, Provider, Resource, Rule, StackRule, description_of, name_of
from .tags import tagged_resources

RULES: Sequence[Rule] = (
    endpoint_allow_list,
    closed_security_groups,
    encrypted_stores,
    log_retention,
    immutable_tags,
    protected_data,
    narrow_permissions,
    limited_endpoints,
    instance_metadata,
    control_plane_logs,
    standard_support,
    api_authentication,
    cluster_identifier,
    no_plain_text_secrets,
    tagged_resources,
)
"""Rules about one resource."""

STACK_RULES: Sequence[StackRule] = (tenant_isolation,)
"""Rules about all resources of a stack together."""

__all__ = [
    "RULES",
    "SCHEMA",
    "SECRET",
    "STACK_RULES",
    "UNKNOWN",
    "Hidden",
    "Provider",
    "Resource",
    "Rule",
    "RuleException",
    "StackRule",
    "broken_by",
    "broken_in_stack",
    "description_of",
    "name_of",
    "parse",
]


def broken_by(resource: Resource, rule: Rule, exceptions: Sequence[RuleException] = ()) -> Iterator[str]:
    """The violations of a rule by a resource; none for an exception."""
    if not any(each.covers(resource.urn) for each in exceptions):
        yield from rule(resource)


def broken_in_stack(
    resources: Sequence[Resource], rule: StackRule, exceptions: Sequence[RuleException] = ()
) -> Iterator[tuple[str, str]]:
    """The violations of a rule in a stack, by URN; without the exceptions."""
    for urn, problem in rule(resources):
        if not any(each.covers(urn) for each in exceptions):
            yield urn, problem
