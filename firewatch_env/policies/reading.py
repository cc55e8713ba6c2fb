"""Reading the first hundred characters of an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from firewatch_env.policies.seen import FEEDBACK

FAILS = 0.006
_CALL = re.compile(
    r"(?P<name>[a-z-]+) fail (?P<fail>[\d.]+)(?: fallback (?P<fallback>[\d.]+))? "
    r"late (?P<late>[\d.]+)(?:@(?P<timeout>[\d.]+)s)? "
    r"lost (?P<lost>[\d.]+) says (?P<says>[\d.]+) lat (?P<lat>[\d.]+)x n (?P<n>[\d.]+)x "
    r"tries (?P<tries>[\d.]+)"
)
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
class Worst:
    """The call of a service that hurts most."""

    caller: str
    name: str
    fail: float
    late: float
    lost: float
    says: float
    lat: float
    n: float
    tries: float
    breaker: bool


def worst_call(here: str, text: str) -> Worst | None:
    """The call told first, if it is in trouble."""
    broken = re.match(r"([a-z-]+) breaker open", text)
    if broken:
        return Worst(here, broken[1], 0, 0, 0, 0, 1, 1, 1, breaker=True)
    found = _CALL.match(text)
    if found is None:
        return None
    values = found.groupdict()
    keys = ("fail", "late", "lost", "says", "lat", "n", "tries")
    number = {key: float(values[key]) for key in keys}
    worst = Worst(here, values["name"], **number, breaker=False)
    if float(values["fallback"] or 0) >= FAILS:
        return worst
    return worst if worst.fail >= FAILS or worst.n >= 2 or worst.lat > 4 else None


@dataclass(frozen=True, slots=True)
class Hop:
    """A call on the worst way down.

    Attributes:
        caller: who calls.
        name: who is called.
        kind: what is off with the call itself, as in `call_trouble`; "" if nothing is.
        figure: how far off, where that was told.
    """

    caller: str
    name: str
    kind: str
    figure: float


def worst_way(here: str, text: str) -> tuple[list[Hop], bool]:
    """The calls down from a service that were told, and whether that is the whole way."""
    whole = len(text) < FEEDBACK
    parts = text.split(" > ")
    hops: list[Hop] = []
    for part in parts if whole else parts[:-1]:
        found = _HOP.match(part)
        if found is not None:
            kind = _KINDS.get(found["odd"] or "", "")
            hops.append(Hop(here, found["name"], kind, float(found["figure"] or 0)))
            here = found["name"]
    return hops, whole


def call_trouble(worst: Worst) -> str:
    """What is off with the call itself, if anything."""
    if worst.breaker:
        return "breaker"
    if worst.n >= 2:
        return "calls"
    if worst.tries >= 2.5:
        return "tries"
    if worst.late > 0.3 and worst.lat < 3 and worst.lost < FAILS:
        return "timeout"
    return ""


def suspects(text: str, channel: str, keys: tuple[str, ...]) -> list[str]:
    """Undoing which releases undoes a setting of this channel that can do this."""
    build, _, revision = text.partition(" | rev ")
    return [
        action
        for part, action in ((build, "rollback_deploy"), (revision, "revert_config"))
        if any(f"{channel}.{key} " in part for key in keys)
    ]


def cure_of_figure(text: str, cures: dict[str, str]) -> str:
    """The cure of the first figure that is not zero."""
    for words, cure in cures.items():
        found = re.search(rf"{words} ([\d.]+)", text)
        if found and float(found[1].rstrip(".")) > 0:
            return cure
    return ""
