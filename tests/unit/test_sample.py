"""tenants.sample.yaml: names every key of the schema, with its real default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from model.config import tenants
from model.config.departures import Departed
from model.config.products import Product
from model.config.tenants import Tenant, TenantsFile
from model.config.yaml_lines import YamlPath, parse

SAMPLE = (Path(__file__).parents[2] / "tenants.sample.yaml").read_text()
EVERYTHING = parse(re.sub(r"^( *)#(?=\S)", r"\1", SAMPLE, flags=re.MULTILINE), "tenants.sample.yaml")
"""The sample with all optional keys uncommented."""
LINES = SAMPLE.splitlines()


def models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in models(inner)]


def fields(model: type[BaseModel], path: YamlPath = ()) -> Iterator[tuple[YamlPath, FieldInfo]]:
    """Every key of a model and of the models in it, without list indexes."""
    for name, field in model.model_fields.items():
        inner = (*path, field.alias or name)
        yield inner, field
        for nested in models(field.annotation):
            yield from fields(nested, inner)


TENANT_FIELDS = dict(fields(Tenant))
# The keys of a source and of a notification are documented at a tenant's.
PRODUCT_FIELDS = {
    path: field for path, field in fields(Product) if path[0] not in ("source", "notify") or len(path) == 1
}


def documented(place: YamlPath, known: Mapping[YamlPath, FieldInfo]) -> dict[YamlPath, tuple[str, Any]]:
    """Each key of the sample's tenant or product: the comment above it and its value. The first mention counts."""
    found: dict[YamlPath, tuple[str, Any]] = {}
    for path, line in EVERYTHING.lines.items():
        key = tuple(step for step in path[2:] if isinstance(step, str))
        if place[0] == "products" and key[:1] in (("images",), ("rings",)):
            key = (*key[:1], *key[2:])  # without the image's or the ring's own name
        if path[:2] != place or not isinstance(path[-1], str) or key in found or key not in known:
            continue
        comment: list[str] = []
        for above in reversed(LINES[: line - 1]):
            if not re.match(r" *# ", above):
                break
            comment.insert(0, above.strip("# "))
        value = EVERYTHING.content
        for step in path:
            value = value[step]
        found[key] = " ".join(comment), value
    return found


DOCUMENTED = documented(("tenants", 0), TENANT_FIELDS)
DEPARTED_FIELDS = dict(fields(Departed))
DOCUMENTED_DEPARTED = documented(("departed", 0), DEPARTED_FIELDS)
DOCUMENTED_PRODUCT = documented(("products", "shop"), PRODUCT_FIELDS)


def test_the_sample_is_valid_as_it_is() -> None:
    (tenant,) = tenants.parse(parse(SAMPLE, "tenants.sample.yaml")).tenants
    assert (tenant.name, tenant.tier) == ("tenant-001", "basic")


def test_the_sample_is_valid_with_every_key() -> None:
    tenants.merge_and_validate(EVERYTHING)
    # A source has one revision only, and host keys only over SSH, as generations; Slack has no url.
    text = re.sub(
        r"(?m)^ *((tag|semver|alphabetical|commit|knownHosts|keyGeneration|keyConfirmed):|url: https://events).*\n",
        "",
        yaml.safe_dump(EVERYTHING.content),
    )
    # And a tenant has either a source or a product, and is either suspended or leaving.
    for other, state in (("product", "suspended"), ("source", "leaving")):
        content = yaml.safe_load(text)
        content["products"]["shop"]["rings"]["early"]["ref"] = {"tag": "v1.4.2"}
        content["tenants"][0]["pin"]["tag"] = "v1.3.9"
        del content["tenants"][0][state]
        del content["tenants"][0]["product" if other == "source" else "source"]
        if other == "source":
            for key in ("values", "images", "patches", "ring", "pin", "synthetic"):
                del content["tenants"][0][key]
        (tenant,) = tenants.parse(parse(yaml.safe_dump(content), "tenants.sample.yaml")).tenants
        assert getattr(tenant, other)


def test_the_sample_names_exactly_the_keys_of_the_schema() -> None:
    assert set(EVERYTHING.content) == set(TenantsFile.model_fields)
    assert set(DOCUMENTED) == set(TENANT_FIELDS)
    assert set(DOCUMENTED_PRODUCT) == set(PRODUCT_FIELDS)
    assert set(DOCUMENTED_DEPARTED) == set(DEPARTED_FIELDS)


@pytest.mark.parametrize(
    ("field", "documented"),
    [
        pytest.param(known[key], found[key], id=".".join(map(str, key)))
        for known, found in (
            (PRODUCT_FIELDS, DOCUMENTED_PRODUCT),
            (TENANT_FIELDS, DOCUMENTED),
            (DEPARTED_FIELDS, DOCUMENTED_DEPARTED),
        )
        for key in known
    ],
)
def test_the_sample_says_whether_a_key_is_required_and_its_default(
    field: FieldInfo, documented: tuple[str, Any]
) -> None:
    comment, value = documented
    marker = re.search(r"\((?:REQUIRED|OPTIONAL, default: (.+))\)$", comment)
    assert marker, comment
    default = marker[1]
    assert (default is None) == field.is_required()
    if default is None:
        return
    given = value if default == "as below" else None if default == "none" else yaml.safe_load(default)
    expected = field.get_default()
    if isinstance(expected, BaseModel):
        assert type(expected).model_validate(given) == expected
    else:
        assert given == expected
