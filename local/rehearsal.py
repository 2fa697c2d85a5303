"""`make rehearse`: creates, changes and destroys the stack prod-eu on a platform of its own.

It runs the program with the stack's own file. Beneath the program, AWS is a server on this machine, the cluster is the
embedded control plane, and GitHub is the embedded Git server.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from local import aws, backup, controlplane, left_on_aws, platform, pulumi, status
from local.aws_cli import OFFICE
from local.home import PROJECT, Home

STACK = "prod-eu"
READY_SECONDS = 180.0
DEPLOY_ROLE = "saas-in-eks-deploy"
BOUNDARIES = (f"saas-in-eks-{STACK}-platform-boundary", f"saas-in-eks-{STACK}-tenants-boundary")
"""Of pipeline/bootstrap.yaml. The emulator evaluates no boundary, so these allow everything."""
CODE = ("__main__.py", "Pulumi.yaml", "pyproject.toml", "tenants.schema.json")
FOLDERS = ("components", "model", "watchdog")


class RehearsalError(Exception):
    """The rehearsal found a difference from the promised behaviour; the message says which."""


@dataclass(frozen=True)
class Change:
    """What the engine did to a resource, or would do in a preview."""

    operation: str
    type: str
    urn: str

    @property
    def component(self) -> str:
        """The outermost component that the resource belongs to."""
        chain = self.urn.split("::")[2].split("$")
        return chain[0].removeprefix("saas:").partition(":")[2] or chain[0]


@dataclass
class Rehearsal:
    """A platform with an AWS emulator, and a copy of the project with its stack file."""

    home: Home
    stack: str = STACK
    source: Path = PROJECT
    """The project that is copied."""
    extra: dict[str, str] = field(default_factory=dict)
    given: dict[str, list[str]] = field(default_factory=dict)
    """AWS resources that existed before the program ran."""
    output: str = ""
    """What the last command said."""
    events: Path = field(default_factory=Path)
    """The last command's log of events, which the engine writes while it runs."""

    @property
    def project(self) -> Path:
        """The copy of the project."""
        return self.home.path / "project"

    @property
    def stack_file(self) -> Path:
        """The stack's configuration in the copy."""
        return self.project / f"Pulumi.{self.stack}.yaml"

    @property
    def tenants_file(self) -> Path:
        """The tenants in the copy."""
        return self.project / "tenants.yaml"

    def start(self, console: Console) -> None:
        """Start the platform and the AWS emulator, and create the stack."""
        _stack_content(self.source / self.stack_file.name)
        _yaml(self.source / self.tenants_file.name)
        shutil.rmtree(self.home.path, ignore_errors=True)
        self.home.create()
        pulumi.preload(self.home, aws=True)
        with ThreadPoolExecutor() as pool:  # both wait more than they compute
            started = pool.submit(aws.start, self.home)
            platform.start(self.home, console)
            started.result()
        self.extra = {**aws.environment(self.home), "SAAS_LOCAL_HOME": str(self.home.path)}
        self._copy_project()
        self._prepare_account()
        pulumi.ensure_stack(self.home, self.stack, cwd=self.project)

    def stop(self) -> None:
        """Stop everything. The folder with its logs stays until the next rehearsal."""
        aws.stop(self.home)
        platform.stop(self.home)

    def change_tenants(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the content of tenants.yaml."""
        content: dict[str, Any] = _yaml(self.tenants_file)
        change(content)
        self.tenants_file.write_text(yaml.safe_dump(content, sort_keys=False))

    def configure(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the stack's configuration, given without its keys' namespace."""
        content: dict[str, Any] = _yaml(self.stack_file)
        plain = {key.partition(":")[2]: value for key, value in content["config"].items()}
        change(plain)
        content["config"] = {f"saas-in-eks:{key}": value for key, value in plain.items()}
        self.stack_file.write_text(yaml.safe_dump(content, sort_keys=False))

    @contextmanager
    def edited(self, file: Path, edit: Callable[[str], str]) -> Iterator[None]:
        """Change a file of the copy, and restore it afterwards."""
        before = file.read_text()
        file.write_text(edit(before))
        try:
            yield
        finally:
            file.write_text(before)

    def run(self, *arguments: str, refused: str = "") -> list[Change]:
        """Run `pulumi` and return all changes. Raises PulumiError with its output if it fails.

        A command that has to be refused raises RehearsalError unless it fails with these words.
        """
        self.events = self.home.path / f"events-{time.monotonic_ns()}.json"
        command = [*arguments, "--stack", self.stack, "--event-log", str(self.events)]
        # Makes the command know --event-log, which the Automation API uses too.
        extra = {**self.extra, **pulumi.EPHEMERAL_STATE, "PULUMI_DEBUG_COMMANDS": "true"}
        done = pulumi.run(self.home, command, cwd=self.project, stream=False, check=not refused, extra=extra)
        self.output = done.stdout + done.stderr
        if refused and (done.returncode == 0 or refused not in self.output):
            raise RehearsalError(f"a refusal with {refused!r} was expected of `pulumi {arguments[0]}`: {self.output}")
        return list(_changes(self.said()))

    def said(self) -> str:
        """What the last command has said in its log, so far if it still runs."""
        return self.events.read_text() if self.events.is_file() else ""

    def state(self) -> list[dict[str, Any]]:
        """The resources in the state."""
        arguments = ["stack", "export", "--stack", self.stack]
        done = pulumi.run(self.home, arguments, cwd=self.project, stream=False, extra=self.extra)
        return json.loads(done.stdout)["deployment"].get("resources", [])

    def _copy_project(self) -> None:
        self.project.mkdir()
        for name in (*CODE, self.stack_file.name, self.tenants_file.name):
            shutil.copy(self.source / name, self.project / name)
        for name in FOLDERS:
            shutil.copytree(self.source / name, self.project / name, ignore=shutil.ignore_patterns("__pycache__"))
        (self.project / ".venv").symlink_to(self.source / ".venv")
        # The only difference from production: where repositories and the manifest are read from.
        self.configure(
            lambda config: config.update(mirrorsFile=str(self.home.mirrors), fluxManifest=str(self.home.manifest))
        )

    def leftovers(self) -> dict[str, list[str]]:
        """AWS resources that did not exist at the beginning, by kind."""
        now = aws.leftovers(self.home)
        left = {kind: sorted(set(names) - set(self.given.get(kind, []))) for kind, names in now.items()}
        return {kind: names for kind, names in left.items() if names}

    def _prepare_account(self) -> None:
        """Create what an account has before the program runs: roles of people and workflows, and the boundaries."""
        cluster = _stack_content(self.stack_file)["config"]["saas-in-eks:aws"]["cluster"]
        session = aws.session(self.home)
        statement = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        trust = {"Version": "2012-10-17", "Statement": [statement]}
        principals = [*cluster.get("administrators", []), *cluster.get("viewers", [])]
        for name in {*(principal.rpartition("/")[2] for principal in principals), DEPLOY_ROLE}:
            session.call("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        for name in BOUNDARIES:
            session.call("iam", "create_policy", PolicyName=name, PolicyDocument=json.dumps(everything))
        self.given = aws.leftovers(self.home)


def _yaml(file: Path) -> Any:
    """The content of a YAML file. Raises RehearsalError."""
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RehearsalError(f"{file.name} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise RehearsalError(f"{file.name} is not YAML: {error}") from None


def _stack_content(file: Path) -> dict[str, Any]:
    """A stack's file, if it is one whose settings the rehearsal can change. Raises RehearsalError.

    Every other mistake in it is the program's to report, in the first preview.
    """
    content = value = _yaml(file)
    for step in ("config", "saas-in-eks:aws", "cluster"):
        value = value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, dict) or value.get("compute") != "auto":
        raise RehearsalError(
            f"{file.name} has no cluster with Auto Mode, with which the rehearsal begins. Write `compute: auto` below "
            "`cluster:` of saas-in-eks:aws"
        )
    return content


def _changes(log: str) -> Iterator[Change]:
    for line in log.splitlines():
        event = json.loads(line).get("resourcePreEvent")
        if event and event["metadata"]["op"] not in ("same", "read", "refresh"):
            metadata = event["metadata"]
            yield Change(metadata["op"], metadata["type"], metadata["urn"])


@dataclass(frozen=True)
class Phase:
    """A row of the table."""

    name: str
    seconds: float
    changes: Sequence[Change]
    ends: str = ""
    """How the command ended, if not as usual; or what there is to say without a command."""

    def __str__(self) -> str:
        return ", ".join(part for part in (_counted(self.changes), self.ends) if part) or "no changes"


OLDER_VERSION, VERSION = "1.35", "1.36"
NODE_GROUP: dict[str, Any] = {
    "compute": "nodes",
    "nodes": {"instanceTypes": ["m7g.large"], "minimum": 3, "desired": 3, "maximum": 9},
}
"""The other way to run nodes, for the second life of the stack."""
NODE_GROUP_ADDONS = {
    "vpc-cni": "v1.21.1-eksbuild.1",
    "coredns": "v1.13.1-eksbuild.1",
    "kube-proxy": f"v{VERSION}.0-eksbuild.2",
    "eks-pod-identity-agent": "v1.3.10-eksbuild.1",
    "aws-ebs-csi-driver": "v1.53.0-eksbuild.1",
}
DESTROY = ("destroy", "--yes", "--skip-preview", "--run-program")
WAITS = f"Waiting until AWS has nothing left of PersistentVolume {left_on_aws.VOLUME}"
"""What `pulumi destroy` says while the volume is there."""
NEW_RELEASE = f"{VERSION}.2-20261201"


def begin_with_an_older_version(config: dict[str, Any]) -> None:
    """Leave a minor version to upgrade to."""
    config["aws"]["cluster"]["version"] = OLDER_VERSION


def change_administrators_and_size(config: dict[str, Any]) -> None:
    """Remove the viewers from a protected cluster, and raise the limit of its nodes."""
    config["aws"]["cluster"]["viewers"] = []
    nodes = config["aws"]["cluster"].setdefault("nodes", {})
    nodes["cpuLimit"] = 2 * nodes.get("cpuLimit", 64)


def lock_out(config: dict[str, Any]) -> None:
    """Let in another network than that of this machine."""
    config["aws"]["cluster"]["publicAccess"] = ["198.51.100.0/24"]


def let_in(config: dict[str, Any]) -> None:
    """Let in this machine again."""
    config["aws"]["cluster"]["publicAccess"] = [f"{OFFICE}/32"]


def upgrade(config: dict[str, Any]) -> None:
    """Raise the minor version."""
    config["aws"]["cluster"]["version"] = VERSION


def remove_protection(config: dict[str, Any]) -> None:
    """Let the next destroy delete data."""
    config["aws"]["protection"] = False


def run_a_node_group(config: dict[str, Any]) -> None:
    """Choose managed nodes in place of Auto Mode, whose load balancers webhooks came by."""
    config.pop("webhooks", None)
    cluster = config["aws"]["cluster"]
    config["aws"]["cluster"] = cluster | NODE_GROUP | {"addons": cluster.get("addons", {}) | NODE_GROUP_ADDONS}


def add_nodes(config: dict[str, Any]) -> None:
    """Raise the number of managed nodes."""
    config["aws"]["cluster"]["nodes"]["desired"] = 5


CORRECTED = "the way back; administrators change, nodes scale out, a tenant joins"


def rehearse(
    rehearsal: Rehearsal, console: Console, *, then: Callable[[Rehearsal, str], None] = lambda rehearsal, step: None
) -> list[Phase]:
    """Live through the stack's first month, twice: with Auto Mode and with managed nodes. Print a table.

    Raises RehearsalError for a broken promise. `then` is called after each step, with its name.
    """
    steps: list[Phase] = []

    @contextmanager
    def step(name: str, ends: str = "") -> Iterator[list[Change]]:
        changes: list[Change] = []
        began = time.monotonic()
        with console.status(name):
            yield changes
        steps.append(Phase(name, time.monotonic() - began, changes, ends))
        console.print(f"{name}: {steps[-1]} ({steps[-1].seconds:.1f} s)", highlight=False)
        then(rehearsal, name)

    def update(name: str, *operations: str) -> list[Change]:
        with step(name) as changes:
            changes += _only(rehearsal.run("up", "--yes", "--skip-preview"), *operations)
        return changes

    try:
        with step("platform and AWS' stand-in", "started"):
            rehearsal.start(console)
            rehearsal.configure(begin_with_an_older_version)
        with step("first preview") as changes:
            changes += _only(rehearsal.run("preview"), "create")
        planned = len(changes)
        created = len(update("first pulumi up", "create"))
        if created != planned:
            raise RehearsalError(f"the preview showed {planned} resources, the update created {created}")
        _show_components(rehearsal, console)
        with step("tenants", "ready"):
            _wait_for_tenants(rehearsal)
        update("second pulumi up")
        rehearsal.configure(change_administrators_and_size)
        rehearsal.configure(lock_out)
        with step("a mistake in publicAccess locks this machine out", "then refused") as changes:
            changes += rehearsal.run("up", "--yes", "--skip-preview", refused="cluster is unreachable")
        rehearsal.configure(let_in)
        rehearsal.change_tenants(add_a_tenant)
        update(CORRECTED, "create", "update", "delete")
        rehearsal.configure(upgrade)
        rehearsal.change_tenants(let_it_leave)
        update("minor upgrade", "update", "delete")
        with step("backup of a tenant's volume", "restored"):
            backup.rehearse(rehearsal.home, TENANT, lambda: _back_up(rehearsal))
        rehearsal.configure(remove_protection)
        rehearsal.change_tenants(remove_it)
        update("a tenant departs, protection goes off", "update", "delete", "discard")
        left_on_aws.make(rehearsal.home)
        with step("pulumi destroy lists a load balancer and a volume that nothing deletes", "then refused") as changes:
            rehearsal.run(*DESTROY[:-1], refused="You must run with the `--run-program` flag")
            changes += _deleted(rehearsal.run(*DESTROY, refused=f"Service default/{left_on_aws.SERVICE}"))
        if f"of the claim default/{left_on_aws.CLAIM}" not in rehearsal.output:
            raise RehearsalError(f"the refusal does not name the volume: {rehearsal.output}")
        left_on_aws.delete(rehearsal.home)
        with left_on_aws.driver(rehearsal.home, lambda: WAITS in rehearsal.said()):
            _destroy(rehearsal, step, "pulumi destroy waits for the volume, and deletes the rest")
        rehearsal.configure(run_a_node_group)
        rehearsal.change_tenants(have_one_tenant)
        # EKS' late log group is imported, then gets its retention and key.
        update("pulumi up after destroy, with a node group and one tenant", "create", "import", "update")
        aws.publish_release(rehearsal.home, VERSION, NEW_RELEASE)
        rehearsal.configure(add_nodes)
        update("new AMI release, nodes scale out", "update")
        if "The nodes are behind" not in rehearsal.output:
            raise RehearsalError("the update does not warn that nodes lack the newest release of their image")
        _destroy(rehearsal, step, "pulumi destroy")
    finally:
        rehearsal.stop()
    console.print(_table(steps))
    return steps


def _destroy(rehearsal: Rehearsal, step: Callable[[str], AbstractContextManager[list[Change]]], name: str) -> None:
    with step(name) as changes:
        changes += _deleted(rehearsal.run(*DESTROY))
    # EKS writes its last logs late, and makes the group again: the next `up` takes it over.
    if (left := rehearsal.leftovers()) != {"log group": [f"/aws/eks/{STACK}/cluster"]}:
        raise RehearsalError(f"AWS has {json.dumps(left)}, instead of EKS' log group only")


TENANT = "tenant-of-a-pull-request"
NEW_TENANT = f"""
  - name: {TENANT}
    source: {{url: "ssh://git@github.com/acme/product", branch: main, private: true}}
    aws:
      statements:
        - actions: [s3:GetObject, s3:PutObject]
          resources: ["arn:aws:s3:::acme-data/${{tenant}}/*"]
"""

TODAY = datetime.now(UTC).date()


def add_a_tenant(content: dict[str, Any]) -> None:
    """Add a tenant as the last one."""
    content["tenants"] = [*(content.get("tenants") or []), *yaml.safe_load(NEW_TENANT)]


def have_one_tenant(content: dict[str, Any]) -> None:
    """Have one tenant and no product: the second life is for what AWS makes again."""
    content["tenants"], content["products"] = yaml.safe_load(NEW_TENANT), {}
    content.pop("departed", None)


def let_it_leave(content: dict[str, Any]) -> None:
    """Let the last tenant leave, today."""
    content["tenants"][-1]["leaving"] = {"since": TODAY, "until": TODAY}


def remove_it(content: dict[str, Any]) -> None:
    """Remove the last tenant."""
    backup = {"id": "the vault's first recovery point", "restored": TODAY}
    departed = {"name": content["tenants"].pop()["name"], "since": TODAY, "backup": backup}
    content["departed"] = [*(content.get("departed") or []), departed]


def _back_up(rehearsal: Rehearsal) -> None:
    """Run `./saas tenant backup` for the tenant that leaves. Raises RehearsalError unless the bucket has its file."""
    command = ["tenant", "backup", TENANT, "--stack", rehearsal.stack, "--file", rehearsal.tenants_file]
    environment = pulumi.environment(rehearsal.home) | rehearsal.extra
    before = rehearsal.tenants_file.read_text()
    done = subprocess.run([PROJECT / "saas", *command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RehearsalError(f"./saas tenant backup failed: {done.stdout}{done.stderr}")
    recorded = yaml.safe_load(rehearsal.tenants_file.read_text())["tenants"][-1]["leaving"]["backup"]["id"]
    rehearsal.tenants_file.write_text(before)
    bucket, _, key = recorded.removeprefix("s3://").partition("/")
    aws.session(rehearsal.home).call("s3", "get_object", Bucket=bucket, Key=key)


def _deleted(changes: list[Change]) -> list[Change]:
    """A destroy's changes. It runs the program, which registers components and providers again before they go."""
    again = ("saas:", "eks:", "pulumi:")
    return _only(
        [each for each in changes if each.operation == "delete" or not each.type.startswith(again)], "delete", "discard"
    )


def _only(changes: list[Change], *operations: str) -> list[Change]:
    if wrong := [change for change in changes if change.operation not in operations]:
        raise RehearsalError(f"only {' and '.join(operations) or 'nothing'} was expected: {_listed(wrong)}")
    return changes


def _wait_for_tenants(rehearsal: Rehearsal) -> None:
    api = controlplane.administrator(rehearsal.home)
    status.Watch(api).finish(READY_SECONDS)
    if late := [f"{row.name}: {row.reason}" for row in status.reconciliations(api) if not row.ready]:
        raise RehearsalError(f"not ready after {READY_SECONDS:.0f} s: {'; '.join(late)}")


def _show_components(rehearsal: Rehearsal, console: Console) -> None:
    """How many resources each component has, on AWS and in all."""
    everything: Counter[str] = Counter()
    on_aws: Counter[str] = Counter()
    for resource in rehearsal.state():
        if resource.get("custom"):
            component = Change("", resource["type"], resource["urn"]).component
            everything[component] += 1
            on_aws[component] += resource["type"].startswith("aws:")
    table = Table("component", "resources", "on AWS")
    for component, count in everything.most_common():
        table.add_row(component, str(count), str(on_aws[component]))
    table.add_row("all", str(everything.total()), str(on_aws.total()), style="bold")
    console.print(table)


def _table(steps: Sequence[Phase]) -> Table:
    table = Table("step", "seconds", "result")
    for step in steps:
        table.add_row(step.name, f"{step.seconds:.1f}", str(step))
    table.add_row("all", f"{sum(step.seconds for step in steps):.1f}", "", style="bold")
    return table


def _counted(changes: Sequence[Change]) -> str:
    counts = Counter(change.operation for change in changes)
    return ", ".join(f"{count} {operation}" for operation, count in sorted(counts.items()))


def _listed(changes: Sequence[Change]) -> str:
    shown = [f"{change.operation} {change.type} {change.urn.split('::')[-1]}" for change in changes[:10]]
    return ", ".join(shown) + (f" and {len(changes) - 10} more" if len(changes) > 10 else "")
