"""How pydantic's findings become mistakes that name a file, a line and a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from model.config.document import Document, Place
from model.config.mistakes import Mistake, MistakesError, nearest
from model.config.unsound import UNSOUND

FORGIVING = object()
"""As pydantic's context: keep what is right, and have UNSOUND where something is wrong, instead of giving up."""


class Model(BaseModel):
    """Data that was checked: immutable, without unknown keys, without conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, content: Any, info: ValidationInfo) -> Any:
        if info.context is not FORGIVING or not isinstance(content, dict):
            return content
        keys = {field.alias or name: field for name, field in cls.model_fields.items()}
        known = {key: value for key, value in cast("dict[str, Any]", content).items() if key in keys}
        return {key: UNSOUND for key, field in keys.items() if field.is_required()} | known

    @field_validator("*", mode="wrap")
    @classmethod
    def _forgive(cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        return _as_far_as_right(value, validate) if info.context is FORGIVING else validate(value)


def _as_far_as_right(value: Any, validate: Callable[[Any], Any]) -> Any:
    """The value of a field without what is wrong; of a list or mapping, what is wrong are single entries."""
    if value is UNSOUND:
        return UNSOUND
    try:
        return validate(value)
    except ValidationError as error:
        findings = [finding["loc"] for finding in error.errors(include_url=False)]
    wrong = {place[0] for place in findings if place}
    try:
        if isinstance(value, list) and all(findings):
            entries = cast("list[Any]", value)
            right = iter(validate([entry for index, entry in enumerate(entries) if index not in wrong]))
            return [UNSOUND if index in wrong else next(right) for index in range(len(entries))]
        if isinstance(value, dict) and all(findings):
            mapping = cast("dict[str, Any]", value)
            nameless = {place[0] for place in findings if place[-1] == OF_KEY}
            right = validate({key: entry for key, entry in mapping.items() if key not in wrong})
            return {key: right.get(key, UNSOUND) for key in mapping if key not in nameless}
    except ValidationError:
        pass  # without its wrong entries it is wrong as a whole
    return UNSOUND


M = TypeVar("M", bound=Model)

OF_KEY = "[key]"
"""How pydantic ends the place of a finding about a mapping's key, rather than about its value."""

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
    found, wrong = examined(model, document)
    if wrong:
        raise MistakesError(wrong)
    return found


def examined(model: type[M], document: Document, base: Place = ()) -> tuple[M, list[Mistake]]:
    """What stands at `base` in the document as a model, and what is wrong with it: there, the model has UNSOUND."""
    content = document.content
    for step in base:
        content = content[step]
    try:
        return model.model_validate(content), []
    except ValidationError as error:
        found = list(mistakes(model, error, document, base))
    try:
        return model.model_validate(content, context=FORGIVING), found
    except ValidationError:
        return UNSOUND, found


def mistakes(model: type[Model], error: ValidationError, document: Document, base: Place = ()) -> Iterator[Mistake]:
    """Each finding of pydantic's as a mistake at its line; `base` is where the model stands in the document."""
    for finding in error.errors(include_url=False):
        place = (*base, *(step for step in finding["loc"] if step != OF_KEY))
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
