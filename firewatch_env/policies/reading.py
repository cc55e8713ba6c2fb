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
_HOP = re.compile(r"([a-z-]+) [\d.]+( [a-z].*)?$")
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
    """A call on the worst way down; odd: its number, its tries or its time is."""

    name: str
    odd: bool


def worst_way(text: str) -> tuple[list[Hop], bool]:
    """The way down that was told, and whether all of it was."""
    whole = len(text) < FEEDBACK
    parts = text.split(" > ")
    hops = [_HOP.match(part) for part in (parts if whole else parts[:-1])]
    return [Hop(hop[1], bool(hop[2])) for hop in hops if hop], whole


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
