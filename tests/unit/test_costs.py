"""What a stack costs: each choice at prices that are easy to add up, and the document made of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from model import costs as module
from model import prices as price_file
from model.aws import AwsSettings
from model.costs import CHECKOUT, Costs, Estimate
from model.mistakes import MistakesError
from model.prices import Prices


def price(usd: float, **more: Any) -> dict[str, Any]:
    return {"usd": usd, "seen": "2026-11", "published": "https://aws.amazon.com/pricing/", **more}


PRICES = Prices.model_validate(
    {
        "region": "eu-west-1",
        "hoursPerMonth": 100,
        "prices": {
            "clusterHour": price(1.0),
            "autoModeShare": price(0.5),
            "diskGibMonth": price(0.1),
            "natHour": price(2.0),
            "natGb": price(0.25),
            "publicAddressHour": price(0.5),
            "endpointZoneHour": price(3.0),
            "endpointGb": price(0.5),
            "logGb": price(4.0),
            "logStorageGbMonth": price(1.0),
            "imageGbMonth": price(5.0),
            "keyMonth": price(7.0),
        },
        "instances": {"m7g.large": price(1.0, cpus=2)},
        "users": {"LITE": price(1.0, free=30), "ESSENTIALS": price(2.0, free=30), "PLUS": price(3.0, free=0)},
        "assumed": {
            "natGb": 8,
            "endpointGb": 4,
            "clusterLogGb": 10,
            "flowLogGb": 1,
            "logCompression": 0.5,
            "imageGbPerRepository": 2,
            "usersPerTenant": 10,
            "tenantCpus": 0.5,
            "usableCpus": 0.75,
        },
    }
)


def settings(**parts: Any) -> AwsSettings:
    cluster = {"addons": {}, "nodes": {"minimum": 2, "maximum": 4, "diskGib": 20}, **parts.pop("cluster", {})}
    return AwsSettings.model_validate({"region": "eu-west-1", "account": "123456789012", "cluster": cluster, **parts})


def estimate(count: int = 1, **parts: Any) -> Estimate:
    return Costs(settings(**parts), PRICES).estimate(count)


def amounts(of: Estimate, component: str) -> dict[str, float]:
    return {line.what: line.usd for line in of.lines if line.component == component}


@pytest.mark.parametrize(("nat", "gateways"), [("perZone", 3), ("single", 1), ("none", 0)])
def test_each_nat_gateway_costs_by_the_hour_and_so_does_its_address(nat: str, gateways: int) -> None:
    network = amounts(estimate(network={"nat": nat, "flowLogDays": 0}), "network")
    traffic = 8 * 0.25 if gateways else 0
    assert sum(network.values()) == gateways * 100 * (2.0 + 0.5) + traffic


def test_an_interface_endpoint_costs_in_each_zone_and_a_gateway_endpoint_nothing() -> None:
    network = {"nat": "none", "flowLogDays": 0, "zones": ["a", "b"]}
    assert amounts(estimate(network={**network, "endpoints": ["s3"]}), "network") == {}
    both = amounts(estimate(network={**network, "endpoints": ["s3", "sts", "ec2"]}), "network")
    assert sum(both.values()) == 2 * 2 * 100 * 3.0 + 4 * 0.5


def test_logs_cost_when_written_and_as_long_as_they_are_kept() -> None:
    network = amounts(estimate(network={"nat": "none", "endpoints": [], "flowLogDays": 60}), "network")
    assert sum(network.values()) == 1 * 4.0 + 1 * 2 * 0.5 * 1.0 + 7.0
    cluster = amounts(estimate(cluster={"logDays": 30}), "cluster")
    assert sum(cluster.values()) == 100 * 1.0 + 10 * 4.0 + 10 * 0.5 * 1.0 + 2 * 7.0


@pytest.mark.parametrize(("count", "nodes"), [(1, 2), (6, 2), (7, 3), (12, 4)])
def test_nodes_come_as_tenants_fill_them(count: int, nodes: int) -> None:
    there = estimate(count)
    assert there.nodes == nodes
    assert sum(amounts(there, "nodes").values()) == nodes * (100 * 1.0 + 20 * 0.1)


def test_as_many_tenants_fit_as_the_most_nodes_hold() -> None:
    assert Costs(settings(), PRICES).most_tenants == 4 * 3


def test_auto_mode_has_its_fee_and_its_own_limit() -> None:
    auto = {"compute": "auto", "nodes": {"cpuLimit": 16, "diskGib": 20}}
    stack = Costs(settings(cluster=auto), PRICES)
    assert (stack.fewest_nodes, stack.most_nodes) == (1, 8)
    assert sum(amounts(stack.estimate(1), "nodes").values()) == 100 * 1.5 + 20 * 0.1
    assert stack.another_tenant * 3 == pytest.approx(100 * 1.5 + 20 * 0.1)


@pytest.mark.parametrize(("plan", "usd"), [("LITE", 10.0), ("ESSENTIALS", 20.0), ("PLUS", 120.0)])
def test_users_cost_beyond_those_that_are_free(plan: str, usd: float) -> None:
    identity = {"plan": plan, "domain": "acme", "callbackUrls": ["https://acme.example/"]}
    assert list(amounts(estimate(4, identity=identity), "identity").values()) == [usd]


def test_images_cost_what_they_take_and_their_key() -> None:
    registry = amounts(estimate(registry={"repositories": ["one", "two"]}), "registry")
    assert sum(registry.values()) == 2 * 2 * 5.0 + 7.0


def test_what_somebody_else_provisioned_is_not_counted() -> None:
    subnets = {"vpc": "vpc-0000000a", "privateSubnets": ["subnet-0000000a", "subnet-0000000b"]}
    assert amounts(estimate(network={"existing": subnets}), "network") == {}
    assert estimate(cluster={"adopt": True}).lines == []


def test_tenants_bear_equal_parts_of_everything() -> None:
    few, many = estimate(2), estimate(6)
    assert many.per_tenant * 6 == pytest.approx(many.total)
    assert many.total == few.total
    assert many.per_tenant == pytest.approx(few.per_tenant / 3)


def test_another_tenant_costs_its_part_of_a_node_and_its_users() -> None:
    identity = {"plan": "ESSENTIALS", "domain": "acme", "callbackUrls": ["https://acme.example/"]}
    stack = Costs(settings(identity=identity), PRICES)
    assert stack.another_tenant == pytest.approx((100 * 1.0 + 20 * 0.1) / 3 + 10 * 2.0)
    # What it says is what the estimate does, once nodes are full and no user is free.
    assert stack.another_tenant * 3 == pytest.approx(stack.estimate(9).total - stack.estimate(6).total)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"cluster": {"nodes": {"instanceTypes": ["m7i.large"]}}}, "has no price for m7i.large"),
        ({"region": "eu-north-1"}, "holds prices of eu-west-1 only, and the stack is in eu-north-1"),
    ],
)
def test_what_has_no_price_is_said_and_never_taken_for_free(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(MistakesError) as refused:
        Costs(settings(**parts), PRICES)
    assert said in str(refused.value)
    assert "model/prices.yaml" in str(refused.value)


def test_a_mistake_in_the_stacks_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text('config:\n  saas-in-eks:aws:\n    region: eu-west-1\n    account: "12"\n')
    with pytest.raises(MistakesError) as refused:
        module.stack_settings(file, "Pulumi.test.yaml")
    assert "Pulumi.test.yaml:4: config.saas-in-eks:aws.account" in str(refused.value)


def test_a_stack_without_aws_has_nothing_to_count(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text("config:\n  saas-in-eks:cluster: test\n")
    with pytest.raises(MistakesError, match="saas-in-eks:aws: is missing"):
        module.stack_settings(file, "Pulumi.test.yaml")


def test_the_price_file_is_complete_for_the_stack_it_is_about() -> None:
    found, _ = module.stack_settings(CHECKOUT / module.STACK, module.STACK)
    stack = Costs(found, price_file.load(CHECKOUT))
    assert 0 < stack.estimate(1).total < stack.estimate(stack.most_tenants).total


def test_the_document_adds_up_and_leaves_out_choices_that_change_nothing() -> None:
    document = module.render("Pulumi.test.yaml", Costs(settings(network={"endpoints": ["s3"]}), PRICES))
    # Network 3 x 250 + 2 + flow logs 4 + 1.5 + 7, cluster 100 + 40 + 15 + 14, nodes at 102 each.
    assert "| network | 764.50 | 764.50 |" in document
    assert "| **all** | **1,137.50** | **1,341.50** |" in document
    assert "| 12 | 4 | 1,341.50 | 111.79 |" in document
    assert "| no flow logs | -12.50 |" in document
    assert "no interface endpoints" not in document


def test_a_document_that_is_stale_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "FILE", tmp_path / "costs.md")
    monkeypatch.setattr(sys, "argv", ["costs", "--check"])
    assert module.main() == 1
    assert "run `python -m model.costs`" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["costs"])
    assert module.main() == 0
    monkeypatch.setattr(sys, "argv", ["costs", "--check"])
    assert module.main() == 0
    (tmp_path / "costs.md").write_text("changed by hand")
    assert module.main() == 1
