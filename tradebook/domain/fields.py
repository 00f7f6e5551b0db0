"""What a field of an entity accepts besides numbers: text, times, enumerations, JSON; and the base entity."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Final, NoReturn, Self, TypeAlias, TypeVar, cast

from attrs import Attribute, Converter, define, field, fields, setters

from tradebook.domain.errors import InvalidInput, InvalidTransition
from tradebook.domain.numbers import plain

Json: TypeAlias = Any
"""None, bool, int, float, str, or a list or a str-keyed dict of those."""

MAX_NAME: Final = 200
"""Characters in a symbol, an order id, an agent's name."""
MAX_TEXT: Final = 100_000
"""Characters in a message, a resolution, a decision's reasoning."""
MAX_JSON: Final = 1_000_000
"""Characters of all strings and keys in a JSON value, and the number of its nodes."""
MAX_JSON_DEPTH: Final = 32
DEFAULT_ACCOUNT: Final = "main"
_PLAIN_NAME: Final = re.compile(r"[!-~]([ -~]{0,198}[!-~])?").fullmatch
"""Matches names in printable ASCII: nearly all of them."""

_Choice = TypeVar("_Choice", bound=StrEnum)
_Given = TypeVar("_Given")
_Converted = TypeVar("_Converted")


def utc_now() -> datetime:
    """The time now, timezone-aware UTC."""
    return datetime.now(UTC)


def utc(value: datetime) -> datetime:
    """The same instant in UTC; a naive `datetime` is taken as UTC."""
    if not isinstance(value, datetime):
        raise InvalidInput("", value, "a datetime")
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC, fold=0)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidInput("", value, "a datetime within the years 1 to 9999 in UTC") from None


def optional_utc(value: datetime | None) -> datetime | None:
    """`utc`, or none."""
    return None if value is None else utc(value)


def _checked_text(value: str, limit: int) -> str:
    if not isinstance(value, str):
        raise InvalidInput("", value, "text")
    if len(value) > limit:
        raise InvalidInput("", value, f"at most {limit} characters")
    if "\x00" in value or not _encodable(value):
        raise InvalidInput("", value, "text without NUL characters or lone surrogates")
    return str(value)


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def name(value: str) -> str:
    """Text of 1 to 200 characters, without blanks around it."""
    if type(value) is str and _PLAIN_NAME(value):
        return value
    value = _checked_text(value, MAX_NAME)
    if not value or value != value.strip():
        raise InvalidInput("", value, "text that is not empty and has no blanks around it")
    return value


def key(value: str) -> str:
    """Text of 0 to 200 characters; `""` stands for none."""
    return _checked_text(value, MAX_NAME)


def optional_name(value: str | None) -> str | None:
    """`name`, or none."""
    return None if value is None else name(value)


def text(value: str) -> str:
    """Text of any kind, up to 100,000 characters."""
    return _checked_text(value, MAX_TEXT)


def optional_text(value: str | None) -> str | None:
    """`text`, or none."""
    return None if value is None else text(value)


def choice(kind: type[_Choice], value: _Choice | str) -> _Choice:
    """The member of a string enumeration that `value` names."""
    try:
        return kind(value)
    except ValueError:
        raise InvalidInput("", value, "one of " + ", ".join(kind)) from None


def optional_id(value: int | None) -> int | None:
    """A record's id, or none."""
    return None if value is None else record_id(value)


