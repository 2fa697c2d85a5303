"""EC2 of the AWS stand-in: launch templates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from standins.aws.ec2 import Ec2Kind, require_groups
from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field
from standins.provider import RefusedError, Values

_SWITCHES = ("encrypted", "deleteOnTermination")
"""Truth values that the SDK writes as text."""
_EBS = {
    "volumeType": Field(computed=True),
    "volumeSize": Field(int, computed=True),
    **{name: Field(choices=("", "true", "false")) for name in _SWITCHES},
    "iops": Field(int, computed=True),
    "throughput": Field(int, computed=True),
    "kmsKeyId": Field(),
}
_METADATA = {
    "httpEndpoint": Field(computed=True),
    "httpTokens": Field(computed=True),
    "httpPutResponseHopLimit": Field(int, computed=True),
    "httpProtocolIpv6": Field(computed=True),
    "instanceMetadataTags": Field(computed=True),
}
_CONTENT: dict[str, Field] = {
    "imageId": Field(),
    "instanceType": Field(),
    "userData": Field(),
    "vpcSecurityGroupIds": Field(list, of=str, unordered=True, api="SecurityGroupIds"),
    "blockDeviceMappings": Field(list, of={"deviceName": Field(), "ebs": Field(dict, of=_EBS)}),
    "metadataOptions": Field(dict, of=_METADATA, computed=True),
    "tagSpecifications": Field(list, of={"resourceType": Field(), "tags": Field(dict, of=str)}),
}
"""The content of a template's version."""


class LaunchTemplate(Ec2Kind):
    """A template of EC2 instances. Another content is another version; only another name makes a new template."""

    token = "aws:ec2/launchTemplate:LaunchTemplate"  # noqa: S105 - a type's name
    resource_type = "launch-template"
    properties = {
        "name": Field(computed=True, replaces=True, api="LaunchTemplateName"),
        "description": Field(api="VersionDescription"),
        "defaultVersion": Field(int, computed=True, at="DefaultVersionNumber"),
        "updateDefaultVersion": Field(bool, api=None),
        **_CONTENT,
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "", "latestVersion": "LatestVersionNumber"}
    moving = dict.fromkeys(("latestVersion", "defaultVersion"), (*_CONTENT, "description"))
    longest_name = 125
    key = {"LaunchTemplateId": "{id}"}
    missing = ("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.NotFoundException")
    creates = Call("create_launch_template", answer="LaunchTemplate.LaunchTemplateId")
    reads = Call("describe_launch_templates", {"LaunchTemplateIds": ["{id}"]}, answer="LaunchTemplates.0")
    deletes = Call("delete_launch_template")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "defaultVersion" in inputs and "updateDefaultVersion" in inputs:
            yield "defaultVersion", "conflicts with updateDefaultVersion: give one of them"

    def creation(self, inputs: Values) -> Values:
        return {**self.arguments(inputs, ("name",)), **self._version(inputs), **self.initial_tags(inputs)}

    def _version(self, inputs: Values) -> Values:
        require_groups(self.aws, inputs.get("vpcSecurityGroupIds", []))
        content = self.arguments(inputs, _CONTENT)
        for mapping in content["BlockDeviceMappings"] or ():
            for name in map(self.spelled, _SWITCHES):
                if mapping.get("Ebs") and name in mapping["Ebs"]:
                    mapping["Ebs"][name] = {"true": True, "false": False}.get(mapping["Ebs"][name])
        for specification in content["TagSpecifications"] or ():
            specification["Tags"] = self.tagging.written(specification.get("Tags", {}))
        data = {key: value for key, value in content.items() if value}
        return {"VersionDescription": inputs.get("description"), "LaunchTemplateData": data}

    def describe(self, scope: Values, found: Values) -> Values:
        where = {"LaunchTemplateId": scope["id"], "Versions": ["$Latest"]}
        version = self.call("describe_launch_template_versions", **where)["LaunchTemplateVersions"][0]
        content = {
            **version["LaunchTemplateData"],
            "BlockDeviceMappings": [
                {**mapping, "Ebs": {key: _as_text(value) for key, value in mapping.get("Ebs", {}).items()}}
                for mapping in version["LaunchTemplateData"].get("BlockDeviceMappings", ())
            ],
            "TagSpecifications": [
                {**specification, "Tags": self.tagging.parsed(specification["Tags"])}
                for specification in version["LaunchTemplateData"].get("TagSpecifications", ())
                # The emulator puts the template's own tags here, which AWS takes for no tags of an instance.
                if specification["ResourceType"] != self.resource_type
            ],
        }
        return super().describe(scope, {**found, **version, **content})

    def apply(self, scope: Values, state: Values, inputs: Values, *, creating: bool = False) -> None:
        if creating:
            return
        latest = state["latestVersion"]
        if self.changed(state, inputs, *_CONTENT, "description"):
            made = self.call("create_launch_template_version", LaunchTemplateId=scope["id"], **self._version(inputs))
            latest = made["LaunchTemplateVersion"]["VersionNumber"]
        default = latest if inputs.get("updateDefaultVersion") else inputs.get("defaultVersion")
        if default and default != state["defaultVersion"]:
            if default > latest:
                raise RefusedError(f"{inputs['name']} has no version {default}: the latest is {latest}")
            self.call("modify_launch_template", LaunchTemplateId=scope["id"], DefaultVersion=str(default))


def _as_text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


KINDS: tuple[type[AwsKind], ...] = (LaunchTemplate,)
