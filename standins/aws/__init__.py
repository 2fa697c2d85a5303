"""Stand-in for pulumi-resource-aws: AWS' own API through boto3, answered by an emulator on this machine.

It follows the official provider (the bridge to terraform-provider-aws) where a program can see it: names, tags,
replacements, updates and refusals. Resource types, functions and properties it has no mapping for are
errors. Values come from the API's answers, never from the inputs alone.
"""

VERSION = "7.51.1"
"""The version of pulumi-aws that it replaces."""
