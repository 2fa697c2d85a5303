"""AWS stand-in: RouteTable, Route and RouteTableAssociation."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from standins.aws.ec2 import Ec2Kind, living
from standins.aws.kind import REGION, TAGS
from standins.aws.session import AwsError
from standins.provider import Property, RefusedError, Values

_NO_TABLE = ["InvalidRouteTableID.NotFound"]


class RouteTable(Ec2Kind):
    """Where a subnet's packets go. Its routes are resources of their own."""

    token = "aws:ec2/routeTable:RouteTable"  # noqa: S105 - a type's name
    resource_type = "route-table"
    properties = {"vpcId": Property(required=True, replaces=True), **TAGS, **REGION}
    outputs = ("arn", "ownerId", "region")

    def create(self, inputs: Values) -> tuple[str, Values]:
        specifications = self.tag_specifications(inputs)
        made = self.call("create_route_table", VpcId=inputs["vpcId"], TagSpecifications=specifications)
        return self.made(made["RouteTable"]["RouteTableId"], inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self.one("describe_route_tables", "RouteTables", _NO_TABLE, RouteTableIds=[identifier])
        if found is None:
            return None
        return identifier, {
            "vpcId": found["VpcId"],
            "arn": self.ec2_arn(identifier),
            "ownerId": found["OwnerId"],
            **self.located(found, state),
        }

    def delete(self, identifier: str, state: Values) -> None:
        self.aws.find("ec2", "delete_route_table", _NO_TABLE, RouteTableId=identifier)


_TARGETS = {"gatewayId": "GatewayId", "natGatewayId": "NatGatewayId"}


class Route(Ec2Kind):
    """One route of a table. Its target is changed in place."""

    token = "aws:ec2/route:Route"  # noqa: S105 - a type's name
    properties = {
        "routeTableId": Property(required=True, replaces=True),
        "destinationCidrBlock": Property(replaces=True),
        **{name: Property() for name in _TARGETS},
        **REGION,
    }
    outputs = ("origin", "state", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "destinationCidrBlock" not in inputs:
            yield "destinationCidrBlock", "a route needs a destination; the stand-in has routes for IPv4 networks only"
        if sum(name in inputs for name in _TARGETS) != 1:
            yield "gatewayId", f"a route needs one target: {' or '.join(_TARGETS)}"

    def create(self, inputs: Values) -> tuple[str, Values]:
        self._require_target("CreateRoute", inputs)
        self.call("create_route", **self._parameters(inputs))
        table, destination = inputs["routeTableId"], inputs["destinationCidrBlock"]
        return self.made(f"r-{table}{zlib.crc32(destination.encode())}", inputs)

    def _parameters(self, inputs: Values) -> Values:
        targets = {parameter: inputs.get(name) for name, parameter in _TARGETS.items()}
        return {
            "RouteTableId": inputs["routeTableId"],
            "DestinationCidrBlock": inputs["destinationCidrBlock"],
            **targets,
        }

    def _require_target(self, operation: str, inputs: Values) -> None:
        """The emulator takes a NAT gateway that does not exist."""
        nat = inputs.get("natGatewayId")
        if nat and not living(self.call("describe_nat_gateways", NatGatewayIds=[nat])["NatGateways"]):
            message = f"The natGateway ID '{nat}' does not exist"
            raise AwsError(f"ec2.{operation}", "InvalidNatGatewayID.NotFound", message)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        if state:
            table, destination = state["routeTableId"], state["destinationCidrBlock"]
        else:  # imported, by an id of this form
            table, separator, destination = identifier.partition("_")
            if not separator:
                raise RefusedError(f"{identifier!r} names no route: write ROUTE_TABLE_ID_DESTINATION")
            identifier = f"r-{table}{zlib.crc32(destination.encode())}"
        found = self.one("describe_route_tables", "RouteTables", _NO_TABLE, RouteTableIds=[table])
        for route in found["Routes"] if found else ():
            if route.get("DestinationCidrBlock") == destination:
                return identifier, {
                    "routeTableId": table,
                    "destinationCidrBlock": destination,
                    **{name: route.get(key, "") for name, key in _TARGETS.items()},
                    "origin": route["Origin"],
                    "state": route["State"],
                    **self.located(route, state),
                }
        return None

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self._require_target("ReplaceRoute", inputs)
        self.call("replace_route", **self._parameters(inputs))
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        where = {"RouteTableId": state["routeTableId"], "DestinationCidrBlock": state["destinationCidrBlock"]}
        self.aws.find("ec2", "delete_route", [*_NO_TABLE, "InvalidRoute.NotFound"], **where)


class RouteTableAssociation(Ec2Kind):
    """Which table a subnet uses. Another table is set in place."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"  # noqa: S105 - a type's name
    properties = {
        "routeTableId": Property(required=True),
        "subnetId": Property(replaces=True),
        **REGION,
    }
    outputs = ("region",)

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "subnetId" not in inputs:
            yield "subnetId", "the stand-in associates tables with subnets only"

    def create(self, inputs: Values) -> tuple[str, Values]:
        subnet = inputs["subnetId"]
        if other := self._of(subnet):
            message = f"the specified association for route table {inputs['routeTableId']} conflicts with an existing"
            raise AwsError(
                "ec2.AssociateRouteTable",
                "Resource.AlreadyAssociated",
                f"{message} association, {other[0]}, of {subnet}",
            )
        made = self.call("associate_route_table", RouteTableId=inputs["routeTableId"], SubnetId=subnet)
        return self.made(made["AssociationId"], inputs)

    def _of(self, subnet: str) -> tuple[str, str] | None:
        """A subnet's association and table."""
        for table in self.all("describe_route_tables", "RouteTables", **{"association.subnet-id": subnet}):
            for association in table["Associations"]:
                if association.get("SubnetId") == subnet:
                    return association["RouteTableAssociationId"], table["RouteTableId"]
        return None

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        if not state:  # imported, by an id of this form
            subnet, separator, _ = identifier.partition("/")
            if not separator:
                raise RefusedError(f"{identifier!r} names no association: write SUBNET_ID/ROUTE_TABLE_ID")
            state = {"subnetId": subnet}
        found = self._of(state["subnetId"])
        # Replacing a table gives the association another id, but Pulumi's state keeps the first one.
        kept = identifier if "routeTableId" in state else None
        if found is None:
            return None
        return kept or found[0], {"subnetId": state["subnetId"], "routeTableId": found[1], "region": self.aws.region}

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        found = self._of(state["subnetId"])
        if found is None:
            raise RefusedError(f"{state['subnetId']} has no route table of its own any more: run `pulumi refresh`")
        self.call("replace_route_table_association", AssociationId=found[0], RouteTableId=inputs["routeTableId"])
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        if found := self._of(state["subnetId"]):
            self.call("disassociate_route_table", AssociationId=found[0])


KINDS = (RouteTable, Route, RouteTableAssociation)