def record_id(value: int) -> int:
    """A record's id: an integer from 0 to 2^63 - 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidInput("", value, "a record's id, a whole number")
    return value


def truth(value: bool) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise InvalidInput("", value, "True or False")
    return value


def json_object(value: Mapping[str, Json]) -> dict[str, Json]:
    """A JSON object, in the form in which every database gives it back (see `json_value`)."""
    if not isinstance(value, Mapping):
        raise InvalidInput("", value, "a mapping of names to JSON values")
    return cast("dict[str, Json]", json_value(value))


def json_value(value: Json) -> Json:
    """A JSON value, in the form in which every database gives it back.

    Decimals become their plain text, datetimes ISO 8601 in UTC, tuples lists, and floats of 1e16 and
    more integers (PostgreSQL's JSONB writes them so).

    Raises:
        InvalidInput: another type, a non-finite number, or deeper or larger than the limits.
    """
    budget = [MAX_JSON]
    return _jsonable(value, MAX_JSON_DEPTH, budget)


def _jsonable(value: Json, depth: int, budget: list[int]) -> Json:
    budget[0] -= 1
    if depth < 0 or budget[0] < 0:
        _too_large()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        budget[0] -= len(value)
        return _checked_text(value, max(budget[0] + len(value), 0))
    if isinstance(value, int):
        return _json_int(int(value))
    if isinstance(value, float):
        return _json_float(float(value))
    if isinstance(value, Decimal):
        return _json_decimal(value)
    if isinstance(value, datetime):
        return utc(value).isoformat()
    if isinstance(value, list | tuple):
        return [_jsonable(item, depth - 1, budget) for item in value]
    if isinstance(value, Mapping):
        return {
            _json_key(k, budget): _jsonable(item, depth - 1, budget) for k, item in value.items()
        }
    raise InvalidInput("", value, "a JSON value")


def _too_large() -> NoReturn:
    raise InvalidInput(
        "", "the value", f"JSON of at most {MAX_JSON} characters, nested {MAX_JSON_DEPTH} deep"
    )


def _json_key(value: object, budget: list[int]) -> str:
    if not isinstance(value, str):
        raise InvalidInput("", value, "text as the key of a JSON object")
    budget[0] -= len(value)
    return _checked_text(value, MAX_NAME)


def _json_int(value: int) -> int:
    if value.bit_length() > 2048:
        raise InvalidInput("", value, "an integer of at most 600 digits")
    return value


def _json_float(value: float) -> float | int:
    if not math.isfinite(value):
        raise InvalidInput("", value, "a finite number")
    return int(Decimal(repr(value))) if abs(value) >= 1e16 else value


def _json_decimal(value: Decimal) -> str:
    if not value.is_finite() or abs(value.adjusted()) > 400:
        raise InvalidInput("", value, "a finite number of ordinary size")
    return plain(value)


def _names_the_field(convert: Any) -> Any:
    def converted(value: Any, attribute: Attribute[Any]) -> Any:
        try:
            return convert(value)
        except InvalidInput as error:
            if error.field:
                raise
            raise InvalidInput(attribute.name, error.value, error.expected) from None

    return Converter(converted, takes_field=True)


def argument(field: str, convert: Callable[[_Given], _Converted], value: _Given) -> _Converted:
    """An argument as a converter makes it; a refusal names the argument."""
    try:
        return convert(value)
    except InvalidInput as error:
        raise InvalidInput(field, error.value, error.expected) from None


def named_fields(_: type, fields: list[Attribute[Any]]) -> list[Attribute[Any]]:
    """An attrs field transformer: a refusal names the field whose converter raised it."""
    return [
        f.evolve(converter=_names_the_field(f.converter)) if _is_plain(f.converter) else f
        for f in fields
    ]


def _is_plain(converter: object) -> bool:
    """Whether it is not wrapped yet; inherited fields are."""
    return converter is not None and not isinstance(converter, Converter)


def frozen_when(
    is_frozen: Callable[[Any], bool], advice: str
) -> Callable[[Any, Attribute[Any], Any], Any]:
    """An attrs `on_setattr` hook: assignment is refused while `is_frozen(entity)`."""

    def guard(entity: Any, attribute: Attribute[Any], value: Any) -> Any:
        if is_frozen(entity):
            raise InvalidTransition(
                f"{type(entity).__name__} {entity.id}: {attribute.name} cannot change; {advice}"
            )
        return value

    return setters.pipe(guard, setters.convert, setters.validate)


IMMUTABLE: Final = frozen_when(lambda _: True, "record a new one")

_UNSAVED = cast("int", None)


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Entity:
    """What every record has. Equality is identity: two objects are two records.

    Attributes:
        id: assigned by the database; `None` only until the record is added to a unit of work.
        account: the tenant that owns the record.
        created_at: when the record was made, UTC.
        updated_at: when the record last changed, UTC.

    `ordered_by` is the field by which lists of a kind go, newest first; `dated_by` is the time of records
    that are ordered by id.
    """

    ordered_by: ClassVar[str] = "id"
    dated_by: ClassVar[str] = "created_at"

    id: int = _UNSAVED
    account: str = field(default=DEFAULT_ACCOUNT, converter=name)
    created_at: datetime = field(factory=utc_now, converter=utc)
    updated_at: datetime = field(converter=utc)

    @updated_at.default
    def _as_created(self) -> datetime:
        return self.created_at

    def adopt(self, recorded: Self) -> Self:
        """Take over all that is recorded of this entity, its id too; returns itself."""
        vars(self).update(
            {f.name: vars(recorded)[f.name] for f in fields(type(self)) if f.name in vars(recorded)}
        )
        return self


_E = TypeVar("_E", bound=Entity)


def adopted(entities: Sequence[_E], recorded: Sequence[_E]) -> list[_E]:
    """The entities, each with what is recorded of it."""
    return [entity.adopt(record) for entity, record in zip(entities, recorded, strict=True)]


def differences(
    recorded: Entity, given: Entity, names: Collection[str]
) -> dict[str, tuple[object, object]]:
    """Of the fields `names`, those that differ: (what is recorded, what was given)."""
    return {
        name: (getattr(recorded, name), getattr(given, name))
        for name in names
        if getattr(recorded, name) != getattr(given, name)
    }
