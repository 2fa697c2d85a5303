"""Policy pack for `pulumi --policy-pack`: registers the rules with the engine, and converts its resources for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# From this folder's own environment: pulumi-policy needs another protobuf version than the program.
from pulumi_policy import (  # pyright: ignore[reportMissingImports]
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError  # pyright: ignore[reportMissingImports]
from rules import (
    RULES,
    SCHEMA,
    SECRET,
    STACK_RULES,
    UNKNOWN,
    Provider,
    Resource,
    Rule,
    StackRule,
    broken_by,
    broken_in_stack,
    description_of,
    name_of,
    parse,
)


def resource_policy(rule: Rule) -> ResourceValidationPolicy:
    """A rule about one resource, for the engine."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = _resource(args, args.provider, args.opts.parent or "")
        for problem in broken_by(resource, rule, parse(args.get_config())):
            report(problem)

    return ResourceValidationPolicy(name_of(rule), description_of(rule), validate, config_schema=_schema())


def stack_policy(rule: StackRule) -> StackValidationPolicy:
    """A rule about a whole stack, for the engine."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [_resource(each, each.provider, each.parent.urn if each.parent else "") for each in args.resources]
        for urn, problem in broken_in_stack(resources, rule, parse(args.get_config())):
            report(problem, urn)

    return StackValidationPolicy(name_of(rule), description_of(rule), validate, config_schema=_schema())


def _schema() -> PolicyConfigSchema:
    return PolicyConfigSchema({"exceptions": dict(SCHEMA)})


def _resource(given: Any, provider: Any, parent: str) -> Resource:
    props = _plain(given.props)
    # The engine passes secrets in plain text; additionalSecretOutputs is the only mark that it passes on.
    hidden = set(given.opts.additional_secret_outputs)
    if given.resource_type.startswith("pulumi:providers:"):
        hidden |= {"token"}
    props |= {name: SECRET for name in hidden if name in props}
    return Resource(
        type=given.resource_type,
        name=given.name,
        urn=given.urn,
        props=props,
        protect=given.opts.protect,
        parent=parent,
        provider=Provider(provider.resource_type, _plain(provider.props)) if provider else None,
    )


def _plain(value: Any) -> Any:
    """Dicts and lists instead of the SDK's proxies, which raise an error for an unknown value."""
    if isinstance(value, Mapping):
        return {key: _known(lambda key=key: value[key]) for key in value}
    if hasattr(value, "__getitem__") and not isinstance(value, str):
        return [_known(lambda index=index: value[index]) for index in range(len(value))]
    return value


def _known(look: Callable[[], Any]) -> Any:
    try:
        return _plain(look())
    except UnknownValueError:
        return UNKNOWN


PolicyPack(
    "saas-in-eks",
    [*map(resource_policy, RULES), *map(stack_policy, STACK_RULES)],
    enforcement_level=EnforcementLevel.MANDATORY,
)
