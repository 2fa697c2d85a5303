"""EC2 of the AWS stand-in: security groups and their rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from standins.aws.ec2 import Ec2Kind, living, require_groups, require_vpc
from standins.aws.engine import REGION, TAGS, Call, Field
from standins.codec import UNKNOWN
from standins.provider import RefusedError, Values

_PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6", "-1")
_NUMBERS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}


class _Group(Ec2Kind):
    resource_type = "security-group"
    key = {"GroupId": "{id}"}
    missing = ("InvalidGroup.NotFound", "InvalidGroupId.Malformed")
    reads = Call("describe_security_groups", {"GroupIds": ["{id}"]}, answer="SecurityGroups.0")
    deletes = Call("delete_security_group")

    def revoke(self, group: str, *, egress_only: bool = False) -> None:
        """Remove a group's rules."""
        rules = self.all("describe_security_group_rules", "SecurityGroupRules", group_id=group)
        for egress in (True,) if egress_only else (True, False):
            method = f"revoke_security_group_{'egress' if egress else 'ingress'}"
            if found := [rule["SecurityGroupRuleId"] for rule in rules if rule["IsEgress"] == egress]:
                self.call(method, GroupId=group, SecurityGroupRuleIds=found)


class SecurityGroup(_Group):
    """A security group. It begins without rules, not even with AWS' own, which lets everything out."""

    token = "aws:ec2/securityGroup:SecurityGroup"  # noqa: S105 - a type's name
    properties = {
        "name": Field(computed=True, replaces=True, api="GroupName"),
        "description": Field(default="Managed by Pulumi", replaces=True),
        "vpcId": Field(computed=True, replaces=True),
        "revokeRulesOnDelete": Field(bool, default=False, api=None),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "SecurityGroupArn", "ownerId": ""}
    longest_name = 255
    creates = Call("create_security_group", answer="GroupId")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if str(inputs["name"]).startswith("sg-"):
            yield "name", "cannot begin with sg-"
        if "vpcId" not in inputs:
            yield "vpcId", "the stand-in puts no group into the default VPC: name a VPC"

    def require(self, operation: str, inputs: Values) -> None:
        require_vpc(self.aws, inputs["vpcId"])

    def apply(self, scope: Values, state: Values, inputs: Values, *, creating: bool = False) -> None:
        if creating:
            self.revoke(scope["id"], egress_only=True)

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        """Refuse to delete a group that an endpoint, a cluster or another group's rule uses."""
        if state.get("revokeRulesOnDelete"):
            self.revoke(identifier)
        endpoints = living(self.all("describe_vpc_endpoints", "VpcEndpoints"))
        users = [
            endpoint["VpcEndpointId"]
            for endpoint in endpoints
            if identifier in [group["GroupId"] for group in endpoint["Groups"]]
        ]
        for rule in self.all("describe_security_group_rules", "SecurityGroupRules"):
            referenced = rule.get("ReferencedGroupInfo", {}).get("GroupId")
            if referenced == identifier and rule["GroupId"] != identifier:
                users.append(rule["SecurityGroupRuleId"])
        for balancer in self.aws.list("elbv2", "describe_load_balancers", "LoadBalancers"):
            if identifier in balancer.get("SecurityGroups", ()):
                users.append(balancer["LoadBalancerArn"])
        for link in self.aws.call("apigatewayv2", "get_vpc_links")["Items"]:
            if identifier in link["SecurityGroupIds"]:
                users.append(link["VpcLinkId"])
        for name in self.aws.list("eks", "list_clusters", "clusters"):
            network = self.aws.call("eks", "describe_cluster", name=name)["cluster"]["resourcesVpcConfig"]
            if identifier in network.get("securityGroupIds", ()):
                users.append(f"the EKS cluster {name}")
        if users:
            message = f"resource {identifier} has a dependent object: {', '.join(users)}"
            raise self.refusal("DeleteSecurityGroup", "DependencyViolation", message)


class DefaultSecurityGroup(_Group):
    """The group that each VPC comes with, without its rules. Deleting it changes nothing."""

    token = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"  # noqa: S105 - a type's name
    properties = {"vpcId": Field(computed=True, replaces=True), **TAGS, **REGION}
    outputs = {"arn": "SecurityGroupArn", "ownerId": "", "name": "GroupName", "description": ""}

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "vpcId" not in inputs:
            yield "vpcId", "the stand-in leaves the default VPC alone: name a VPC"

    def create(self, inputs: Values) -> tuple[str, Values]:
        require_vpc(self.aws, inputs["vpcId"])
        filters = {"vpc_id": inputs["vpcId"], "group_name": "default"}
        found = self.all("describe_security_groups", "SecurityGroups", **filters)
        if not found:
            raise RefusedError(f"{inputs['vpcId']} has no default security group")
        identifier = found[0]["GroupId"]
        self.revoke(identifier)
        self.retag({"id": identifier}, {}, inputs["tagsAll"])
        return self.made(identifier, inputs)

    def delete(self, identifier: str, state: Values) -> None:
        pass


