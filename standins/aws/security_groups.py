"""AWS stand-in: SecurityGroup and DefaultSecurityGroup. Rules are resources of their own."""

from __future__ import annotations

from collections.abc import Iterable

from standins.aws.ec2 import Ec2Kind, living, require_vpc
from standins.aws.kind import REGION, TAGS, autoname
from standins.aws.session import AwsError, Session
from standins.provider import Property, RefusedError, Values

_MISSING = ["InvalidGroup.NotFound", "InvalidGroupId.Malformed"]


class _Group(Ec2Kind):
    resource_type = "security-group"

    def _find(self, identifier: str) -> Values | None:
        return self.one("describe_security_groups", "SecurityGroups", _MISSING, GroupIds=[identifier])

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self._find(identifier)
        if found is None:
            return None
        carried = ("revokeRulesOnDelete",)  # the API knows nothing of it
        return identifier, {
            **{name: state.get(name, False) for name in carried if name in self.properties},
            "name": found["GroupName"],
            "description": found["Description"],
            "vpcId": found["VpcId"],
            "arn": found["SecurityGroupArn"],
            "ownerId": found["OwnerId"],
            **self.located(found, state),
        }

    def revoke(self, found: Values, *, ingress: bool = True) -> None:
        """Remove a group's rules."""
        for method, key in (
            ("revoke_security_group_ingress", "IpPermissions"),
            ("revoke_security_group_egress", "IpPermissionsEgress"),
        ):
            if found[key] and (ingress or key == "IpPermissionsEgress"):
                rules = self.all("describe_security_group_rules", "SecurityGroupRules", group_id=found["GroupId"])
                wanted = key == "IpPermissionsEgress"
                identifiers = [rule["SecurityGroupRuleId"] for rule in rules if rule["IsEgress"] == wanted]
                self.call(method, GroupId=found["GroupId"], SecurityGroupRuleIds=identifiers)


class SecurityGroup(_Group):
    """A group of rules about who may connect. It begins without any: not even AWS' own, which lets everything out."""

    token = "aws:ec2/securityGroup:SecurityGroup"  # noqa: S105 - a type's name
    properties = {
        "name": Property(computed=True, replaces=True),
        "description": Property(default="Managed by Pulumi", replaces=True),
        "vpcId": Property(computed=True, replaces=True),
        "revokeRulesOnDelete": Property(bool, default=False),
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "ownerId", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=255)
        yield from super().check(name, inputs, seed)
        if str(inputs["name"]).startswith("sg-"):
            yield "name", "cannot begin with sg-"
        if "vpcId" not in inputs:
            yield "vpcId", "the stand-in puts no group into the default VPC: name a VPC"

    def create(self, inputs: Values) -> tuple[str, Values]:
        require_vpc(self.aws, inputs["vpcId"])
        made = self.call(
            "create_security_group",
            GroupName=inputs["name"],
            Description=inputs["description"],
            VpcId=inputs["vpcId"],
            TagSpecifications=self.tag_specifications(inputs),
        )
        found = self._find(made["GroupId"])
        if found:
            self.revoke(found, ingress=False)
        return self.made(made["GroupId"], inputs)

    def delete(self, identifier: str, state: Values) -> None:
        found = self._find(identifier)
        if found is None:
            return
        if state.get("revokeRulesOnDelete"):
            self.revoke(found)
        refuse_group_in_use(self.aws, identifier)
        self.call("delete_security_group", GroupId=identifier)


def refuse_group_in_use(aws: Session, identifier: str) -> None:
    """Refuse to delete a group that an endpoint, a cluster or another group's rule has, as AWS does."""
    endpoints = living(aws.list("ec2", "describe_vpc_endpoints", "VpcEndpoints"))
    users = [one["VpcEndpointId"] for one in endpoints if identifier in [it["GroupId"] for it in one["Groups"]]]
    for rule in aws.list("ec2", "describe_security_group_rules", "SecurityGroupRules"):
        referenced = rule.get("ReferencedGroupInfo", {}).get("GroupId")
        if referenced == identifier and rule["GroupId"] != identifier:
            users.append(rule["SecurityGroupRuleId"])
    for name in aws.list("eks", "list_clusters", "clusters"):
        network = aws.call("eks", "describe_cluster", name=name)["cluster"]["resourcesVpcConfig"]
        if identifier in network.get("securityGroupIds", ()):
            users.append(f"the EKS cluster {name}")
    if users:
        message = f"resource {identifier} has a dependent object: {', '.join(users)}"
        raise AwsError("ec2.DeleteSecurityGroup", "DependencyViolation", message)


class DefaultSecurityGroup(_Group):
    """The group that each VPC comes with, without its rules. Deleting it changes nothing."""

    token = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"  # noqa: S105 - a type's name
    properties = {"vpcId": Property(computed=True, replaces=True), **TAGS, **REGION}
    outputs = ("arn", "ownerId", "name", "description", "region")

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
        self.revoke(found[0])
        self.retag(identifier, {}, inputs)
        return self.made(identifier, inputs)

    def delete(self, identifier: str, state: Values) -> None:
        pass


KINDS = (SecurityGroup, DefaultSecurityGroup)
