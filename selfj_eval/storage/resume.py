"""Doing only what is not done yet: equal work once, stored work never again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)


class Kept(Protocol[Value_co]):
    """A store, as far as it is read here."""

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, Value_co]: ...


def resume(
    keys: Sequence[bytes],
    store: Kept[Value] | None,
    run: Callable[[Mapping[bytes, int]], Iterator[Mapping[bytes, Value]]],
    progress: Callable[[int], None] | None,
    *,
    parts: int = 1,
) -> tuple[dict[bytes, Value], int]:
    """Look finished work up, and have the rest done.

    Args:
        keys: One per part of an item; equal ones are done once. Empty: the item cannot be done.
        store: Where finished work is looked up.
        run: Does what is left, given as key to the position of its first part; yields what has
            just been finished, and keeps it itself.
        progress: Called with the number of items that have just been finished; stored ones and
            those that cannot be done count at once.
        parts: How many keys in a row make an item.

    Returns:
        What was found and done, by key; and how many items were found whole.
    """
    finished = {} if store is None else dict(store.get(sorted({*keys} - {b""})))
    there = [key in finished for key in keys]
    stored = sum(all(there[at : at + parts]) for at in range(0, len(keys), parts))
    report = _whole_steps(progress, parts) or (lambda _: None)
    report(sum(there) + sum(not key for key in keys))
    rows: dict[bytes, list[int]] = {}
    for index, key in enumerate(keys):
        if key and key not in finished:
            rows.setdefault(key, []).append(index)
    for batch in run({key: at[0] for key, at in rows.items()}):
        finished.update(batch)
        report(sum(len(rows[key]) for key in batch))
    return finished, stored


def _whole_steps(
    progress: Callable[[int], None] | None, parts: int
) -> Callable[[int], None] | None:
    """A counter of parts that reports whole things, each made of so many parts."""
    if progress is None or parts == 1:
        return progress
    done = 0

    def count(more: int) -> None:
        nonlocal done
        before, done = done // parts, done + more
        if done // parts > before:
            progress(done // parts - before)

    return count
