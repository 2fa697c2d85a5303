"""AWS stand-in: LaunchTemplate."""

from __future__ import annotations

from collections.abc import Iterable

from standins.aws.ec2 import Ec2Kind, require_groups
from standins.aws.kind import REGION, TAGS, autoname, changed
from standins.provider import Property, RefusedError, Values

_MISSING = ["InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.NotFoundException"]
_EBS = {
    "volumeType": Property(computed=True),
    "volumeSize": Property(int, computed=True),
    "encrypted": Property(choices=("", "true", "false")),
    "deleteOnTermination": Property(choices=("", "true", "false")),
    "iops": Property(int, computed=True),
    "throughput": Property(int, computed=True),
    "kmsKeyId": Property(),
}
_METADATA = {
    "httpEndpoint": Property(computed=True),
    "httpTokens": Property(computed=True),
    "httpPutResponseHopLimit": Property(int, computed=True),
    "httpProtocolIpv6": Property(computed=True),
    "instanceMetadataTags": Property(computed=True),
}
_CONTENT: dict[str, Property] = {
    "imageId": Property(),
    "instanceType": Property(),
    "userData": Property(),
    "vpcSecurityGroupIds": Property(list, of=str, unordered=True),
    "blockDeviceMappings": Property(list, of={"deviceName": Property(), "ebs": Property(dict, of=_EBS)}),
    "metadataOptions": Property(dict, of=_METADATA, computed=True),
    "tagSpecifications": Property(list, of={"resourceType": Property(), "tags": Property(dict, of=str)}),
}
"""What a version of a template holds."""


class LaunchTemplate(Ec2Kind):
    """What EC2 starts instances from. Another content is another version; only another name makes a new template."""

    token = "aws:ec2/launchTemplate:LaunchTemplate"  # noqa: S105 - a type's name
    resource_type = "launch-template"
    properties = {
        "name": Property(computed=True, replaces=True),
        "description": Property(),
        "defaultVersion": Property(int, computed=True),
        "updateDefaultVersion": Property(bool),
        **_CONTENT,
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "latestVersion", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=125)
        yield from super().check(name, inputs, seed)
        if "defaultVersion" in inputs and "updateDefaultVersion" in inputs:
            yield "defaultVersion", "conflicts with updateDefaultVersion: give one of them"

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        if changed & {*_CONTENT, "description"}:
            yield from ("latestVersion", "defaultVersion")

    def create(self, inputs: Values) -> tuple[str, Values]:
        made = self.call(
            "create_launch_template",
            LaunchTemplateName=inputs["name"],
            VersionDescription=inputs.get("description"),
            LaunchTemplateData=self._content(inputs),
            TagSpecifications=self.tag_specifications(inputs),
        )
        return self.made(made["LaunchTemplate"]["LaunchTemplateId"], inputs)

    def _content(self, inputs: Values) -> Values:
        require_groups(self.aws, inputs.get("vpcSecurityGroupIds", []))
        return {
            "ImageId": inputs.get("imageId"),
            "InstanceType": inputs.get("instanceType"),
            "UserData": inputs.get("userData"),
            "SecurityGroupIds": inputs.get("vpcSecurityGroupIds") or None,
            "BlockDeviceMappings": [
                {"DeviceName": it.get("deviceName"), "Ebs": _renamed(it["ebs"], "true") if "ebs" in it else None}
                for it in inputs.get("blockDeviceMappings", ())
            ]
            or None,
            "MetadataOptions": _renamed(inputs.get("metadataOptions")),
            "TagSpecifications": [
                {
                    "ResourceType": it.get("resourceType"),
                    "Tags": [{"Key": key, "Value": value} for key, value in it.get("tags", {}).items()],
                }
                for it in inputs.get("tagSpecifications", ())
            ]
            or None,
        }

    def _find(self, identifier: str) -> Values | None:
        return self.one("describe_launch_templates", "LaunchTemplates", _MISSING, LaunchTemplateIds=[identifier])

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self._find(identifier)
        if found is None:
            return None
        where = {"LaunchTemplateId": identifier, "Versions": ["$Latest"]}
        version = self.call("describe_launch_template_versions", **where)["LaunchTemplateVersions"][0]
        return identifier, {
            "name": found["LaunchTemplateName"],
            "description": version.get("VersionDescription"),
            "defaultVersion": found["DefaultVersionNumber"],
            "latestVersion": found["LatestVersionNumber"],
            "updateDefaultVersion": state.get("updateDefaultVersion"),
            "arn": self.ec2_arn(identifier),
            **_state(version["LaunchTemplateData"]),
            **self.located(found, state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        latest = state["latestVersion"]
        if changed(self, state, inputs, *_CONTENT, "description"):
            made = self.call(
                "create_launch_template_version",
                LaunchTemplateId=identifier,
                VersionDescription=inputs.get("description"),
                LaunchTemplateData=self._content(inputs),
            )
            latest = made["LaunchTemplateVersion"]["VersionNumber"]
        default = latest if inputs.get("updateDefaultVersion") else inputs.get("defaultVersion")
        if default and default != state["defaultVersion"]:
            if default > latest:
                raise RefusedError(f"{inputs['name']} has no version {default}: the latest is {latest}")
            self.call("modify_launch_template", LaunchTemplateId=identifier, DefaultVersion=str(default))
        return super().update(identifier, state, inputs)

    def delete(self, identifier: str, state: Values) -> None:
        if self._find(identifier):
            self.call("delete_launch_template", LaunchTemplateId=identifier)


def _renamed(values: Values | None, true: str = "") -> Values | None:
    """An object as the API has it. The SDK writes some of its truth values as text, of which `true` is one."""
    if not values:
        return None
    converted = {"true": True, "false": False, "": None} if true else {}
    return {
        name[0].upper() + name[1:]: converted.get(value, value) if isinstance(value, str) else value
        for name, value in values.items()
    }


def _state(content: Values) -> Values:
    """A version's content as properties."""
    mappings = []
    for mapping in content.get("BlockDeviceMappings", ()):
        ebs = {name: mapping.get("Ebs", {}).get(name[0].upper() + name[1:]) for name in _EBS}
        told = {name: str(it).lower() if isinstance(it, bool) else it for name, it in ebs.items() if it is not None}
        mappings.append({"deviceName": mapping.get("DeviceName"), **({"ebs": told} if told else {})})
    options = content.get("MetadataOptions")
    return {
        "imageId": content.get("ImageId"),
        "instanceType": content.get("InstanceType"),
        "userData": content.get("UserData"),
        "vpcSecurityGroupIds": content.get("SecurityGroupIds") or None,
        "blockDeviceMappings": mappings or None,
        "metadataOptions": options and {name[0].lower() + name[1:]: value for name, value in options.items()},
        "tagSpecifications": [
            {"resourceType": it["ResourceType"], "tags": {tag["Key"]: tag["Value"] for tag in it["Tags"]}}
            for it in content.get("TagSpecifications", ())
            # The emulator puts the template's own tags here, which AWS takes for no tags of an instance.
            if it["ResourceType"] != "launch-template"
        ]
        or None,
    }


KINDS = (LaunchTemplate,)
