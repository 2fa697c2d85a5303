"""AWS stand-in: SecurityGroupIngressRule and SecurityGroupEgressRule, and the older SecurityGroupRule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from standins.aws.ec2 import Ec2Kind, require_groups
from standins.aws.kind import REGION, TAGS
from standins.aws.session import AwsError
from standins.codec import UNKNOWN
from standins.provider import Property, RefusedError, Values

_PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6", "-1")
_MISSING = ["InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleId.Malformed"]
_NUMBERS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}


def _require_protocol(operation: str, protocol: str) -> None:
    """The emulator takes any text."""
    if protocol not in _PROTOCOLS and not (protocol.isdigit() and int(protocol) < 256):
        message = f"Invalid value '{protocol}' for IP protocol. Unknown protocol: give one of {', '.join(_PROTOCOLS)}"
        raise AwsError(operation, "InvalidParameterValue", message)


class _Rule(Ec2Kind):
    resource_type = "security-group-rule"
    egress: ClassVar[bool]
    authorize: ClassVar[str]
    revoke: ClassVar[str]

    def rule(self, identifier: str) -> Values | None:
        where = {"SecurityGroupRuleIds": [identifier]}
        found = self.one("describe_security_group_rules", "SecurityGroupRules", _MISSING, **where)
        return found if found and found["IsEgress"] == self.egress else None


_SOURCES = {
    "cidrIpv4": ("CidrIpv4", "IpRanges", "CidrIp"),
    "cidrIpv6": ("CidrIpv6", "Ipv6Ranges", "CidrIpv6"),
    "prefixListId": ("PrefixListId", "PrefixListIds", "PrefixListId"),
    "referencedSecurityGroupId": ("ReferencedGroupId", "UserIdGroupPairs", "GroupId"),
}
"""Who a rule is about -> the API's name in a rule; in what a rule is made from, the list and what it holds."""


