"""Many draws side by side: what they ask of the same function is computed at once.

A draw is a generator. Where it needs array work it yields `Ask(work, cases)` and is sent the
answers, one for each case. Single numbers it draws and decides by itself, from a stream of its
own, so that it comes out the same in any company, byte for byte, and alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from functools import wraps
from itertools import islice
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

MOST = 64
"""Most drawings that go on side by side: more would not be faster, and take more memory."""

Work = Callable[[list[Any]], Sequence[Any]]


class Ask(NamedTuple):
    """Array work that a draw waits for.

    Attributes:
        work: a function from a list of cases to the list of their answers, in which no case
            bears on the answer to another.
        cases: what this draw asks of it.
    """

    work: Work
    cases: Sequence[Any]


def alike(
    key: Callable[[Any], Hashable], at_once: int = MOST
) -> Callable[[Callable[[list[Any]], Sequence[T]]], Callable[[list[Any]], list[T]]]:
    """Makes work on cases of one shape into work on any cases.

    Args:
        key: of a case; those with equal keys have arrays of equal shapes.
        at_once: most cases that the work is given at a time.
    """

    def made(work: Callable[[list[Any]], Sequence[T]]) -> Callable[[list[Any]], list[T]]:
        @wraps(work)
        def in_groups(cases: list[Any]) -> list[T]:
            groups: dict[Hashable, list[int]] = {}
            for place, case in enumerate(cases):
                groups.setdefault(key(case), []).append(place)
            answers: dict[int, T] = {}
            for places in groups.values():
                for first in range(0, len(places), at_once):
                    chosen = places[first : first + at_once]
                    answered = work([cases[place] for place in chosen])
                    answers.update(zip(chosen, answered, strict=True))
            return [answers[place] for place in range(len(cases))]

        return in_groups

    return made


Drawing = Generator[Ask, Sequence[Any], T]
"""A draw in the making."""


def together(drawings: Sequence[Drawing[T]]) -> list[T]:
    """What every drawing returns, in order.

    Of the functions that drawings wait for, the one that was ever asked for first is called:
    drawings that lag behind catch up, so that later work is done for all of them at once.
    """
    if len(drawings) > MOST:
        return together(drawings[:MOST]) + together(drawings[MOST:])
    made: dict[int, T] = {}
    waiting: dict[Work, list[tuple[int, Sequence[Any]]]] = {}

    def go_on(place: int, answers: Any) -> None:
        try:
            work, cases = drawings[place].send(answers)
        except StopIteration as end:
            made[place] = end.value
        else:
            waiting.setdefault(work, []).append((place, cases))

    for place in range(len(drawings)):
        go_on(place, None)
    while len(made) < len(drawings):
        work = next(work for work, asked in waiting.items() if asked)
        asked, waiting[work] = waiting[work], []
        answers = iter(work([case for _, cases in asked for case in cases]))
        for place, cases in asked:
            go_on(place, list(islice(answers, len(cases))))
    return [made[place] for place in range(len(drawings))]
