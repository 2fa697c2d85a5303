"""What the resource types of EC2 have in common: tags, and references that the emulator does not check."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from standins.aws.kind import AwsKind, tag_changes, tag_dict, tag_list
from standins.aws.session import AwsError, Session
from standins.provider import Values


class Ec2Kind(AwsKind):
    """A resource type of EC2, whose tags are all set in one way."""

    resource_type: ClassVar[str]
    """What EC2's API calls it: "vpc", "natgateway"."""

    def call(self, method: str, /, **parameters: Any) -> Values:
        return self.aws.call("ec2", method, **parameters)

    def one(self, method: str, key: str, missing: Collection[str], /, **parameters: Any) -> Values | None:
        """The only thing that a description lists below `key`; None if there is none, by a code or an empty list."""
        answer = self.aws.find("ec2", method, missing, **parameters)
        return answer[key][0] if answer and answer[key] else None

    def all(self, method: str, key: str, /, **filters: str | list[str]) -> list[Values]:
        """What a description lists below `key`. A filter's _ stands for -: vpc_id="vpc-1"."""
        wanted = [
            {"Name": name.replace("_", "-"), "Values": [value] if isinstance(value, str) else value}
            for name, value in filters.items()
        ]
        parameter = "Filter" if method in ("describe_nat_gateways", "describe_flow_logs") else "Filters"
        return self.aws.list("ec2", method, key, **{parameter: wanted})

    def tag_specifications(self, inputs: Values) -> list[Values] | None:
        """The tags of something to be made."""
        tags = tag_list(inputs["tagsAll"])
        return [{"ResourceType": self.resource_type, "Tags": tags}] if tags else None

    def retag(self, identifier: str, actual: Mapping[str, str], inputs: Values) -> None:
        """Make the tags what the inputs say."""
        gone, new = tag_changes(actual, inputs["tagsAll"])
        if gone:
            self.call("delete_tags", Resources=[identifier], Tags=[{"Key": key} for key in gone])
        if new:
            self.call("create_tags", Resources=[identifier], Tags=tag_list(new))

    def ec2_arn(self, identifier: str) -> str:
        return self.aws.arn("ec2", f"{self.resource_type}/{identifier}")

    def located(self, found: Values, state: Values) -> Values:
        """`region` and, of something with tags, those."""
        tags = self.tag_state(tag_dict(found.get("Tags")), state) if "tags" in self.properties else {}
        return {"region": self.aws.region, **tags}

    def refuse_in_use(self, operation: str, message: str, *found: list[Values]) -> None:
        """Refuse to delete what something else needs, as AWS does."""
        if any(found):
            raise AwsError(f"ec2.{operation}", "DependencyViolation", message)

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        """Of something that has nothing but tags that can change."""
        self.retag(identifier, state["tagsAll"], inputs)
        return self.made(identifier, {**state, **inputs})[1]


def require_vpc(aws: Session, identifier: str) -> Values:
    """The VPC. Raises AwsError if there is none."""
    return aws.call("ec2", "describe_vpcs", VpcIds=[identifier])["Vpcs"][0]


def require_subnets(aws: Session, identifiers: list[str]) -> list[Values]:
    """The subnets. Raises AwsError if one is missing."""
    return aws.call("ec2", "describe_subnets", SubnetIds=identifiers)["Subnets"] if identifiers else []


def require_groups(aws: Session, identifiers: list[str]) -> list[Values]:
    """The security groups. Raises AwsError if one is missing."""
    return aws.call("ec2", "describe_security_groups", GroupIds=identifiers)["SecurityGroups"] if identifiers else []


def living(gateways: list[Values]) -> list[Values]:
    """NAT gateways or endpoints that are not deleted: descriptions show those for a while."""
    return [one for one in gateways if one["State"].lower() not in ("deleted", "deleting", "failed")]
