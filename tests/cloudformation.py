"""CloudFormation templates with their parameters, conditions and functions resolved; for roles, keys and a bucket."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

NOTHING = object()
"""The value of AWS::NoValue."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, such as !Ref."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("CloudFormation does not accept YAML aliases: write the value out")
        return super().compose_node(parent, index)


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {name: loader.construct_scalar(node)}


_Loader.add_multi_constructor("!", _short_form)


@functools.cache
def _read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), _Loader)


class Template:
    """A template with its parameters applied."""

    def __init__(self, path: Path, pseudo: Mapping[str, str], **parameters: str) -> None:
        self._document = _read(path)
        declared = self._document["Parameters"]
        if unknown := set(parameters) - set(declared):
            raise ValueError(f"no parameters of the template: {', '.join(sorted(unknown))}")
        self._values: dict[str, str] = {
            name: parameters.get(name) or parameter["Default"] for name, parameter in declared.items()
        }
        for name, value in self._values.items():
            assert re.fullmatch(declared[name].get("AllowedPattern", ".*"), value), f"{name} may not be {value!r}"
            assert value in declared[name].get("AllowedValues", [value]), f"{name} may not be {value!r}"
        self._values |= pseudo
        self._made = {
            name: resource for name, resource in self._document["Resources"].items() if self._wanted(resource)
        }
        self.resources: dict[str, Mapping[str, Any]] = {
            name: {**resource, "Properties": self._resolve(resource["Properties"])}
            for name, resource in self._made.items()
        }
        self.outputs: dict[str, str] = {
            name: self._resolve(output["Value"])
            for name, output in self._document["Outputs"].items()
            if self._wanted(output)
        }

    def of_type(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """Logical name -> properties of the resources of a type."""
        return {name: resource["Properties"] for name, resource in self.resources.items() if resource["Type"] == kind}

    def _wanted(self, part: Mapping[str, Any]) -> bool:
        return "Condition" not in part or self._holds({"Condition": part["Condition"]})

    def _holds(self, condition: Any) -> bool:
        ((function, value),) = condition.items()
        match function:
            case "Condition":
                return self._holds(self._document["Conditions"][value])
            case "Fn::Equals":
                return self._resolve(value[0]) == self._resolve(value[1])
            case "Fn::Not":
                return not self._holds(value[0])
            case "Fn::And":
                return all(map(self._holds, value))
        raise ValueError(f"{function} is not implemented here")

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._resolve, value) if item is not NOTHING]
        if not isinstance(value, dict):
            return value
        match list(value.items()):
            case [("Ref", name)]:
                return self._reference(name)
            case [("Fn::GetAtt", path)]:
                return self._attribute(path)
            case [("Fn::Sub", text)]:
                return re.sub(r"\$\{([\w:.]+)\}", lambda found: self._attribute(found[1]), text)
            case [("Fn::If", [condition, yes, no])]:
                return self._resolve(yes if self._holds({"Condition": condition}) else no)
        resolved = {key: self._resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NOTHING}

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NOTHING
        if name in self._values:
            return self._values[name]
        if self._made[name]["Type"] == "AWS::S3::Bucket":
            return self._resolve(self._made[name]["Properties"]["BucketName"])
        return self.arn(name)

    def _attribute(self, path: str) -> str:
        name, dot, attribute = path.partition(".")
        if not dot:
            return self._reference(name)
        assert attribute == "Arn", path
        return self.arn(name)

    def arn(self, name: str) -> str:
        """The ARN of the resource with this logical name. Raises KeyError if the template does not make it."""
        account, region = self._values["AWS::AccountId"], self._values["AWS::Region"]
        properties = self._made[name]["Properties"]
        match self._made[name]["Type"]:
            case "AWS::IAM::Role":
                return f"arn:aws:iam::{account}:role/{self._resolve(properties['RoleName'])}"
            case "AWS::IAM::ManagedPolicy":
                return f"arn:aws:iam::{account}:policy/{self._resolve(properties['ManagedPolicyName'])}"
            case "AWS::IAM::OIDCProvider":
                return f"arn:aws:iam::{account}:oidc-provider/{properties['Url'].removeprefix('https://')}"
            case "AWS::S3::Bucket":
                return f"arn:aws:s3:::{self._resolve(properties['BucketName'])}"
            case "AWS::KMS::Key":
                return f"arn:aws:kms:{region}:{account}:key/12345678-1234-1234-1234-123456789012"
        raise ValueError(f"the ARN of {name} is not implemented here")
