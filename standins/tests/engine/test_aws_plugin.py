"""A program's resources on an emulator of AWS, through the real `pulumi` command and the stand-in for its plugin."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import aws, pulumi, toolchain
from local.home import PROJECT, Home
from tests.platform import Step, changes

PROGRAM = """
import json

import pulumi
import pulumi_aws as aws

config = pulumi.Config()
opts = pulumi.ResourceOptions(
    provider=aws.Provider(
        "aws",
        region="eu-west-1",
        allowed_account_ids=[config.get("account") or "123456789012"],
        default_tags={"tags": {"Project": config.get("project") or "saas"}},
    )
)
vpc = aws.ec2.Vpc("it", cidr_block="10.0.0.0/16", enable_dns_hostnames=True, tags={"Name": "it"}, opts=opts)
subnet = aws.ec2.Subnet(
    "it", vpc_id=vpc.id, cidr_block=config.get("subnet") or "10.0.0.0/24", availability_zone="eu-west-1a", opts=opts
)
internet = aws.ec2.InternetGateway("it", vpc_id=vpc.id, opts=opts)
address = aws.ec2.Eip("it", domain="vpc", opts=opts)
nat = aws.ec2.NatGateway(
    "it",
    allocation_id=address.id,
    subnet_id=subnet.id,
    opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[internet])),
)
table = aws.ec2.RouteTable("it", vpc_id=vpc.id, opts=opts)
aws.ec2.Route("it", route_table_id=table.id, destination_cidr_block="0.0.0.0/0", nat_gateway_id=nat.id, opts=opts)
group = aws.ec2.SecurityGroup("it", vpc_id=vpc.id, opts=opts)
aws.vpc.SecurityGroupIngressRule(
    "it",
    security_group_id=group.id,
    ip_protocol="tcp",
    from_port=443,
    to_port=443,
    cidr_ipv4="10.0.0.0/16",
    opts=opts,
)
template = aws.ec2.LaunchTemplate(
    "it",
    update_default_version=True,
    block_device_mappings=[{"device_name": "/dev/xvda", "ebs": {"volume_size": int(config.get("disk") or 20)}}],
    metadata_options={"http_tokens": config.get("tokens") or "required"},
    opts=opts,
)
principals = ({"AWS": "arn:aws:iam::123456789012:root"}, {"Service": "logs.eu-west-1.amazonaws.com"})
statements = [{"Effect": "Allow", "Principal": each, "Action": "kms:*", "Resource": "*"} for each in principals]
policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
key = aws.kms.Key("it", enable_key_rotation=True, policy=policy, opts=opts)
# A group that is there already is taken over, and gets the program's settings in the same update.
late = aws.cloudwatch.get_log_groups(
    log_group_name_prefix="/late", opts=pulumi.InvokeOptions(provider=opts.provider)
).log_group_names
aws.cloudwatch.LogGroup(
    "it",
    name="/late",
    retention_in_days=30,
    kms_key_id=key.arn,
    opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(import_="/late" if late else None)),
)
pulumi.export("vpc", vpc.id)
pulumi.export("address", address.public_ip)
pulumi.export("template", template.latest_version)
found = aws.ec2.get_vpc_output(id=vpc.id, opts=pulumi.InvokeOutputOptions(provider=opts.provider))
pulumi.export("found", found.cidr_block)
"""


class Stack:
    """The program's only stack, in a home that has no platform but AWS."""

    def __init__(self, folder: Path) -> None:
        self.home, self.project = Home(folder / "home"), folder / "project"
        pulumi.install(self.home.create(), toolchain.ensure())
        aws.start(self.home)
        self.project.mkdir()
        (self.project / ".venv").symlink_to(PROJECT / ".venv")
        (self.project / "__main__.py").write_text(PROGRAM)
        runtime = {"name": "python", "options": {"virtualenv": ".venv"}}
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "plugin", "runtime": runtime}))
        pulumi.ensure_stack(self.home, "it", cwd=self.project)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        extra = aws.environment(self.home) | pulumi.EPHEMERAL_STATE | {"PULUMI_DEBUG_COMMANDS": "true"}
        command = [*arguments, "--stack", "it"]
        return pulumi.run(self.home, command, cwd=self.project, stream=False, check=check, extra=extra)

    def steps(self, *arguments: str) -> list[tuple[str, str]]:
        """The operations and types of all changes."""
        log = self.project / "events.json"
        log.unlink(missing_ok=True)
        self.run(*arguments, "--event-log", str(log))
        events = [json.loads(line) for line in log.read_text().splitlines()]
        done = changes([Step.parse(e["resourcePreEvent"]["metadata"]) for e in events if "resourcePreEvent" in e])
        return sorted((step.op, step.type.rpartition(":")[2]) for step in done)

    def up(self, **config: str) -> list[tuple[str, str]]:
        values = [option for key, value in config.items() for option in ("--config", f"{key}={value}")]
        return self.steps("up", "--yes", "--skip-preview", *values)

    def outputs(self) -> dict[str, Any]:
        return json.loads(self.run("stack", "output", "--json").stdout)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("aws")
    try:
        yield Stack(folder)
    finally:
        aws.stop(Home(folder / "home"))


def test_a_stack_comes_up_changes_and_leaves_nothing(stack: Stack) -> None:
    session = aws.session(stack.home)
    session.call("logs", "create_log_group", logGroupName="/late")
    planned = stack.steps("preview")
    assert ("create", "Vpc") in planned
    assert ("import", "LogGroup") in planned
    assert aws.leftovers(stack.home) == {"log group": ["/late"]}, "a preview made something"
    made = stack.up()
    (group,) = session.call("logs", "describe_log_groups", logGroupNamePrefix="/late")["logGroups"]
    assert group["retentionInDays"] == 30
    assert group["kmsKeyId"].startswith("arn:aws:kms:")
    assert len([op for op, _ in made if op == "create"]) == 13
    outputs = stack.outputs()
    assert outputs["vpc"].startswith("vpc-")
    assert (outputs["found"], outputs["template"]) == ("10.0.0.0/16", 1)

    assert stack.steps("preview") == []
    assert stack.steps("refresh", "--yes", "--skip-preview") == []
    assert stack.steps("preview") == []

    assert stack.up(disk="50") == [("update", "LaunchTemplate")]
    assert stack.outputs()["template"] == 2
    retagged = {op for op, _ in stack.up(project="renamed")}
    assert retagged == {"update"}
    assert ("replace", "Subnet") in stack.steps("preview", "--config", "subnet=10.0.1.0/24")

    refused = stack.run("up", "--yes", "--skip-preview", "--config", "tokens=perhaps", check=False)
    assert refused.returncode
    assert "LaunchTemplateData.MetadataOptions.HttpTokens is 'perhaps'" in refused.stdout + refused.stderr
    foreign = stack.run("preview", "--config", "account=999999999999", check=False)
    assert foreign.returncode
    assert "AWS account ID not allowed: 123456789012" in foreign.stdout + foreign.stderr

    assert set(aws.leftovers(stack.home)) >= {"vpc", "NAT gateway", "address", "launch template", "key"}
    stack.steps("destroy", "--yes", "--skip-preview")
    assert aws.leftovers(stack.home) == {}
