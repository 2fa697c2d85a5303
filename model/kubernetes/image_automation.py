"""Objects of a product's image automation: Flux scans its images and commits the newest versions to its repository.

All are in the product's namespace. The write key's GitRepository is suspended: the automation only reads its spec, so
that source-controller, which serves tenants too, never uses the key.
"""

from __future__ import annotations

import re
from typing import Any

from model.config.images import Automation, ProductImage
from model.config.mirrors import Location
from model.config.names import product_namespace
from model.config.products import Product
from model.kubernetes.manifests import Manifest, source_spec
from model.kubernetes.products import product_labels

IMAGE_API = "image.toolkit.fluxcd.io/v1"

MESSAGE = """\
{{- $tags := list -}}
{{- range .Changed.Changes -}}
{{- $tags = append $tags (regexFind "[^:/]+$" (regexReplaceAll "@?sha256:[0-9a-f]+$" .NewValue "")) -}}
{{- end -}}
{{ .AutomationObject.Name }}: {{ without (uniq $tags) "" | sortAlpha | join ", " }}

{{ range .Changed.Changes }}{{ .Setter }}: {{ .NewValue }}
{{ end }}
Cluster: {{ .Values.cluster }}
{{- with .Values.hold }}
Hold: {{ . }}
{{- end }}
"""
"""The commit's message. It has new values and the names of policies only, which are the platform's and the registry's:
the values before are text of the product's repository. Its last line tells the check of the pull request that a version
is held."""


def write_name(product: str) -> str:
    """Name of the source to push to, and of the Secret with its key."""
    return f"{product}-write"


def signing_name(product: str) -> str:
    """Name of the Secret with the key that signs commits."""
    return f"{product}-signing"


def git_repository(name: str, product: Product, location: Location) -> Manifest:
    """GitRepository that the automation clones and pushes to."""
    spec = source_spec(product.source, location, interval=product.interval, secret=write_name(name))
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": _metadata(name, write_name(name)),
        "spec": {**spec, "timeout": product.timeout, "suspend": True},
    }


def signing_secret(name: str, private_key: Any) -> Manifest:
    """Secret with the key that signs the automation's commits."""
    metadata = _metadata(name, signing_name(name))
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"identity": private_key}}


def image_repository(name: str, key: str, image: Any, interval: str, *, ecr: bool, insecure: bool) -> Manifest:
    """ImageRepository: how often Flux asks a registry for an image's tags, on ECR with the scanner's AWS role."""
    spec: Manifest = {
        "image": image,
        "interval": interval,
        "timeout": "1m0s",
        # Tags that are no releases: signatures and attestations, and marks of images that must not expire.
        "exclusionList": [r"^.*\.(sig|att|sbom)$", "^keep-"],
    }
    if insecure:
        spec["insecure"] = True
    if ecr:
        spec["provider"] = "aws"
    return {"apiVersion": IMAGE_API, "kind": "ImageRepository", "metadata": _metadata(name, key), "spec": spec}


def image_policy(name: str, key: str, image: ProductImage, hold: str | None) -> Manifest:
    """ImagePolicy: which tag is the newest, with the digest that it had when it was first seen."""
    policy: Manifest
    filters: Manifest = image.filter_tags.model_dump(exclude_none=True) if image.filter_tags else {}
    if image.semver is not None:
        policy = {"semver": {"range": f"={hold}" if hold else image.semver}}
    elif image.numerical is not None:
        policy = {"numerical": {"order": image.numerical}}
    else:
        policy = {"alphabetical": {"order": image.alphabetical}}
    if hold and image.semver is None:
        filters = {"pattern": f"^{re.escape(hold)}$"}
    spec: Manifest = {
        "imageRepositoryRef": {"name": key},
        "policy": policy,
        "digestReflectionPolicy": "IfNotPresent",
    }
    if filters:
        spec["filterTags"] = filters
    return {"apiVersion": IMAGE_API, "kind": "ImagePolicy", "metadata": _metadata(name, key), "spec": spec}


def image_update_automation(name: str, product: Product, automation: Automation) -> Manifest:
    """ImageUpdateAutomation: writes the policies' tags to marked values below the source's path, signs and pushes."""
    branch = product.source.branch
    values = {"cluster": automation.writer, **({"hold": automation.hold} if automation.hold else {})}
    git = {
        "checkout": {"ref": {"branch": branch}},
        "push": {"branch": automation.to or branch},
        "commit": {
            "author": {
                "name": f"Flux of {automation.writer}",
                "email": automation.email or f"flux@{automation.writer}.invalid",
            },
            "messageTemplate": MESSAGE,
            "messageTemplateValues": values,
            "signingKey": {"type": "ssh", "secretRef": {"name": signing_name(name)}},
        },
    }
    return {
        "apiVersion": IMAGE_API,
        "kind": "ImageUpdateAutomation",
        "metadata": _metadata(name, name),
        "spec": {
            "sourceRef": {"kind": "GitRepository", "name": write_name(name)},
            "interval": automation.interval,
            "policySelector": {"matchLabels": product_labels(name)},
            "update": {"path": product.source.path, "strategy": "Setters"},
            "git": git,
        },
    }


def _metadata(product: str, name: str) -> Manifest:
    return {"name": name, "namespace": product_namespace(product), "labels": product_labels(product)}