class _SingleRule(_Rule):
    """One rule with one source or destination; changed in place."""

    properties = {
        "securityGroupId": Property(required=True, replaces=True),
        "ipProtocol": Property(required=True),
        "fromPort": Property(int),
        "toPort": Property(int),
        **{name: Property() for name in _SOURCES},
        "description": Property(),
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "securityGroupRuleId", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if sum(source in inputs for source in _SOURCES) != 1:
            yield "cidrIpv4", f"a rule is about exactly one of {', '.join(_SOURCES)}"
        protocol, ports = inputs.get("ipProtocol"), {"fromPort", "toPort"} & set(inputs)
        if protocol in ("-1", "all") and ports:
            yield "ipProtocol", "a rule about all protocols has no ports: leave out fromPort and toPort"
        if protocol in ("tcp", "udp") and len(ports) != 2:
            yield "fromPort", f"a rule about {protocol} needs fromPort and toPort"
        start, end = inputs.get("fromPort"), inputs.get("toPort")
        if protocol in ("tcp", "udp") and isinstance(start, int) and isinstance(end, int) and start > end:
            yield "fromPort", f"{start} is above toPort, {end}"

    def same(self, name: str, old: object, new: object) -> bool:
        return name == "ipProtocol" and _NUMBERS.get(str(old), old) == _NUMBERS.get(str(new), new)

    def create(self, inputs: Values) -> tuple[str, Values]:
        self._require(inputs)
        permission: Values = {
            "IpProtocol": inputs["ipProtocol"],
            "FromPort": inputs.get("fromPort"),
            "ToPort": inputs.get("toPort"),
        }
        for name, (_, key, field) in _SOURCES.items():
            if name in inputs:
                permission[key] = [{field: inputs[name], "Description": inputs.get("description")}]
        made = self.call(
            self.authorize,
            GroupId=inputs["securityGroupId"],
            IpPermissions=[permission],
            TagSpecifications=self.tag_specifications(inputs),
        )
        return self.made(made["SecurityGroupRules"][0]["SecurityGroupRuleId"], inputs)

    def _require(self, inputs: Values) -> None:
        _require_protocol(f"ec2.{self.authorize}", inputs["ipProtocol"])
        groups = [inputs["securityGroupId"], inputs.get("referencedSecurityGroupId")]
        require_groups(self.aws, [group for group in groups if group])

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self.rule(identifier)
        if found is None:
            return None
        unlimited = found["IpProtocol"] == "-1"  # of which the API tells ports of -1
        return identifier, {
            "securityGroupId": found["GroupId"],
            "ipProtocol": found["IpProtocol"],
            "fromPort": None if unlimited else found.get("FromPort"),
            "toPort": None if unlimited else found.get("ToPort"),
            "cidrIpv4": found.get("CidrIpv4"),
            "cidrIpv6": found.get("CidrIpv6"),
            "prefixListId": found.get("PrefixListId"),
            "referencedSecurityGroupId": found.get("ReferencedGroupInfo", {}).get("GroupId"),
            "description": found.get("Description"),
            "arn": self.ec2_arn(identifier),
            "securityGroupRuleId": identifier,
            **self.located(found, state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self._require(inputs)
        rule = {
            "IpProtocol": inputs["ipProtocol"],
            "FromPort": inputs.get("fromPort"),
            "ToPort": inputs.get("toPort"),
            "Description": inputs.get("description"),
            **{parameter: inputs.get(name) for name, (parameter, _, _) in _SOURCES.items()},
        }
        changes = [{"SecurityGroupRuleId": identifier, "SecurityGroupRule": rule}]
        self.call("modify_security_group_rules", GroupId=inputs["securityGroupId"], SecurityGroupRules=changes)
        return super().update(identifier, state, inputs)

    def delete(self, identifier: str, state: Values) -> None:
        if self.rule(identifier):
            self.call(self.revoke, GroupId=state["securityGroupId"], SecurityGroupRuleIds=[identifier])


class SecurityGroupIngressRule(_SingleRule):
    """Who may connect to the group's members."""

    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"  # noqa: S105 - a type's name
    egress = False
    authorize, revoke = "authorize_security_group_ingress", "revoke_security_group_ingress"


class SecurityGroupEgressRule(_SingleRule):
    """What the group's members may connect to."""

    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"  # noqa: S105 - a type's name
    egress = True
    authorize, revoke = "authorize_security_group_egress", "revoke_security_group_egress"


class SecurityGroupRule(Ec2Kind):
    """One permission, which may become several rules; everything but its description needs another one."""

    token = "aws:ec2/securityGroupRule:SecurityGroupRule"  # noqa: S105 - a type's name
    properties = {
        "type": Property(required=True, replaces=True, choices=("ingress", "egress")),
        "securityGroupId": Property(required=True, replaces=True),
        "protocol": Property(required=True, replaces=True),
        "fromPort": Property(int, required=True, replaces=True),
        "toPort": Property(int, required=True, replaces=True),
        "cidrBlocks": Property(list, of=str, replaces=True),
        "ipv6CidrBlocks": Property(list, of=str, replaces=True),
        "sourceSecurityGroupId": Property(computed=True, replaces=True),
        "self": Property(bool, default=False, replaces=True),
        "description": Property(replaces=True),
        **REGION,
    }
    outputs = ("securityGroupRuleId", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        sources = [it for it in ("cidrBlocks", "ipv6CidrBlocks", "sourceSecurityGroupId", "self") if inputs.get(it)]
        if not sources:
            yield "type", "a rule needs cidrBlocks, ipv6CidrBlocks, sourceSecurityGroupId or self"
        if "self" in sources and "sourceSecurityGroupId" in sources:
            yield "self", "conflicts with sourceSecurityGroupId: give one of them"
        protocol, ports = inputs.get("protocol"), (inputs.get("fromPort"), inputs.get("toPort"))
        if protocol in ("-1", "all") and UNKNOWN not in ports and ports != (0, 0):
            yield "fromPort", "from_port and to_port must both be 0 to use the 'ALL' \"-1\" protocol"

    def same(self, name: str, old: object, new: object) -> bool:
        return name == "protocol" and _NUMBERS.get(str(old), old) == _NUMBERS.get(str(new), new)

    def create(self, inputs: Values) -> tuple[str, Values]:
        group, egress = inputs["securityGroupId"], inputs["type"] == "egress"
        method = f"authorize_security_group_{inputs['type']}"
        given: str = inputs["protocol"]
        protocol = _NUMBERS.get(given, given)
        _require_protocol(f"ec2.{method}", protocol)
        require_groups(self.aws, [it for it in (group, inputs.get("sourceSecurityGroupId")) if it])
        description = inputs.get("description")
        pairs = [it for it in (inputs.get("sourceSecurityGroupId"), group if inputs["self"] else None) if it]
        permission = {
            "IpProtocol": protocol,
            "FromPort": None if protocol == "-1" else inputs["fromPort"],
            "ToPort": None if protocol == "-1" else inputs["toPort"],
            "IpRanges": [{"CidrIp": it, "Description": description} for it in inputs.get("cidrBlocks", ())],
            "Ipv6Ranges": [{"CidrIpv6": it, "Description": description} for it in inputs.get("ipv6CidrBlocks", ())],
            "UserIdGroupPairs": [{"GroupId": it, "Description": description} for it in pairs],
        }
        made = self.call(method, GroupId=group, IpPermissions=[{key: it for key, it in permission.items() if it != []}])
        rules = [rule["SecurityGroupRuleId"] for rule in made["SecurityGroupRules"] if rule["IsEgress"] == egress]
        identifier = f"sgrule-{'-'.join(sorted(rules)).replace('sgr-', '')}"
        return self.made(identifier, {**inputs, "securityGroupRuleId": rules[0] if len(rules) == 1 else ""})

    def _rules(self, identifier: str, state: Values) -> list[Values]:
        """The rules that the id names and that exist."""
        if not state:
            raise RefusedError("the stand-in can't import rules of this older type: use SecurityGroupIngressRule")
        wanted = [f"sgr-{part}" for part in identifier.removeprefix("sgrule-").split("-")]
        everything = self.all("describe_security_group_rules", "SecurityGroupRules", group_id=state["securityGroupId"])
        return [rule for rule in everything if rule["SecurityGroupRuleId"] in wanted]

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        rules = self._rules(identifier, state)
        if not rules:
            return None
        group, first = state["securityGroupId"], rules[0]
        references = [rule["ReferencedGroupInfo"]["GroupId"] for rule in rules if rule.get("ReferencedGroupInfo")]
        unlimited = first["IpProtocol"] == "-1"
        cidrs = {rule["CidrIpv4"] for rule in rules if rule.get("CidrIpv4")}
        order = [it for it in state.get("cidrBlocks") or () if it in cidrs]
        return identifier, {
            **state,
            "type": "egress" if first["IsEgress"] else "ingress",
            "protocol": first["IpProtocol"],
            "fromPort": 0 if unlimited else first.get("FromPort"),
            "toPort": 0 if unlimited else first.get("ToPort"),
            "cidrBlocks": order + sorted(cidrs - set(order)) or None,
            "ipv6CidrBlocks": sorted(rule["CidrIpv6"] for rule in rules if rule.get("CidrIpv6")) or None,
            "sourceSecurityGroupId": next((it for it in references if it != group), None),
            "self": group in references,
            "description": first.get("Description"),
            "region": self.aws.region,
        }

    def delete(self, identifier: str, state: Values) -> None:
        rules = [rule["SecurityGroupRuleId"] for rule in self._rules(identifier, state)]
        if rules:
            method = f"revoke_security_group_{state['type']}"
            self.call(method, GroupId=state["securityGroupId"], SecurityGroupRuleIds=rules)


KINDS = (SecurityGroupIngressRule, SecurityGroupEgressRule, SecurityGroupRule)
