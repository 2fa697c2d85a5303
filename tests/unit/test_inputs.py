"""Inputs that would fail only in the cluster, at AWS or in the middle of an update: refused with line and remedy."""

from __future__ import annotations

import functools
import gzip
import hmac
import json
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from importlib.resources import files
from typing import Any, get_args, get_origin

import botocore.session
import pytest
import yaml
from pydantic.fields import FieldInfo

from model import checks
from model.config import mirrors, notifications, stack, tenants, yaml_lines
from model.config.aws import AwsSettings, NodeSettings, has_accelerators, is_arm
from model.config.base import Model, validate
from model.config.errors import InvalidConfigError
from model.config.mirrors import Mirror, MirrorsFile
from model.config.notifications import Notification
from model.config.stack import Settings
from model.config.tenants import TenantsFile
from model.config.yaml_lines import YamlFile
from model.warnings import accelerators, all_warnings
from tests.program.recorder import defaults

SOURCE = {"url": "https://github.com/acme/shop", "branch": "main"}
ALPHA: dict[str, Any] = {"name": "alpha", "source": SOURCE}
AWS: dict[str, Any] = {"region": "eu-west-1", "account": "123456789012", "cluster": {"adopt": True}}


def listed(text: str) -> tenants.TenantList:
    return tenants.parse(yaml_lines.parse(text, "tenants.yaml"))


def accepted(**changes: Any) -> tenants.Tenant:
    return listed(yaml.safe_dump({"tenants": [{**ALPHA, **changes}]})).tenants[0]


def settings(**changes: Any) -> Settings:
    content = {
        **defaults(),
        "aws": None,
        "network": None,
        "webhooks": None,
        "owner": "acme",
        "fluxManifest": "install.yaml",
        **changes,
    }
    return stack.parse(YamlFile("Pulumi.test.yaml", content, {}))


def refused(call: Any, *arguments: Any, **changes: Any) -> str:
    with pytest.raises(InvalidConfigError) as caught:
        call(*arguments, **changes)
    return "\n".join(str(problem) for problem in caught.value.problems)


def models(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in get_args(annotation):
        yield from models(inner)


def every_field(*roots: type[Model]) -> Iterator[tuple[type[Model], str, FieldInfo]]:
    """Every field of every model that an input can contain: its model, its key and itself."""
    waiting, seen = [*roots], set[type[Model]]()
    while waiting:
        model = waiting.pop()
        if model in seen:
            continue
        seen.add(model)
        for name, field in model.model_fields.items():
            yield model, field.alias or name, field
            waiting.extend(models(field.annotation))


FIELDS = [*every_field(Settings, TenantsFile, MirrorsFile)]

# Durations


TOO_LONG = ["3000000h", "2562047h48m", "8760h0m1s", "9" * 400 + "ms"]
TOO_SHORT = ["0s", "999ms", "0.5s", "-1m", "-1h30m", "1us", "1ns"]


@pytest.mark.parametrize("text", [*TOO_LONG, *TOO_SHORT])
def test_an_interval_that_flux_cannot_count_is_refused_at_its_line(text: str) -> None:
    for content in (
        f"tenants:\n- name: alpha\n  interval: {text}\n  source: {SOURCE}\n",
        f"tiers: {{}}\ndefaults:\n  interval: {text}\ntenants: []\n",
        f"tiers:\n  gold:\n    interval: {text}\ntenants: []\n",
    ):
        problem = refused(listed, content)
        assert problem.startswith("tenants.yaml:3: "), problem
        assert "1m0s" in problem


@pytest.mark.parametrize("text", ["1s", "1000ms", "1.5m", "1h30m", "8760h"])
def test_an_interval_from_a_second_to_a_year_is_accepted(text: str) -> None:
    assert accepted(interval=text).interval == text


DURATIONS = {
    ("Automation", "interval"): "9999h",
    **{
        (model, key): "3000000h"
        for model in ("Tier", "Tenant", "Defaults")
        for key in ("interval", "retryInterval", "timeout")
    },
    **{("Product", key): "3000000h" for key in ("interval", "timeout")},
    ("Ring", "soak"): "3000000h",
    ("Window", "for"): "25h",
    ("VpcSettings", "flowLogDays"): 10**12,
    ("ClusterSettings", "logDays"): 10**12,
    ("MonitoringSettings", "logDays"): 10**12,
    ("BackupSettings", "keepDays"): 10**12,
    ("RegistrySettings", "untaggedDays"): 10**12,
}


def test_every_duration_of_the_inputs_has_an_upper_limit() -> None:
    pattern = re.compile(r"interval|timeout|duration|days|hours|minutes|seconds|ttl|soak|^for$", re.IGNORECASE)
    single = [(model, key) for model, key, field in FIELDS if get_origin(field.annotation) is not list]
    durations = {(model.__name__, key): model for model, key in single if pattern.search(key)}
    assert durations.keys() == DURATIONS.keys()
    for (name, key), model in durations.items():
        problem = refused(validate, model, {key: DURATIONS[name, key]}, YamlFile("x.yaml", {}, {}))
        assert f"x.yaml: {key}: " in problem
        assert "Write " in problem


# YAML merge keys


def yaml_value(text: str) -> Any:
    return yaml_lines.parse(text, "x.yaml").content


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n",
        "a: &a {x: 1, y: 2}\nb: {x: 3, <<: *a}\n",
        "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b], z: 4}\n",
        "a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\nd: *b\ne: *b\n",
        "a: {<<: {x: 1}, x: 2}\n",
        "a: &a {x: {deep: 1}}\nb: {<<: *a, x: {other: 2}}\n",
        "a: &a {x: 1}\nb:\n- {<<: *a, x: 2}\n- {<<: *a}\n",
    ],
)
def test_a_merge_key_is_overridden_by_the_mappings_own_key(text: str) -> None:
    assert yaml_value(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["a: &a {x: 1}\nb: {<<: *a, x: 2, x: 3}\n", "a: &a {<<: {x: 1}, x: 2, x: 3}\nb: *a\n"])