class _Rule(Ec2Kind):
    """A rule's common part: protocols, which AWS knows by name and by number."""

    resource_type = "security-group-rule"

    def same(self, name: str, old: object, new: object) -> bool:
        named = name in ("ipProtocol", "protocol")
        return named and _NUMBERS.get(str(old), old) == _NUMBERS.get(str(new), new)

    def require_protocol(self, operation: str, protocol: str) -> None:
        """Refuse unknown protocols, which the emulator accepts."""
        if protocol not in _PROTOCOLS and not (protocol.isdigit() and int(protocol) < 256):
            known = ", ".join(_PROTOCOLS)
            message = f"Invalid value '{protocol}' for IP protocol. Unknown protocol: give one of {known}"
            raise self.refusal(operation, "InvalidParameterValue", message)

    def authorize(self, egress: bool, group: str, permission: Values, tags: Values) -> list[str]:
        """Add a permission to a group; the ids of the rules that it became."""
        method = f"authorize_security_group_{'egress' if egress else 'ingress'}"
        made = self.call(method, GroupId=group, IpPermissions=[permission], **tags)
        return [rule["SecurityGroupRuleId"] for rule in made["SecurityGroupRules"] if rule["IsEgress"] == egress]

    def revoke(self, egress: bool, group: str, rules: list[str]) -> None:
        method = f"revoke_security_group_{'egress' if egress else 'ingress'}"
        self.call(method, GroupId=group, SecurityGroupRuleIds=rules)


