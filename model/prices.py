"""What AWS charges, from prices.yaml, and what is assumed of the traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from model.document import read
from model.schema import Model, validated

FILE = "model/prices.yaml"

Amount = Annotated[float, Field(ge=0)]


class Price(Model):
    """A price in USD, the month of the newest source that shows it, and where AWS publishes it."""

    usd: Amount
    seen: str = Field(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")
    published: str = Field(pattern=r"^https://aws\.amazon\.com/")


class InstancePrice(Price):
    """An instance's price an hour."""

    cpus: int = Field(ge=1)


class UserPrice(Price):
    """What a Cognito plan costs for a user who is active in a month."""

    free: int = Field(ge=0)
    """How many users of an account cost nothing."""


class UnitPrices(Model):
    """What AWS charges for, unit by unit."""

    cluster_hour: Price = Field(alias="clusterHour")
    auto_mode_share: Price = Field(alias="autoModeShare")
    disk_gib_month: Price = Field(alias="diskGibMonth")
    nat_hour: Price = Field(alias="natHour")
    nat_gb: Price = Field(alias="natGb")
    public_address_hour: Price = Field(alias="publicAddressHour")
    endpoint_zone_hour: Price = Field(alias="endpointZoneHour")
    endpoint_gb: Price = Field(alias="endpointGb")
    log_gb: Price = Field(alias="logGb")
    log_storage_gb_month: Price = Field(alias="logStorageGbMonth")
    image_gb_month: Price = Field(alias="imageGbMonth")
    key_month: Price = Field(alias="keyMonth")


class Assumed(Model):
    """What only a bill can tell, a month."""

    nat_gb: Amount = Field(alias="natGb")
    endpoint_gb: Amount = Field(alias="endpointGb")
    cluster_log_gb: Amount = Field(alias="clusterLogGb")
    flow_log_gb: Amount = Field(alias="flowLogGb")
    log_compression: Amount = Field(alias="logCompression", le=1)
    image_gb_per_repository: Amount = Field(alias="imageGbPerRepository")
    users_per_tenant: int = Field(alias="usersPerTenant", ge=0)
    tenant_cpus: float = Field(alias="tenantCpus", gt=0)
    usable_cpus: float = Field(alias="usableCpus", gt=0, le=1)


class Prices(Model):
    """prices.yaml."""

    region: str
    hours_per_month: int = Field(alias="hoursPerMonth", ge=1)
    prices: UnitPrices
    instances: dict[str, InstancePrice]
    users: dict[str, UserPrice]
    assumed: Assumed


def load(checkout: Path) -> Prices:
    """The prices. Raises MistakesError with all that is wrong."""
    return validated(Prices, read(checkout / FILE, FILE))
