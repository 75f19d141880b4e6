"""What every layout is made of: how it is recognised, and what it reads from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, some
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.names import FAMILIAR, familiar_names
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import LAST, ScaleOptions
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.ratings import stands_for_none
from selfj_eval.records.record import is_number

OWN = ("id", "reference", "rating", "rating_min", "rating_max", "model", "category", "raters")
"""Fields of a record that rows of conversations may have beside these, as our own files do."""

ALIASES = "references with several aliases; the first is used"


@dataclass
class Source:
    """Rows of another program's file, and what the user says of them.

    Attributes:
        rows: The rows.
        path: The file, or None in memory.
        told: Field of a record to the name of what holds it, as the user says.
        notices: Gets what was recognised, converted or left out.
        turns: Which turns of a conversation are judged: ``last`` or ``all``.
        scale: What the user says of ratings.
    """

    rows: Rows
    path: Path | None
    told: Mapping[str, str]
    notices: Notices
    turns: str = LAST
    scale: ScaleOptions = field(default_factory=ScaleOptions)
    _found: set[str] = field(default_factory=set)
    _offered: dict[str, dict[str, None]] = field(default_factory=dict)
    _alone: dict[str, str] = field(default_factory=dict)

    def error(self, place: str | None, name: str | None, message: str) -> DataError:
        """The error of a field in a row."""
        return DataError(message, path=self.path, place=place, field=name)

    def left_out(self, place: str, why: str) -> None:
        """Count a row, or a part of one, that gives no record."""
        self.notices.leave_out(place, why)

    def known_rows(self, *read: str) -> Rows:
        """The rows; after the last one, fields that nothing reads are noted as ignored.

        Args:
            *read: Fields that are read, beside those of a record and of a question.
        """
        seen: dict[str, None] = {}
        for place, row in self.rows:
            seen |= dict.fromkeys(row)
            yield place, row
        known = {*OWN, *QUESTION_FIELDS, *read, *self.told.values()}
        self.notices.ignore(name for name in seen if name not in known)

    def raters(self, holders: Mapping[str, Any], rates: Callable[[Any], bool]) -> Mapping[str, Any]:
        """What may hold the rating: where the user has named none, only what can be one.

        Args:
            holders: What the row has, by name; what is left out is counted.
            rates: Whether one of them can be a rating.
        """
        if "rating" in self.told:
            return holders
        found = {name: held for name, held in holders.items() if rates(held)}
        for _ in range(len(holders) - len(found)):
            self.notices.count("scores that are not numbers, not used")
        return found

    def told_of(self, name: str, holders: Mapping[str, Any], *, alone: bool = False) -> Any:
        """What the user says holds a field of the record, such as one of several scores.

        Args:
            name: The field.
            holders: What may hold it, by name.
            alone: Whether the only one is meant where the user has named none.

        Returns:
            The value; None where nothing is named, or this row lacks it.

        Raises:
            DataError: If rows have different ones, and the user has named none.
        """
        self._offered.setdefault(name, {}).update(dict.fromkeys(map(str, holders)))
        own = self.told.get(name)
        if own is None and alone and len(holders) == 1:
            (only,) = holders
            if self._alone.setdefault(name, only) != only:
                both = f"{self._alone[name]!r} or {only!r}"
                message = f"the {name} may be {both}; name one with `fields` {name}=NAME."
                raise DataError(message, path=self.path)
            return holders[only]
        if own is None or own not in holders:
            return None
        self._found.add(name)
        return holders[own]

    def named(
        self, holder: Mapping[str, Any], place: str, what: str | None, *wanted: str
    ) -> dict[str, Any]:
        """Instruction and response in an object whose keys are the user's own.

        Args:
            holder: The object.
            place: Where it stands.
            what: The field that holds it; None of the row itself.
            *wanted: Which of the two it must have.

        Returns:
            Those, by the names that the user gives, our own, or familiar ones.

        Raises:
            DataError: If one is not there, or two names may be meant.
        """
        mine = {field: name for field, name in self.told.items() if field in FAMILIAR}
        try:
            names = familiar_names(holder, mine) | mine
        except DataError as error:
            raise self.error(place, what, error.message) from None
        found = {}
        for name in wanted:
            own = names.get(name, name)
            if own not in holder:
                have = some([key for key in map(str, holder) if "." not in key], 20) or "none"
                message = f"has no {name}; there are: {have}. Name it with `fields` {name}=NAME."
                raise self.error(
                    place, what or own, message if what else f"missing: the row {message}"
                )
            found[name] = holder[own]
            self._found.add(name)
            if own != name and name not in self.told:
                inside = f" in {what!r}" if what else ""
                self.notices.say(f"{own!r}{inside} is taken as the {name}")
        return found

    def own_fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a record that a row has beside the conversation, as in our own files."""
        found = {}
        for name in OWN:
            own = self.told.get(name, name)
            if own in row:
                self._found.add(name)
                if not is_missing(row[own]):
                    found[name] = row[own]
        return found

    def object_in(self, row: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
        """A field that holds an object; an empty one where it is not there.

        Raises:
            DataError: If it is something else.
        """
        value = row.get(name)
        if is_missing(value):
            return {}
        if not isinstance(value, Mapping):
            raise self.error(place, name, f"expected an object, got {type(value).__name__}.")
        return value

    def list_in(self, row: Mapping[str, Any], name: str, place: str) -> list[Any]:
        """A field that holds a list.

        Raises:
            DataError: If it is not there, or something else.
        """
        value = row.get(name)
        if isinstance(value, list):
            return value
        kind = "missing" if name not in row else type(value).__name__
        raise self.error(place, name, f"expected a list, got {kind}.")

    def text_in(self, row: Mapping[str, Any], name: str, place: str) -> str:
        """A field that holds a text or a number, as text.

        Raises:
            DataError: If it is not there, or something else.
        """
        value = row.get(name)
        if isinstance(value, str):
            return value
        if is_number(value):
            return str(value)
        kind = "missing" if name not in row else type(value).__name__
        raise self.error(place, name, f"expected text, got {kind}.")

    def rating(self, value: Any, name: str, place: str) -> float | None:
        """A rating that another program has noted; None, counted, where it marks a failure.

        Raises:
            DataError: If it is no number.
        """
        if _is_none(value):
            self.notices.count("ratings that are null, NaN or N/A, not used")
            return None
        if stands_for_none(value, self.scale, self.notices):
            return None
        found = _number(value)
        if found is not None:
            return found
        message = f"expected a number as rating, got {type(value).__name__} ({value!r:.40})."
        raise self.error(place, name, message)

    def finish(self) -> None:
        """Refuse what the user has named and no row has; say what could have been named.

        Raises:
            DataError: If there is such a name, or some rows have one score and others more.
        """
        for name, own in self.told.items():
            if name not in self._found:
                have = some(list(self._offered.get(name, ())), 20) or "none"
                message = f"no row has {own!r} for {name!r}; the fields are: {have}."
                raise DataError(message, path=self.path)
        for name, others in self._offered.items():
            if name in self._alone and len(others) > 1:
                both = some(list(map(repr, others)), 20, " or ")
                message = f"the {name} may be {both}; name one with `fields` {name}=NAME."
                raise DataError(message, path=self.path)
            if others and name not in self.told and name in self._alone:
                self.notices.say(f"the {name} is {self._alone[name]!r}, the only one")
            elif others and name not in self.told:
                self.notices.say(
                    f"no {name} is read; `fields` {name}=NAME names what holds it: "
                    f"{some(list(others), 20)}"
                )


_NO_RATING = ("", "N/A", "NA", "NONE", "NULL", "NAN")


def _is_none(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str) and value.strip().upper() in _NO_RATING)


