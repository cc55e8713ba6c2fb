"""Faults that live on the value of a setting, which acts through the simulation itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from firewatch_next.changes.change import Change, ChangeKind
from firewatch_next.changes.make_change import with_setting
from firewatch_next.faults.fault_type import Origin, Place, Severity, Thing
from firewatch_next.faults.places import listed_changes
from firewatch_next.simulation.edits import SetSetting
from firewatch_next.simulation.service import Service
from firewatch_next.simulation.world import World


@dataclass(frozen=True)
class SettingFault:
    """A setting with a faulty value. Fault types add the log lines in `apply`.

    Attributes:
        usual_value: value of the setting before.
    """

    place: Place
    start_tick: int
    change: Change | None
    usual_value: str


class FaultySetting(NamedTuple):
    """First arguments of a `SettingFault` beside its place."""

    start_tick: int
    change: Change | None
    usual_value: str


def setting_places(
    world: World, names: tuple[str, ...], is_possible: Callable[[Service, str], bool]
) -> list[Place]:
    """Return places on settings: those of listed changes, and those edited by hand.

    Args:
        world: with drawn changes.
        names: keys without the callee that may follow after a dot.
        is_possible: whether the service's key, given in full, can have the fault.
    """
    places, changed = [], set()
    for change in listed_changes(world, ChangeKind.CONFIG):
        changed.add((change.service, change.key))
        if _matches(world.services[change.service], change.key, names, is_possible):
            places.append(_place(change.service, change.key, Origin.SAFE_CHANGE, change))
    for service in world.ordered:
        for key in service.settings:
            is_listed = (service.name, key) in changed
            if not is_listed and _matches(service, key, names, is_possible):
                places.append(_place(service.name, key, Origin.UNLISTED, None))
    return places


def _matches(
    service: Service, key: str, names: tuple[str, ...], is_possible: Callable[[Service, str], bool]
) -> bool:
    return key.partition(".")[0] in names and is_possible(service, key)


def _place(service: str, key: str, origin: Origin, change: Change | None) -> Place:
    return Place(service, Thing.SETTING, key, origin, change, callee=key.partition(".")[2])


def give_faulty_value(world: World, place: Place, severity: Severity, value: str) -> FaultySetting:
    """Let the place's change set this value, or the setting be edited at the start tick."""
    if place.change is None:
        usual = world.services[place.service].settings[place.name]
        world.schedule(severity.start_tick, SetSetting(place.service, place.name, value))
        return FaultySetting(severity.start_tick, None, usual)
    change = with_setting(place.change, value)
    return FaultySetting(change.tick, change, place.change.before)