_PEERS = {
    "cidrIpv4": ("IpRanges", "CidrIp"),
    "cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListId": ("PrefixListIds", "PrefixListId"),
    "referencedSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}
"""The source or destination of a rule -> the list and the field that hold it in a permission."""


class _SingleRule(_Rule):
    """A rule with one source or destination; changed in place."""

    egress: ClassVar[bool]
    properties = {
        "securityGroupId": Field(required=True, replaces=True, at="GroupId"),
        "ipProtocol": Field(required=True),
        "fromPort": Field(int),
        "toPort": Field(int),
        **{name: Field() for name in _PEERS},
        "referencedSecurityGroupId": Field(api="ReferencedGroupId", at="ReferencedGroupInfo.GroupId"),
        "description": Field(),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "", "securityGroupRuleId": ""}
    missing = ("InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleId.Malformed")
    reads = Call("describe_security_group_rules", {"SecurityGroupRuleIds": ["{id}"]}, answer="SecurityGroupRules.0")
    updates = (
        Call(
            "modify_security_group_rules",
            when=("ipProtocol", "fromPort", "toPort", *_PEERS, "description"),
        ),
    )

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if sum(peer in inputs for peer in _PEERS) != 1:
            yield "cidrIpv4", f"a rule is about exactly one of {', '.join(_PEERS)}"
        protocol, ports = inputs.get("ipProtocol"), {"fromPort", "toPort"} & set(inputs)
        if protocol in ("-1", "all") and ports:
            yield "ipProtocol", "a rule about all protocols has no ports: leave out fromPort and toPort"
        if protocol in ("tcp", "udp") and len(ports) != 2:
            yield "fromPort", f"a rule about {protocol} needs fromPort and toPort"
        start, end = inputs.get("fromPort"), inputs.get("toPort")
        if protocol in ("tcp", "udp") and isinstance(start, int) and isinstance(end, int) and start > end:
            yield "fromPort", f"{start} is above toPort, {end}"

    def require(self, operation: str, inputs: Values) -> None:
        self.require_protocol(operation, inputs["ipProtocol"])
        groups = [inputs["securityGroupId"], inputs.get("referencedSecurityGroupId")]
        require_groups(self.aws, [group for group in groups if group])

    def create(self, inputs: Values) -> tuple[str, Values]:
        direction = "Egress" if self.egress else "Ingress"
        self.require(f"AuthorizeSecurityGroup{direction}", inputs)
        permission = self.arguments(inputs, ("ipProtocol", "fromPort", "toPort"))
        for name, (key, peer) in _PEERS.items():
            if name in inputs:
                permission[key] = [{peer: inputs[name], "Description": inputs.get("description")}]
        group, tags = inputs["securityGroupId"], self.initial_tags(inputs)
        return self.made(self.authorize(self.egress, group, permission, tags)[0], inputs)

    def find(self, scope: Values) -> Values | None:
        found = super().find(scope)
        return found if found and found["IsEgress"] == self.egress else None

    def describe(self, scope: Values, found: Values) -> Values:
        ports = {"FromPort": None, "ToPort": None}  # of all protocols the API has ports of -1
        return super().describe(scope, {**found, **(ports if found["IpProtocol"] == "-1" else {})})

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        rule = {"SecurityGroupRuleId": scope["id"], "SecurityGroupRule": self.arguments(inputs, call.when)}
        self.call(call.operation, GroupId=inputs["securityGroupId"], SecurityGroupRules=[rule])

    def delete(self, identifier: str, state: Values) -> None:
        if self.find(self.scope(identifier, state)):
            self.revoke(self.egress, state["securityGroupId"], [identifier])


class SecurityGroupIngressRule(_SingleRule):
    """A rule about connections to the group's members."""

    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"  # noqa: S105 - a type's name
    egress = False


class SecurityGroupEgressRule(_SingleRule):
    """A rule about connections that the group's members open."""

    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"  # noqa: S105 - a type's name
    egress = True


class SecurityGroupRule(_Rule):
    """A permission, which may become several rules; any change but one of the description replaces it."""

    token = "aws:ec2/securityGroupRule:SecurityGroupRule"  # noqa: S105 - a type's name
    properties = {
        "type": Field(required=True, replaces=True, choices=("ingress", "egress")),
        "securityGroupId": Field(required=True, replaces=True),
        "protocol": Field(required=True, replaces=True),
        "fromPort": Field(int, required=True, replaces=True),
        "toPort": Field(int, required=True, replaces=True),
        "cidrBlocks": Field(list, of=str, replaces=True),
        "ipv6CidrBlocks": Field(list, of=str, replaces=True),
        "sourceSecurityGroupId": Field(computed=True, replaces=True),
        "self": Field(bool, default=False, replaces=True),
        "description": Field(replaces=True),
        **REGION,
    }
    outputs = {"securityGroupRuleId": ""}

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        peers = [peer for peer in ("cidrBlocks", "ipv6CidrBlocks", "sourceSecurityGroupId", "self") if inputs.get(peer)]
        if not peers:
            yield "type", "a rule needs cidrBlocks, ipv6CidrBlocks, sourceSecurityGroupId or self"
        if "self" in peers and "sourceSecurityGroupId" in peers:
            yield "self", "conflicts with sourceSecurityGroupId: give one of them"
        protocol, ports = inputs.get("protocol"), (inputs.get("fromPort"), inputs.get("toPort"))
        if protocol in ("-1", "all") and UNKNOWN not in ports and ports != (0, 0):
            yield "fromPort", "from_port and to_port must both be 0 to use the 'ALL' \"-1\" protocol"

    def create(self, inputs: Values) -> tuple[str, Values]:
        group, egress = inputs["securityGroupId"], inputs["type"] == "egress"
        given: str = inputs["protocol"]
        protocol = _NUMBERS.get(given, given)
        self.require_protocol(f"AuthorizeSecurityGroup{inputs['type'].title()}", protocol)
        require_groups(self.aws, [peer for peer in (group, inputs.get("sourceSecurityGroupId")) if peer])
        pairs = [peer for peer in (inputs.get("sourceSecurityGroupId"), group if inputs["self"] else None) if peer]
        permission: Values = {"IpProtocol": protocol}
        if protocol != "-1":
            permission |= {"FromPort": inputs["fromPort"], "ToPort": inputs["toPort"]}
        for (key, peer), values in (
            (_PEERS["cidrIpv4"], inputs.get("cidrBlocks")),
            (_PEERS["cidrIpv6"], inputs.get("ipv6CidrBlocks")),
            (_PEERS["referencedSecurityGroupId"], pairs),
        ):
            if values:
                permission[key] = [{peer: value, "Description": inputs.get("description")} for value in values]
        rules = self.authorize(egress, group, permission, {})
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
        order = [cidr for cidr in state.get("cidrBlocks") or () if cidr in cidrs]
        return identifier, {
            **state,
            "type": "egress" if first["IsEgress"] else "ingress",
            "protocol": first["IpProtocol"],
            "fromPort": 0 if unlimited else first.get("FromPort"),
            "toPort": 0 if unlimited else first.get("ToPort"),
            "cidrBlocks": order + sorted(cidrs - set(order)) or None,
            "ipv6CidrBlocks": sorted(rule["CidrIpv6"] for rule in rules if rule.get("CidrIpv6")) or None,
            "sourceSecurityGroupId": next((reference for reference in references if reference != group), None),
            "self": group in references,
            "description": first.get("Description"),
            "region": self.aws.region,
        }

    def delete(self, identifier: str, state: Values) -> None:
        if rules := [rule["SecurityGroupRuleId"] for rule in self._rules(identifier, state)]:
            self.revoke(state["type"] == "egress", state["securityGroupId"], rules)


KINDS = (SecurityGroup, DefaultSecurityGroup, SecurityGroupIngressRule, SecurityGroupEgressRule, SecurityGroupRule)