def test_a_key_written_twice_is_refused_in_spite_of_a_merge(text: str) -> None:
    assert "duplicate key 'x'" in refused(yaml_value, text)


@pytest.mark.parametrize("text", ["b: {<<: 1}\n", "b: {<<: [1]}\n"])
def test_a_merge_key_takes_mappings_only(text: str) -> None:
    assert "x.yaml:1: " in refused(yaml_value, text)


def test_a_merge_key_that_contains_itself_is_refused() -> None:
    assert "contains itself" in refused(yaml_value, "a: &a {<<: *a}\n")


@pytest.mark.parametrize("level", ["{next}: &{next} [*{own}, *{own}]", "{next}: &{next} {{<<: [*{own}, *{own}]}}"])
def test_aliases_that_multiply_each_other_are_refused(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    lines = [level.format(own=f"l{number}", next=f"l{number + 1}") for number in range(14)]
    monkeypatch.setattr(yaml_lines, "MOST_VALUES", 1000)
    problem = refused(yaml_value, "\n".join(["l0: &l0 {x: 1}", *lines]))
    assert problem.startswith("x.yaml: more than 1,000 values, because aliases repeat others")
    assert yaml_value("\n".join(["l0: &l0 {x: 1}", *lines[:5]]))


def test_a_problem_of_a_merged_value_is_reported_where_it_is_written() -> None:
    text = """\
tenants:
  - name: alpha
    source: &source
      url: https://github.com/acme/shop
      branch: a b
  - name: beta
    source: {<<: *source, branch: main, path: ./other}
  - name: gamma
    source:
      <<: *source
      branch: c d
"""
    problem = refused(listed, text)
    assert re.findall(r"tenants\.yaml:(\d+): (\S+): ", problem) == [
        ("5", "tenants[0].source.branch"),
        ("11", "tenants[2].source.branch"),
    ]


# Lists


STATEMENT = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::data/${tenant}/*"]}
POLICY = {"arn": "arn:aws:iam::123456789012:policy/shop", "justification": "reads the shared catalogue"}
RULE = {"name": "web", "internet": True}
MIRROR = {"prefix": "https://github.com/", "url": "https://git.example.com/"}
NOTIFICATION = {"name": "ops", "type": "slack", "secret": "slackOps"}
SUBNET = "subnet-0123456789abcdef0"

TWICE: dict[tuple[str, str], Any] = {
    ("AddonSettings", "policies"): "arn:aws:iam::123456789012:policy/dns",
    ("AwsAccess", "policies"): POLICY,
    ("AwsAccess", "statements"): STATEMENT,
    ("AwsStatement", "actions"): "s3:GetObject",
    ("AwsStatement", "resources"): "arn:aws:s3:::data/${tenant}/*",
    ("ClusterSettings", "administrators"): "arn:aws:iam::123456789012:role/platform",
    ("ClusterSettings", "privateAccess"): "10.0.0.0/16",
    ("ClusterSettings", "publicAccess"): "203.0.113.0/24",
    ("ClusterSettings", "viewers"): "arn:aws:iam::123456789012:role/platform",
    ("EgressRule", "except"): "10.1.0.0/16",
    ("EgressRule", "ports"): 443,
    ("ExistingVpcSettings", "privateSubnets"): SUBNET,
    ("ExistingVpcSettings", "publicSubnets"): SUBNET,
    ("IdentitySettings", "callbackUrls"): "https://app.example.com/",
    ("IdentitySettings", "logoutUrls"): "https://app.example.com/",
    ("IdentitySettings", "tenantCallbackUrls"): "https://{tenant}.example.com/",
    ("IdentitySettings", "tenantLogoutUrls"): "https://{tenant}.example.com/",
    ("MirrorsFile", "mirrors"): MIRROR,
    ("MonitoringSettings", "emails"): "platform@example.com",
    ("NetworkRules", "apiServer"): "172.20.0.1/32",
    ("NetworkRules", "egress"): RULE,
    ("NetworkRules", "ingressControllers"): "ingress-nginx",
    ("NetworkRules", "loadBalancers"): "publicSubnets",
    ("NetworkRules", "monitoring"): "prometheus",
    ("NetworkSettings", "kustomizeReaches"): "kms.eu-west-1.amazonaws.com",
    ("NetworkSettings", "monitoring"): "prometheus",
    ("NetworkSettings", "ranges"): "10.0.0.0/8",
    ("NetworkSettings", "resolvers"): "10.0.0.10",
    ("NetworkSettings", "webhooks"): "ingress-nginx",
    ("NodeSettings", "instanceTypes"): "m7g.large",
    ("RegistrySettings", "mutableTags"): "latest",
    ("RegistrySettings", "repositories"): "product",
    ("Product", "notify"): NOTIFICATION,
    ("Ring", "refused"): "v1.5.0",
    ("Ring", "windows"): {"from": "02:00", "for": "4h"},
    ("Settings", "fluxComponents"): "source-controller",
    ("Settings", "notifications"): NOTIFICATION,
    ("TenantsFile", "tenants"): ALPHA,
    ("TenantsFile", "departed"): {"name": "alpha", "since": "2026-11-26"},
    ("Window", "days"): "mon",
    **{
        (tier, key): value
        for tier in ("Tier", "Tenant", "Defaults")
        for key, value in (
            ("annotations", "cert-manager.io/issuer"),
            ("hosts", "shop.example.com"),
            ("priorityClasses", "high"),
            ("registries", "ghcr.io/acme/"),
            ("runtimeClasses", "gvisor"),
            ("services", "NodePort"),
            ("storageClasses", "gp3"),
        )
    },
    ("Tenant", "images"): {"name": "app", "newTag": "1"},
    ("Tenant", "notify"): NOTIFICATION,
    ("Tenant", "patches"): {"patch": "{kind: Deployment, metadata: {name: app}}"},
    ("VpcSettings", "endpointAccounts"): "210987654321",
    ("VpcSettings", "endpoints"): "s3",
    ("VpcSettings", "reserved"): "192.168.0.0/24",
    ("VpcSettings", "zones"): "a",
}
"""For each list of the inputs, an entry that is valid once."""

ALSO_NEEDED = {("Settings", "fluxComponents"): ["kustomize-controller"]}

LISTS = {
    (model.__name__, key): (model, field)
    for model, key, field in FIELDS
    if (get_origin(field.annotation) or field.annotation) is list
}


def test_every_list_of_the_inputs_is_known() -> None:
    assert LISTS.keys() == TWICE.keys()


@pytest.mark.parametrize("place", sorted(LISTS.keys() & TWICE.keys()), ids=".".join)
def test_an_entry_that_is_listed_twice_is_refused(place: tuple[str, str]) -> None:
    model, field = LISTS[place]
    key, file = field.alias or place[1], YamlFile("x.yaml", {}, {})
    both = {key: [deepcopy(TWICE[place]) for _ in range(2)] + ALSO_NEEDED.get(place, [])}
    if next(models(field.annotation), None) is None:
        assert f"x.yaml: {key}[1]: " in (problem := refused(validate, model, both, file))
        assert "twice" in problem
    elif place == ("NetworkRules", "egress"):
        assert "two rules have the name 'web'" in refused(validate, model, both, file)
    elif place == ("TenantsFile", "tenants"):
        assert "duplicate tenant 'alpha'" in refused(listed, yaml.safe_dump(both))
    elif NOTIFICATION in both[key]:
        findings = notifications.broken_rules([Notification.model_validate(entry) for entry in both[key]])
        assert [message for _, message, _ in findings] == ["two notifications have the name 'ops'"]
    elif place == ("TenantsFile", "departed"):
        assert "departed[1].name: alpha has departed twice" in refused(listed, yaml.safe_dump({"tenants": [], **both}))
    elif place[0] == "Tenant":
        shop = {"products": {"shop": {"source": ALPHA["source"]}}}
        content = yaml.safe_dump({"tenants": [{"name": "alpha", "product": "shop", **both}], **shop})
        assert f"tenants[0].{key}[1]" in (problem := refused(listed, content))
        assert "twice" in problem
    elif place == ("Ring", "windows"):
        rings = {"canary": {}, "early": {"after": "canary", "ref": {"tag": "v1"}, **both}}
        shop = {"source": ALPHA["source"], "rings": rings}
        problem = refused(listed, yaml.safe_dump({"tenants": [], "products": {"shop": shop}}))
        assert "products.shop.rings.early.windows[1]: the same window is listed twice" in problem
    elif place == ("MirrorsFile", "mirrors"):
        problem = refused(mirrors.parse, yaml_lines.parse(yaml.safe_dump(both), "mirrors.yaml"))
        assert "mirrors.yaml:4: mirrors[1].prefix: https://github.com/ has a mirror on line 2" in problem
    else:
        found = listed(yaml.safe_dump({"tenants": [{**ALPHA, "aws": both}]}))
        said = "\n".join(str(problem) for problem in checks.aws_access(found, "123456789012"))
        assert f"tenants[0].aws.{key}[1]: " in said
        assert "listed twice" in said or "repeats statement 1" in said


def test_an_entry_that_is_listed_twice_is_reported_at_its_line() -> None:
    text = "tenants:\n- name: alpha\n  source: {}\n  hosts:\n  - alpha.example.com\n  - '{{tenant}}.example.com'\n"
    problem = refused(listed, text.format(SOURCE))
    assert "tenants.yaml:6: tenants[0].hosts[1]: 'alpha.example.com' is listed twice\n    Keep only one" in problem


def test_the_same_amount_in_another_notation_is_listed_twice() -> None:
    rule = {"name": "web", "cidr": "203.0.113.0/24", "ports": [443, "443/TCP"]}
    assert "egress[0].ports[1]: '443/TCP' is listed twice" in refused(accepted, network={"egress": [rule]})


# Tenants named like a namespace that is trusted


def trusted(text: str, stack_text: str = "", *mirror_list: Mirror) -> str:
    """The problems of tenants in namespaces that the tenants' file, the stack or mirrors trust."""
    file = yaml_lines.parse(stack_text, "Pulumi.test.yaml")
    content = {
        **defaults(),
        "aws": None,
        "network": None,
        "webhooks": None,
        "owner": "acme",
        "fluxManifest": "x",
        **(file.content or {}),
    }
    file = YamlFile(file.name, content, file.lines)
    found = checks.trusted_namespaces(stack.parse(file), file, listed(text), mirror_list)
    return "\n".join(str(problem) for problem in found)


NEIGHBOURS = f"""\
tiers:
  basic:
    network:
      ingressControllers:
      - ingress-nginx
      - traefik
defaults:
  network:
    monitoring: [prometheus]
tenants:
- name: first
  source: {SOURCE}
  network:
    egress:
    - {{name: queue, namespace: rabbitmq}}
- name: NAME
  source: {SOURCE}
"""

NAMED_LIKE = {
    "ingress-nginx": "network.ingressControllers on line 5",
    "traefik": "network.ingressControllers on line 6",
    "prometheus": "network.monitoring on line 9",
    "rabbitmq": "network.egress on line 15",
}


@pytest.mark.parametrize("name", NAMED_LIKE)
def test_a_tenant_named_like_a_trusted_namespace_is_refused(name: str) -> None:
    problem = trusted(NEIGHBOURS.replace("NAME", name))
    assert f"tenants.yaml:16: tenants[1].name: the namespace {name} is trusted by {NAMED_LIKE[name]}" in problem
    assert "Choose another name" in problem
    assert problem.count("is trusted by") == 1


def test_a_tenant_named_like_no_trusted_namespace_is_accepted() -> None:
    assert trusted(NEIGHBOURS.replace("NAME", "second")) == ""
    own = {"monitoring": ["alpha"], "egress": [{"name": "own", "namespace": "alpha"}]}
    assert trusted(yaml.safe_dump({"tenants": [{**ALPHA, "network": own}]})) == ""


def test_the_stacks_trusted_namespaces_are_not_tenants() -> None:
    text = yaml.safe_dump({"tenants": [ALPHA]})
    for key in ("monitoring", "webhooks"):
        problem = trusted(text, f"network:\n  {key}:\n  - other\n  - alpha\n")
        assert f"the namespace alpha is trusted by network.{key} of Pulumi.test.yaml on line 4" in problem


@pytest.mark.parametrize("host", ["vault.alpha", "vault.alpha.svc", "vault.alpha.svc.cluster.local", "a.b.alpha:8200"])
def test_a_host_that_flux_reaches_is_not_a_tenants_service(host: str) -> None:
    text = yaml.safe_dump({"tenants": [ALPHA]})
    problem = trusted(text, f"network:\n  kustomizeReaches:\n  - {host}\n")
    assert "the namespace alpha is trusted by network.kustomizeReaches of Pulumi.test.yaml on line 3" in problem
    mirror = Mirror(prefix="https://github.com/", url=f"https://{host}/")
    assert "the namespace alpha is trusted by the mirror https://" in trusted(text, "", mirror)
    others = {"name": "beta", "source": {**SOURCE, "url": f"https://{host}/acme/shop"}}
    problem = trusted(yaml.safe_dump({"tenants": [ALPHA, others]}))
    assert "tenants[0].name: the namespace alpha is trusted by source.url on line " in problem


@pytest.mark.parametrize(
    ("name", "addon"),
    [
        ("amazon-cloudwatch", {"amazon-cloudwatch-observability": "v4.6.0-eksbuild.1"}),
        ("alpha", {"external-dns": {"version": "v0.19.0-eksbuild.2", "namespace": "alpha", "serviceAccount": "dns", "policies": ["arn:aws:iam::123456789012:policy/dns"]}}),  # noqa: E501
    ],
)  # fmt: skip
def test_a_tenant_cannot_have_the_namespace_of_an_addon_and_so_its_role(name: str, addon: dict[str, Any]) -> None:
    aws = {
        "region": "eu-west-1",
        "account": "123456789012",
        "cluster": {"compute": "auto", "addons": addon, "publicAccess": ["203.0.113.0/24"]},
    }
    text = yaml.safe_dump({"tenants": [{**ALPHA, "name": name}]})
    assert f"the namespace {name} is trusted by the add-on {next(iter(addon))}" in trusted(
        text, yaml.safe_dump({"aws": aws})
    )


def test_a_host_outside_the_cluster_is_no_namespace() -> None:
    text = yaml.safe_dump({"tenants": [ALPHA, {"name": "beta", "source": {**SOURCE, "url": "https://alpha.org/x"}}]})
    assert trusted(text, "network:\n  kustomizeReaches: [alpha, alpha.example.org, kms.xalpha]\n") == ""


TRUSTING = {
    ("NetworkRules", "ingressControllers"),
    ("NetworkRules", "monitoring"),
    ("EgressRule", "namespace"),
    ("NetworkSettings", "monitoring"),
    ("NetworkSettings", "webhooks"),
    ("AddonSettings", "namespace"),
}


def test_every_field_that_takes_a_namespace_is_checked_against_tenants() -> None:
    assert {
        (model.__name__, key) for model, key, field in FIELDS if "namespace" in f"{key} {field.description}".lower()
    } - {
        ("Tenant", "name"),
        ("Tenant", "adopt"),
        *((tier, "role") for tier in ("Tier", "Tenant", "Defaults")),
    } == TRUSTING


# Sources: SSH host keys


def host_key(kind: str = "ssh-ed25519", *parts: bytes) -> str:
    """A public key in the format of known_hosts."""
    fields = [kind.encode(), *(parts or (bytes(32),))]
    return f"{kind} " + b64encode(b"".join(len(field).to_bytes(4, "big") + field for field in fields)).decode()


KEY = host_key()
HASHED = (
    f"|1|{b64encode(bytes(20)).decode()}|"
    + b64encode(hmac.digest(bytes(20), b"[git.example.com]:7999", "sha1")).decode()
)


def private(url: str, known_hosts: str | None = None) -> str:
    return yaml.safe_dump(
        {
            "tenants": [
                {
                    "name": "alpha",
                    "source": {
                        "url": url,
                        "branch": "main",
                        "private": True,
                        **({"knownHosts": known_hosts} if known_hosts else {}),
                    },
                }
            ]
        }
    )


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("git.example.com:7999", "ssh-keyscan -p 7999 git.example.com"),
        ("git.example.com:22", "ssh-keyscan git.example.com"),
        ("git.example.com", "ssh-keyscan git.example.com"),
        ("[fd00::7]:2222", "ssh-keyscan -p 2222 fd00::7"),
    ],
)
def test_missing_host_keys_are_asked_for_at_the_right_port(address: str, command: str) -> None:
    text = private(f"ssh://git@{address}/p/r.git")
    (problem,) = checks.unknown_hosts(listed(text), [])
    assert f"`{command}`" in problem.remedy
    for wrong in ("nonsense", f"other.example.com {KEY}"):
        assert f"`{command}`" in refused(listed, private(f"ssh://git@{address}/p/r.git", wrong))


@pytest.mark.parametrize(
    ("address", "lines"),
    [
        ("git.example.com", f"git.example.com {KEY}"),
        ("git.example.com:22", f"git.example.com {KEY}"),
        ("git.example.com:22", f"[git.example.com]:22 {KEY}"),
        ("git.example.com:7999", f"[git.example.com]:7999 {KEY}"),
        ("git.example.com:7999", f"# git.example.com:7999 SSH-2.0\n\n[git.example.com]:7999 {KEY} a comment\n"),
        ("git.example.com:7999", f"other {KEY}\n10.0.0.7,[git.example.com]:7999 {host_key('ssh-rsa', b'e', b'n')}"),
        # While a server changes its key: both, of the same type.
        ("git.example.com", f"git.example.com {KEY}\ngit.example.com {host_key('ssh-ed25519', 32 * b'n')}\n"),
        ("git.example.com", f"git.example.com {KEY}\n@revoked git.example.com {host_key('ssh-rsa', b'e', b'n')}\n"),
        ("git.example.com:7999", f"{HASHED} {KEY}"),
        ("git.example.com", f"*.example.com,!no.example.com {KEY}"),
        ("git.example.com", f"@cert-authority *.example.com {KEY}"),
        ("[fd00::7]:2222", f"[fd00::7]:2222 {KEY}"),
    ],
)
def test_host_keys_of_the_sources_host_and_port_are_accepted(address: str, lines: str) -> None:
    assert listed(private(f"ssh://git@{address}/p/r", lines)).tenants[0].own_source.known_hosts == lines


@pytest.mark.parametrize(
    ("address", "lines", "part"),
    [
        ("git.example.com", "nonsense", "line 1 is not a host key"),
        ("git.example.com", f"git.example.com {KEY}\nx y\n", "line 2 is not a host key"),
        ("git.example.com", KEY, "line 1 is not a host key"),
        ("git.example.com", "git.example.com ssh-ed25519 AAAA", "line 1 is not a host key"),
        ("git.example.com", f"git.example.com {KEY[:-8]}", "line 1 is not a host key"),
        ("git.example.com", f"git.example.com {KEY.replace('ssh-ed25519', 'ssh-rsa')}", "line 1 is not a host key"),
        ("git.example.com", f"@unknown git.example.com {KEY}", "line 1 is not a host key"),
        ("git.example.com", "# only a comment", "no key of git.example.com"),
        ("git.example.com", f"other.example.com {KEY}", "no key of git.example.com"),
        ("git.example.com", f"@revoked git.example.com {KEY}", "no key of git.example.com"),
        ("git.example.com", f"[git.example.com]:7999 {KEY}", "no key of git.example.com"),
        ("git.example.com", f"*.example.com,!git.example.com {KEY}", "no key of git.example.com"),
        ("git.example.com:7999", f"git.example.com {KEY}", "no key of [git.example.com]:7999"),
        ("git.example.com:7998", f"{HASHED} {KEY}", "no key of [git.example.com]:7998"),
    ],
)
def test_host_keys_of_another_form_host_or_port_are_refused(address: str, lines: str, part: str) -> None:
    problem = refused(listed, private(f"ssh://git@{address}/p/r", lines))
    assert problem.startswith("tenants.yaml:")
    assert f"tenants[0].source.knownHosts: {part}" in problem


def test_githubs_own_host_keys_are_accepted() -> None:
    assert len(stack.GITHUB_KNOWN_HOSTS.splitlines()) == 3
    for line in stack.GITHUB_KNOWN_HOSTS.splitlines():
        assert settings(knownHosts=line).github_known_hosts == line


def test_host_keys_of_the_stack_and_of_mirrors_are_checked() -> None:
    assert settings(knownHosts=f"github.com {KEY}\n").known_hosts
    problem = refused(settings, knownHosts=f"github.example.com {KEY}")
    assert "knownHosts: no key of github.com" in problem
    assert "ssh-keyscan github.com" in problem
    mirror = {"prefix": "ssh://git@github.com/", "url": "ssh://git@git.example.com:7999/", "knownHosts": f"x {KEY}"}
    problem = refused(mirrors.parse, yaml_lines.parse(yaml.safe_dump({"mirrors": [mirror]}), "mirrors.yaml"))
    assert "mirrors.yaml:2: mirrors[0].knownHosts: no key of [git.example.com]:7999" in problem
    mirror["knownHosts"] = f"[git.example.com]:7999 {KEY}"
    assert mirrors.parse(yaml_lines.parse(yaml.safe_dump({"mirrors": [mirror]}), "mirrors.yaml"))


@pytest.mark.parametrize("url", ["git@git.example.com:", "https://[x/", "git.example.com", "ssh://git@host:port/"])
def test_a_mirror_needs_a_url(url: str) -> None:
    file = yaml_lines.parse(yaml.safe_dump({"mirrors": [{"prefix": "https://github.com/", "url": url}]}), "m.yaml")
    assert "m.yaml:3: mirrors[0].url: " in refused(mirrors.parse, file)


def test_a_mirror_of_the_infra_repository_needs_host_keys() -> None:
    stack_settings, file = settings(mirrorsFile="m.yaml"), YamlFile("Pulumi.test.yaml", {}, {("mirrorsFile",): 4})
    mirror = Mirror(prefix="ssh://git@github.com/", url="ssh://git@git.example.com:7999/")
    (problem,) = checks.unknown_infra_host(stack_settings, file, [mirror])
    assert str(problem).startswith("Pulumi.test.yaml:4: mirrorsFile: the host keys of git.example.com are unknown\n")
    assert "`ssh-keyscan -p 7999 git.example.com`" in problem.remedy
    with_keys = mirror.model_copy(update={"known_hosts": "any"})
    assert not [*checks.unknown_infra_host(stack_settings, file, [with_keys])]
    assert not [*checks.unknown_infra_host(stack_settings, file, [])]


# Sources: servers, URLs and revisions


def source(**changes: Any) -> dict[str, Any]:
    return {**SOURCE, **changes}


RSA_ONLY = [
    "ssh://git@ssh.dev.azure.com/v3/acme/shop/shop",
    "ssh://acme@vs-ssh.visualstudio.com/v3/acme/shop/shop",
    "ssh://APKAEXAMPLE@git-codecommit.eu-west-1.amazonaws.com/v1/repos/shop",
    "ssh://git-codecommit-fips.us-east-1.amazonaws.com/v1/repos/shop",
]


@pytest.mark.parametrize("url", RSA_ONLY)
def test_a_server_that_takes_rsa_keys_only_is_refused_unless_mirrored(url: str) -> None:
    found = listed(private(url))
    (problem,) = checks.rsa_only_servers(found, [])
    assert str(problem).startswith("tenants.yaml:6: tenants[0].source.url: ")
    assert "takes RSA keys only, and deploy keys here are ECDSA keys" in problem.message
    assert "mirror" in problem.remedy
    mirror = Mirror(prefix=url, url="ssh://git@git.example.com/shop")
    assert not [*checks.rsa_only_servers(found, [mirror])]
    (problem,) = checks.rsa_only_servers(listed(private("ssh://git@git.example.com/shop")), [
        Mirror(prefix="ssh://git@git.example.com/", url=url)
    ])  # fmt: skip
    assert "takes RSA keys only" in problem.message


@pytest.mark.parametrize(
    "url",
    [
        "https://dev.azure.com/acme/shop/_git/shop",
        "https://acme.visualstudio.com/shop/_git/shop",
        "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/shop",
    ],
)
def test_no_remedy_leads_to_a_server_that_takes_rsa_keys_only(url: str) -> None:
    problem = refused(accepted, source=source(url=url, private=True))
    assert "takes RSA keys only" in problem
    assert "ssh://git@" not in problem


def test_codecommit_has_no_public_repositories() -> None:
    url = "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/shop"
    (problem,) = checks.rsa_only_servers(
        listed(yaml.safe_dump({"tenants": [{**ALPHA, "source": source(url=url)}]})), []
    )
    assert str(problem).startswith("tenants.yaml:5: tenants[0].source.url: CodeCommit has no public repositories\n")
    azure = source(url="https://dev.azure.com/acme/shop/_git/shop")
    assert not [*checks.rsa_only_servers(listed(yaml.safe_dump({"tenants": [{**ALPHA, "source": azure}]})), [])]


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("git@github.com:acme/shop.git", "Write ssh://git@github.com/acme/shop.git."),
        ("git@host.example.com:2222/acme/x", "Write ssh://git@host.example.com:2222/acme/x."),
        ("host.example.com:2222/acme/x", "Write ssh://git@host.example.com:2222/acme/x."),
        ("me@host.example.com:99999/acme/x", "Write ssh://me@host.example.com/99999/acme/x."),
        ("ssh://git@github.com:acme/shop.git", "Write ssh://git@github.com/acme/shop.git."),
        ("git+ssh://git@github.com/acme/shop", "Write ssh://git@github.com/acme/shop."),
        ("git+https://github.com/acme/shop", "Write https://github.com/acme/shop."),
        ("git::https://github.com/acme/shop", "Write https://github.com/acme/shop."),
        ("github.com/acme/shop", "Write https://github.com/acme/shop"),
        ("codecommit::us-east-1://repo", "mirror"),
        ("codecommit://repo", "mirror"),
        ("git@ssh.dev.azure.com:v3/acme/shop/shop", "mirror"),
        ("C:\\src\\shop", "Write https://HOST/OWNER/NAME or ssh://git@HOST/OWNER/NAME."),
    ],
)
def test_another_tools_notation_gets_the_url_to_write(url: str, remedy: str) -> None:
    problem = refused(accepted, source=source(url=url))
    assert "tenants[0].source.url: " in problem
    assert remedy in problem.split("\n    ")[1]


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        (
            "https://github.com/acme/x/tree/main/kustomize",
            "https://github.com/acme/x with branch: main and path: ./kustomize",
        ),
        ("https://github.com/acme/x/tree/main", "https://github.com/acme/x with branch: main."),
        (
            "https://github.com/acme/x/blob/v1/a/b/kustomization.yaml",
            "https://github.com/acme/x with branch: v1 and path: ./a/b.",
        ),
        ("https://github.com/acme/x/blob/main/README.md", "https://github.com/acme/x with branch: main."),
        ("https://github.com/acme/x/releases/tag/v1.2.3", "https://github.com/acme/x with tag: v1.2.3."),
        (f"https://github.com/acme/x/commit/{'a' * 40}", f'https://github.com/acme/x with commit: "{"a" * 40}".'),
        ("https://github.com/acme/x/pull/7", "https://github.com/acme/x."),
        ("https://github.com/acme", "https://github.com/OWNER/NAME"),
        ("https://www.github.com/acme/x/tree/main", "https://github.com/acme/x with branch: main."),
        ("https://raw.githubusercontent.com/acme/x/main/a.yaml", "https://github.com/acme/x with branch: main."),
        (
            "https://gitlab.com/acme/team/x/-/tree/main/deploy",
            "https://gitlab.com/acme/team/x with branch: main and path: ./deploy",
        ),
        (
            "https://gitlab.acme.com/acme/x/-/blob/main/deploy/k.yaml",
            "https://gitlab.acme.com/acme/x with branch: main and path: ./deploy",
        ),
        ("https://gitlab.com/acme/x/-/merge_requests/7", "https://gitlab.com/acme/x."),
        ("https://gitlab.com/acme/x/-/tags/v1", "https://gitlab.com/acme/x with tag: v1."),
        (
            "https://git.acme.com/acme/x/tree/main/kustomize",
            "https://git.acme.com/acme/x with branch: main and path: ./kustomize",
        ),
        (
            "https://bitbucket.org/acme/x/src/main/deploy/",
            "https://bitbucket.org/acme/x with branch: main and path: ./deploy",
        ),
        (
            "https://codeberg.org/acme/x/src/branch/main/deploy",
            "https://codeberg.org/acme/x with branch: main and path: ./deploy",
        ),
        ("https://codeberg.org/acme/x/src/tag/v1", "https://codeberg.org/acme/x with tag: v1."),
        ("https://bitbucket.acme.com/projects/P/repos/r/browse/deploy", "https://bitbucket.acme.com/scm/P/r"),
    ],
)
def test_a_pasted_page_of_a_browser_gets_the_repository_to_write(url: str, remedy: str) -> None:
    problem = refused(accepted, source=source(url=url))
    assert "tenants[0].source.url: " in problem
    assert f"Write {remedy}" in problem


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/x",
        "https://github.com/acme/tree",
        "https://github.com/acme/x.git",
        "https://gitlab.com/acme/team/sub/x.git",
        "https://git.example.com/srv/git/x.git",
        "https://git.example.com/src/x",
        "https://bitbucket.acme.com/scm/p/r.git",
        "https://dev.azure.com/acme/shop/_git/shop",
    ],
)
def test_a_repositorys_url_is_accepted(url: str) -> None:
    assert accepted(source=source(url=url)).own_source.url == url


GOOD_RANGES = """
* | x | 1 | 1.2 | 1.x | v1.2.3 | 1.2.x | 1.2.3-rc.1 | ~1.2 | ~>1.2.3 | ^0.2 | >=1.0.0 <2.0.0 | >=1.0.0, <2.0.0
>=1 || <5 | >=01.2.3 | >=1.0.0-0 | 1.0 - 2.0 | 1.0.0-alpha - 2 | != 1.2.3 | =>1.0 | =<2.0
<1 || >2, <3 | 1.2.3+build | >1.0.0-0 <2 || ^3
"""
BAD_RANGES = """
latest | main | 1.2.3.4 | >=1.0.0 and <2.0.0 | ==1.0 | > | ^ | 1.2.3- | 1..2 | v | 1.0.0,, 2 | >=1.0.0 | | 1,2,
~=1.4 | >= 1.0.0 <= | 1.2.3-01 | 99999999999999999999 | >=1.0.0 & <2 | [1.0,2.0) | refs/tags/v1 | v* latest | 1x.2
"""


def ranges(text: str) -> list[str]:
    return [part.strip() for line in text.strip().splitlines() for part in re.split(r" \| (?!\|)", line)]


@pytest.mark.parametrize("text", ranges(GOOD_RANGES))
def test_a_range_of_versions_is_accepted(text: str) -> None:
    assert accepted(source={"url": SOURCE["url"], "semver": text}).own_source.reference == {"semver": text}


@pytest.mark.parametrize("text", [*ranges(BAD_RANGES), " ", "1.0 ||", "|| 1.0"])
def test_a_range_that_flux_cannot_parse_is_refused(text: str) -> None:
    problem = refused(accepted, source={"url": SOURCE["url"], "semver": text})
    assert "tenants[0].source.semver: " in problem
    assert "is not a range of versions" in problem
    assert ">=1.0.0 <2.0.0" in problem


@pytest.mark.parametrize("kind", ["branch", "tag"])
@pytest.mark.parametrize("name", ["refs/heads/main", "refs/tags/v1"])
def test_a_full_reference_is_refused_for_a_branch_or_tag(kind: str, name: str) -> None:
    problem = refused(accepted, source={"url": SOURCE["url"], kind: name})
    assert f"Write {name.split('/')[2]}." in problem


@pytest.mark.parametrize("kind", ["branch", "tag"])
def test_an_empty_reference_is_refused(kind: str) -> None:
    problem = refused(accepted, source={"url": SOURCE["url"], kind: ""})
    assert f"tenants[0].source.{kind}: is empty" in problem


def test_the_infra_repositorys_branch_is_checked_like_a_products() -> None:
    for name in ("a b", "refs/heads/main", "main/", ""):
        assert "Pulumi.test.yaml: branch: " in refused(settings, branch=name)


@pytest.mark.parametrize("key", ["ca", "caFile", "caCert", "certSecretRef", "secretRef", "insecure", "insecureSkipTLS"])
@pytest.mark.parametrize("place", ["tenants", "defaults"])
def test_a_ca_of_ones_own_is_refused_with_the_way_that_works(key: str, place: str) -> None:
    value = source(**{key: "x"})
    content = (
        {"tenants": [{**ALPHA, "source": value}]}
        if place == "tenants"
        else {"defaults": {"source": value}, "tenants": []}
    )
    problem = refused(listed, yaml.safe_dump(content))
    assert f"unknown key '{key}'" in problem
    assert "ssh://" in problem
    assert "knownHosts" in problem


@pytest.mark.parametrize("owner", ["alice_acme", "a-b_acme", "Acme", "a" * 39, "alice_admin"])
def test_the_owner_can_be_a_managed_user_of_an_enterprise(owner: str) -> None:
    assert settings(owner=owner).owner == owner
    assert listed(private(f"ssh://git@github.com/{owner}/x")).tenants[0].own_source.github_repository == (owner, "x")


@pytest.mark.parametrize(
    "owner", ["a_b_c", "_acme", "acme_", "a" * 40, "a" * 36 + "_acme", "-a", "a--b", "a/b", "a_b-c"]
)
def test_a_name_that_github_does_not_allow_is_refused(owner: str) -> None:
    assert "not a GitHub user" in refused(settings, owner=owner)


# AWS


def aws(**changes: Any) -> AwsSettings:
    found = settings(aws={**AWS, **changes}).aws
    assert found
    return found


@functools.cache
def partitions() -> dict[str, str]:
    """Every region that botocore knows, with its partition."""
    session = botocore.session.get_session()
    return {
        region: partition
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition, allow_non_regional=False)
    }


OTHER_PARTITIONS = {region: partition for region, partition in partitions().items() if partition != "aws"}


@pytest.mark.parametrize(
    "region", [*OTHER_PARTITIONS, "us-gov-west-9", "cn-noth-1", "us-isob-east-9", "eusc-fr-east-1"]
)
def test_a_region_of_another_partition_is_not_supported(region: str) -> None:
    problem = refused(aws, region=region)
    assert f"aws.region: {region} is in another partition of AWS" in problem
    assert OTHER_PARTITIONS.get(region, "aws-") in problem
    assert not any(known in problem.replace(region, "") for known in partitions())


@pytest.mark.parametrize("region", ["eu-west-7", "us-weast-1", "ireland", "gov", "china"])
def test_a_misspelt_region_is_answered_within_the_partition(region: str) -> None:
    problem = refused(aws, region=region)
    assert "is not an AWS region" in problem
    assert not any(other in problem for other in OTHER_PARTITIONS)


OTHER_ARNS = ["arn:aws-us-gov:iam::123456789012:role/platform", "arn:aws-cn:iam::123456789012:role/platform"]


@pytest.mark.parametrize("arn", OTHER_ARNS)
def test_an_arn_of_another_partition_is_not_supported(arn: str) -> None:
    policy = {**POLICY, "arn": arn.replace("role", "policy")}
    statement = {**STATEMENT, "resources": [arn.replace("iam", "s3")]}
    ses = {"identity": arn.replace("iam:", "ses:eu-west-1"), "sender": "a@example.com"}
    users = {"domain": "shop", "callbackUrls": ["https://app.example.com/"], "email": ses}
    for problem in (
        refused(aws, cluster={"administrators": [arn]}),
        refused(aws, cluster={"viewers": [arn]}),
        refused(aws, identity=users),
        refused(accepted, aws={"policies": [policy]}),
        refused(accepted, aws={"statements": [statement]}),
    ):
        assert f"is in another partition of AWS, {arn.split(':')[1]}, which is not supported" in problem


def instance_types() -> list[str]:
    return botocore.session.get_session().get_service_model("ec2").shape_for("InstanceType").enum


def test_every_instance_type_that_botocore_knows_is_accepted() -> None:
    assert len(instance_types()) > 1000
    for kind in [*instance_types(), "m10g.large", "r12gd.metal-48xl"]:
        assert NodeSettings.model_validate({"instanceTypes": [kind]}).instance_types == [kind]


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("m7g.lagre", "Did you mean m7g.large?"),
        ("m7g.4xlrage", "Did you mean m7g.4xlarge?"),
        ("m7g", "Write it as EC2 does: m7g.large."),
        ("m7g-large", "Write it as EC2 does: m7g.large."),
        ("M7G.large", "Did you mean m7g.large?"),
        ("large", "Write it as EC2 does: m7g.large."),
        ("mg.large", "Write it as EC2 does: m7g.large."),
        ("7mg.large", "Write it as EC2 does: m7g.large."),
        ("m7g.large ", "Did you mean m7g.large?"),
        ("db.m7g.large", "Did you mean m7g.large?"),
        ("ml.m7g.large", "Did you mean m7g.large?"),
        ("", "Write it as EC2 does: m7g.large."),
    ],
)
def test_a_name_that_is_no_instance_type_is_refused(kind: str, remedy: str) -> None:
    problem = refused(aws, cluster={"nodes": {"instanceTypes": [kind]}})
    assert "aws.cluster.nodes.instanceTypes[0]: " in problem
    assert "is not an instance type" in problem
    assert remedy in problem


def test_instance_types_with_accelerators_are_warned_about() -> None:
    def warned(*kinds: str) -> str:
        nodes = {"instanceTypes": [*kinds]}
        return "\n".join(accelerators(AwsSettings.model_validate({**AWS, "cluster": {"nodes": nodes}})))

    for kind in ("g5.xlarge", "g4dn.xlarge", "gr6.4xlarge", "p5.48xlarge", "p6-b200.48xlarge", "inf2.xlarge"):
        assert f"{kind} has accelerators" in warned("m7i.large", kind)
        assert "m7i.large has" not in warned("m7i.large", kind)
    for kind in ("trn1.2xlarge", "dl1.24xlarge", "vt1.3xlarge", "f2.6xlarge", "g5g.xlarge"):
        assert kind in warned(kind)
    for kind in (
        "m7g.large",
        "c7gn.large",
        "i4g.large",
        "im4gn.large",
        "t4g.large",
        "hpc7g.4xlarge",
        "u7i-6tb.112xlarge",
    ):
        assert warned(kind) == ""
    assert [*accelerators(None)] == []
    assert [*accelerators(AwsSettings.model_validate({**AWS, "cluster": {"adopt": True}}))] == []
    settings = AwsSettings.model_validate({**AWS, "cluster": {"nodes": {"instanceTypes": ["g5.xlarge"]}}})
    assert any("g5.xlarge has accelerators" in text for text in all_warnings([], settings, date(2026, 11, 26)))


def test_names_of_instance_types_tell_processor_and_accelerators_as_ec2_does() -> None:
    known = json.loads(gzip.decompress((files("moto.ec2.resources") / "instance_types.json.gz").read_bytes()))
    assert len(known) > 1000
    architectures = {name: kind["ProcessorInfo"]["SupportedArchitectures"] for name, kind in known.items()}
    assert [name for name, found in architectures.items() if is_arm(name) != ("arm64" in found)] == []
    parts = ("GpuInfo", "NeuronInfo", "InferenceAcceleratorInfo", "FpgaInfo", "MediaAcceleratorInfo")
    accelerated = {name for name, kind in known.items() if any(kind.get(part) for part in parts)}
    # The description of this type leaves its chips out.
    assert {name for name in known if has_accelerators(name)} - accelerated == {"trn2u.48xlarge"}
    assert [name for name in accelerated if not has_accelerators(name)] == []


@pytest.mark.parametrize("text", ["1  " * 60 + "!", "1 , " * 60 + "!", "1" * 500 + "!", "1-" + "a-" * 200 + "!"])
def test_a_long_range_of_versions_is_refused_at_once(text: str) -> None:
    started = time.monotonic()
    assert "is not a range of versions" in refused(accepted, source={"url": SOURCE["url"], "semver": text})
    assert time.monotonic() - started < 2


def test_a_pasted_page_with_a_password_does_not_repeat_it() -> None:
    assert "secret" not in refused(accepted, source=source(url="https://me:secret@gitlab.com/acme/x/-/tree/main"))
    problem = refused(accepted, source=source(url="ssh://git:secret@github.com/acme/x", private=True))
    assert "the URL contains credentials" in problem
    assert "secret" not in problem


def test_the_form_of_a_nodes_release_and_of_a_mail_identity_is_checked() -> None:
    nodes = NodeSettings.model_validate({"release": "1.36.1-20261110"})
    assert nodes.release
    for release in ("latest", "1.36", "v20261110", "ami-0123456789abcdef0"):
        problem = refused(aws, cluster={"nodes": {"release": release}})
        assert "aws.cluster.nodes.release: " in problem
        assert "such as 1.36.1-20261110" in problem
    email = {"identity": "arn:aws:iam::123456789012:role/mail", "sender": "a@example.com"}
    users = {"domain": "shop", "callbackUrls": ["https://app.example.com/"], "email": email}
    problem = refused(aws, identity=users)
    assert "aws.identity.email.identity: " in problem
    assert "arn:aws:ses:" in problem
