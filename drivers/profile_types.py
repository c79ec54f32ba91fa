"""What the tables of a profile are made of: strict frozen models, paths, patterns, predicates."""

from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from drivers.paths import Path, PathError, parse, read
from drivers.profile_pattern import Pattern, compile_pattern
from drivers.protocols.lis02 import Record


class Table(BaseModel):
    """A table of the file. An unknown key is an error, nothing changes after loading.

    What is written is read again as the same: a pinned profile outlives a restart.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        validate_by_name=False,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class SourcedTable(Table):
    """A table that may say where its content comes from: a document and page, or a public capture."""

    source: str = ""


def _path(value: object) -> Path:
    if not isinstance(value, str):
        raise PathError("a path is a text")
    return parse(value)


def _paths(value: object) -> tuple[Path, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(_path(item) for item in items)


def _pattern(value: object) -> Pattern:
    if not isinstance(value, str):
        raise ValueError("a pattern is a text")
    return compile_pattern(value)


def _patterns(value: object) -> tuple[Pattern, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(_pattern(item) for item in items)


def _written(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    return value.text if isinstance(value, Pattern) else str(value)


def _type(check: Callable[[object], Any], schema: dict[str, Any]) -> tuple[Any, ...]:
    return PlainValidator(check), PlainSerializer(_written), WithJsonSchema(schema)


_STRING: dict[str, Any] = {"type": "string"}
_STRINGS: dict[str, Any] = {"anyOf": [_STRING, {"type": "array", "items": _STRING}]}

PathText = Annotated[Path, *_type(_path, _STRING)]
Paths = Annotated[tuple[Path, ...], *_type(_paths, _STRINGS)]
PatternText = Annotated[Pattern, *_type(_pattern, _STRING)]
Patterns = Annotated[tuple[Pattern, ...], *_type(_patterns, _STRINGS)]


class Predicate(Table):
    """A question about one field: exactly one of ``equals``, ``match``, ``empty``, ``in``."""

    path: PathText
    equals: str | None = None
    match: PatternText | None = None
    empty: bool | None = None
    among: tuple[str, ...] | None = Field(default=None, alias="in")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        asked = [v for v in (self.equals, self.match, self.empty, self.among) if v is not None]
        if len(asked) != 1:
            raise ValueError("give exactly one of equals, match, empty, in")
        return self

    def holds(self, value: str) -> bool:
        if self.match is not None:
            return self.match.matches(value)
        if self.empty is not None:
            return self.empty is (value == "")
        if self.among is not None:
            return value in self.among
        return value == self.equals

    def holds_for(self, record: Record | None, clean: Callable[[str], str]) -> bool:
        """Whether the record's field answers the question. ``clean`` is the profile's rule for outer blanks."""
        return self.holds(clean(read(self.path, record)))


def paths(*texts: str) -> tuple[Path, ...]:
    """The paths a table falls back to: where the standard has the thing."""
    return tuple(parse(text) for text in texts)


class MappedField(Table):
    """A field whose content is translated: a content without an entry stays as sent."""

    path: Paths = ()
    map: dict[str, str] = Field(default_factory=dict)
    default: str = ""