def _number(value: Any) -> float | None:
    """The number that a value is, or spells; None if it does neither."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    return float(value) if isinstance(value, bool) or is_number(value) else None


def is_rating(value: Any) -> bool:
    """Whether a value can be a rating, or says that there is none."""
    return _is_none(value) or _number(value) is not None


@dataclass(frozen=True)
class Layout:
    """How files of another program are recognised and read.

    Attributes:
        name: What the user calls it.
        title: What messages call it.
        keys: Fields that the first row must have.
        without: Fields that it must not have.
        rows: The rows of records (or of pairs) from such a file; None where it holds neither.
        refusal: Why it cannot be read, and what to do; of layouts without ``rows``.
        holds: ``records``, ``pairs`` or ``groups``.
        takes: Fields of a record that the user may have to name.
        every_turn: Whether all turns of a conversation can be judged (``turns`` all).
        beside: Whether rows may hold ``instruction`` and ``response`` as our own files do.
        test: What else must be true of the first row.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    rows: Callable[[Source], Rows] | None = None
    without: tuple[str, ...] = ()
    refusal: str = ""
    holds: str = "records"
    takes: tuple[str, ...] = ()
    every_turn: bool = False
    beside: bool = False
    test: Callable[[Mapping[str, Any]], bool] | None = None

    @property
    def keeps_ids(self) -> bool:
        """Whether records have the ids that the rows have, which may be unique over files."""
        return "id" in self.takes

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a first row is of this layout."""
        if any(key not in row for key in self.keys) or any(key in row for key in self.without):
            return False
        return self.test is None or self.test(row)
