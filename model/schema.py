"""How pydantic's findings become mistakes that name a file, a line and a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from model.document import Document, Place
from model.mistakes import Mistake, MistakesError, nearest


class Model(BaseModel):
    """Data that was checked: immutable, without unknown keys, without conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)


M = TypeVar("M", bound=Model)

WANTED = {
    "string_type": ("has to be text", 'Put it in quotes: "…".'),
    "bool_type": ("has to be true or false", "Write true or false, without quotes."),
    "int_type": ("has to be a whole number", "Write it without quotes."),
    "list_type": ("has to be a list", "Begin each entry with `- `."),
    "dict_type": ("has to be a mapping", "Write `key: value` lines below it."),
    "model_type": ("has to be a mapping", "Write `key: value` lines below it."),
    "model_attributes_type": ("has to be a mapping", "Write `key: value` lines below it."),
    "string_too_short": ("is empty", "Give it a value or leave the key out."),
}


def wrong(message: str, remedy: str) -> PydanticCustomError:
    """For validators: a finding with its remedy."""
    return PydanticCustomError("rule", "{message}", {"message": message, "remedy": remedy})


def validated(model: type[M], document: Document) -> M:
    """The document as a model. Raises MistakesError with everything that is wrong."""
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        raise MistakesError(mistakes(model, error, document)) from None


def mistakes(model: type[Model], error: ValidationError, document: Document, base: Place = ()) -> Iterator[Mistake]:
    """Each finding of pydantic's as a mistake at its line; `base` is where the model stands in the document."""
    for finding in error.errors(include_url=False):
        place = (*base, *finding["loc"])
        yield document.mistake(place, *_explain(model, finding))


def _explain(model: type[Model], finding: ErrorDetails) -> tuple[str, str]:
    context = finding.get("ctx", {})
    last = finding["loc"][-1] if finding["loc"] else ""
    match finding["type"]:
        case "rule":
            return str(context["message"]), str(context["remedy"])
        case "extra_forbidden":
            return f"unknown key {last!r}", nearest(str(last), _keys_at(model, finding["loc"][:-1]))
        case "missing":
            return "is missing", f"Add `{last}: …`."
        case kind if kind in WANTED:
            message, remedy = WANTED[kind]
            return f"{message}, not {_brief(finding['input'])}", remedy
        case _:
            return finding["msg"], ""


def _keys_at(model: type[Model], place: Place) -> list[str]:
    """The keys that a (nested) model knows."""
    current: Any = model
    for step in place:
        if isinstance(step, int):
            continue
        field = next((f for n, f in current.model_fields.items() if step in (n, f.alias)), None)
        if field is None:
            break
        current = next((m for m in _models(field.annotation)), current)
    return [field.alias or name for name, field in current.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _brief(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
