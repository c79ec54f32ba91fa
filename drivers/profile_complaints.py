"""Validation errors as sentences: where in the file, what is wrong, what was probably meant."""

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def complaints(model: type[BaseModel], error: ValidationError) -> tuple[str, ...]:
    """One sentence for each mistake, in the order of the file's tables."""
    return tuple(_sentence(model, fault) for fault in error.errors())


def _sentence(model: type[BaseModel], fault: Any) -> str:
    place = _place(fault["loc"])
    if fault["type"] == "extra_forbidden":
        return _unknown(model, fault["loc"], place)
    if fault["type"] == "missing":
        return f"{place} is missing"
    if fault["type"] == "literal_error":
        return f"{place}: {_shown(fault['input'])} is not one of {fault['ctx']['expected']}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place}: {message[:1].lower() if message[1:2].islower() else message[:1]}{message[1:]}"


def _unknown(model: type[BaseModel], loc: tuple[int | str, ...], place: str) -> str:
    known = _keys(_model_at(model, loc[:-1]))
    close = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    hint = f'; did you mean "{close[0]}"?' if close else f"; known here: {', '.join(known)}"
    return f"{place} is not known{hint}"


def _place(loc: tuple[int | str, ...]) -> str:
    """``("test", 2, "loinc")`` -> ``test[3].loinc``: a person counts tables from 1."""
    text = ""
    for part in loc:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the file"


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [] if model is None else [f.alias or name for name, f in model.model_fields.items()]


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    for part in loc:
        if found is None or isinstance(part, int):
            continue
        by_key = {f.alias or name: f for name, f in found.model_fields.items()}
        found = _model_in(by_key[part].annotation) if part in by_key else None
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for m in map(_model_in, get_args(annotation)) if m is not None), None)
