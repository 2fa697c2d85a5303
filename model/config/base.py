"""The base of all validated models, and pydantic's errors turned into problems with file, line and remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from model.config.errors import InvalidConfigError, Problem, suggestion
from model.config.yaml_lines import YamlFile, YamlPath


class Model(BaseModel):
    """Validated data: immutable, without unknown keys, without type conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)

    unsupported: ClassVar[Mapping[str, str]] = {}
    """Keys that people look for here and that do not exist, with what to do instead."""

    @field_validator("*", mode="after")
    @classmethod
    def _unique_entries(cls, value: Any) -> Any:
        """Refuse duplicate list entries: many lists become one resource per entry.

        Lists of models have rules of their own, because their entries can be alike and differ in detail.
        """
        if not isinstance(value, list):
            return value
        entries = cast("list[Any]", value)
        seen: set[str] = set()
        errors: list[InitErrorDetails] = []
        for index, entry in enumerate(entries):
            if isinstance(entry, Model):
                continue
            text = str(entry)
            if text in seen:
                error = rule_error(f"{text!r} is listed twice", "Keep only one of them.")
                errors.append(InitErrorDetails(type=error, loc=(index,), input=text))
            seen.add(text)
        if errors:
            raise ValidationError.from_exception_data("list", errors)
        return entries


M = TypeVar("M", bound=Model)

Finding = tuple[YamlPath, str, str]
"""A broken rule: path of the value, message, remedy."""

TYPE_ERRORS = {
    "string_type": ("must be text", 'Put it in quotes: "…".'),
    "bool_type": ("must be true or false", "Write true or false, without quotes."),
    "int_type": ("must be a whole number", "Write it without quotes."),
    "list_type": ("must be a list", "Start each entry with `- `."),
    "dict_type": ("must be a mapping", "Write `key: value` lines below it."),
    "model_type": ("must be a mapping", "Write `key: value` lines below it."),
    "model_attributes_type": ("must be a mapping", "Write `key: value` lines below it."),
}
"""Plain wording of pydantic's type errors: what the value must be, what to write."""


def rule_error(message: str, remedy: str) -> PydanticCustomError:
    """The error that a validator raises, with its remedy."""
    return PydanticCustomError("rule", "{message}", {"message": message, "remedy": remedy})


def validate(
    model: type[M], content: Any, file: YamlFile, source_path: Callable[[YamlPath], YamlPath] = lambda path: path
) -> M:
    """The content as a model. Raises InvalidConfigError with every error, each at its line of the file.

    `source_path` maps a path in the content to the path in the file, where the content was merged from several places.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # Every tenant repeats the errors of the defaults that it inherits: the first per path is enough.
        problems: dict[YamlPath, Problem] = {}
        for finding in error.errors(include_url=False):
            path = source_path(_path(finding))
            problems.setdefault(path, file.problem(path, *_explain(model, finding)))
        raise InvalidConfigError(problems.values()) from None


def _path(finding: ErrorDetails) -> YamlPath:
    # pydantic ends the path with "[key]" if a mapping's key is wrong, not its value.
    return tuple(step for step in finding["loc"] if step != "[key]")


def _explain(model: type[Model], finding: ErrorDetails) -> tuple[str, str]:
    """Message and remedy for an error of pydantic's."""
    context = finding.get("ctx", {})
    last = finding["loc"][-1] if finding["loc"] else ""
    match finding["type"]:
        case "rule":
            return str(context["message"]), str(context["remedy"])
        case "extra_forbidden":
            holder = _model_at(model, finding["loc"][:-1])
            keys = [field.alias or name for name, field in holder.model_fields.items()]
            return f"unknown key {last!r}", holder.unsupported.get(str(last)) or suggestion(str(last), keys)
        case "missing":
            return "is missing", f"Add `{last}: …`."
        case "string_too_short":
            return "is empty", "Give it a value or leave the key out."
        case "greater_than_equal":
            return f"{finding['input']} is too small", f"Write {context['ge']} or more."
        case "less_than_equal":
            return f"{finding['input']} is too large", f"Write {context['le']} or less."
        case kind if kind in TYPE_ERRORS:
            message, remedy = TYPE_ERRORS[kind]
            return f"{message}, not {_short(finding['input'])}", remedy
        case _:
            return finding["msg"], "Change the value accordingly."


def _model_at(model: type[Model], path: YamlPath) -> type[Model]:
    """The (nested) model at a path."""
    current = model
    for step in path:
        field = next((f for name, f in current.model_fields.items() if step in (name, f.alias)), None)
        if field is not None:
            current = next(_models(field.annotation), current)
    return current


def _models(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
