"""Reading the first hundred characters of an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

FAILS = 0.006
_HOP = re.compile(
    r"(?P<name>[a-z-]+) (?P<fail>[\d.]+)"
    r"(?: (?P<odd>not asked|n|tries|late)(?: (?P<figure>[\d.]+)x?)?)?$"
)
_KINDS = {"not asked": "breaker", "n": "calls", "tries": "tries", "late": "timeout"}
METRICS = re.compile(
    r"own (?P<own>[\d.]+) 4xx (?P<refused>[\d.]+) 429 (?P<limited>[\d.]+) shed (?P<shed>[\d.]+) "
    r"cpu (?P<cpu>[\d.]+) mem (?P<mem>[\d.]+) pods (?P<ready>\d+)/(?P<pods>\d+) "
    r"load (?P<load>[\d.]+)x lat (?P<lat>[\d.]+)x(?: hits (?P<hits>[\d.]+))?"
    r"(?: hot pod (?P<hot>[\d.]+)x)?"
)


@dataclass(frozen=True, slots=True)
class Hop:
    """A call on the worst way down.

    Attributes:
        caller: who calls.
        name: who is called.
        kind: what is off with the call itself: "breaker", "calls", "tries" or "timeout"; "" if
            nothing is.
        figure: how far off, where that was told.
        fail: share of these calls that fail.
        tick: at which it was told.
    """

    caller: str
    name: str
    kind: str
    figure: float
    fail: float = 0.0
    tick: int = 0


def worst_way(here: str, text: str, tick: int = 0) -> list[Hop]:
    """The calls down from a service, told at a tick; one that is odd in itself ends the way."""
    hops: list[Hop] = []
    for part in text.split(" > "):
        found = _HOP.match(part)
        if found is not None:
            kind = _KINDS.get(found["odd"] or "", "")
            figure, fail = float(found["figure"] or 0), float(found["fail"])
            hops.append(Hop(here, found["name"], kind, figure, fail, tick))
            here = found["name"]
            if kind:
                break
    return hops


def suspects(text: str, channel: str, keys: tuple[str, ...]) -> list[str]:
    """Undoing which releases undoes a setting of this channel that can do this."""
    build, _, revision = text.partition(" | rev ")
    return [
        action
        for part, action in ((build, "rollback_deploy"), (revision, "revert_config"))
        if any(f"{channel}.{key} " in part for key in keys)
    ]


def twins(text: str, keys: tuple[str, ...]) -> bool:
    """Whether a build of zone b and a revision both touch one feature, by keys that can do this."""
    build, _, revision = text.partition(" | rev ")
    touched = [
        {channel for channel, key in re.findall(r"([a-z-]+)\.([a-z]+) ", part) if key in keys}
        for part in (build, revision)
    ]
    return " in b " in build and len(touched[0] & touched[1]) == 1


def cure_of_figure(text: str, cures: dict[str, str]) -> str:
    """The cure of the first figure that is not zero."""
    for words, cure in cures.items():
        found = re.search(rf"{words} ([\d.]+)", text)
        if found and float(found[1].rstrip(".")) > 0:
            return cure
    return ""
