"""Draws the listed changes of a task, all alike. A fault is later placed on one of them, or none.

A change is first drawn as a slot: when, where and what kind. Slots can be altered before they are
made into changes, so that every service's versions and settings follow the order of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from firewatch_next.changes.change import Change, ChangeKind, Migration, UndoEffect
from firewatch_next.changes.change_texts import choose_texts
from firewatch_next.changes.make_change import (
    ChangeTexts,
    deploy_change,
    flag_change,
    index_change,
    job_change,
    revision_change,
    setting_change,
)
from firewatch_next.simulation.edits import RollOut, ScalePods
from firewatch_next.simulation.log_event import Wording
from firewatch_next.simulation.repair_edits import SetCertificate
from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.simulation.settings import format_number
from firewatch_next.simulation.things import Certificate
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream

T = TypeVar("T")
TICKS_PER_DAY = 2_880
FIRST_RECENT_TICK, LAST_RECENT_TICK = -46, -3
RECENT_CHANCE = 0.8  # the other changes are spread over the day
UNSAFE_UNDO_CHANCE, CONTRACT_CHANCE, EXPAND_CHANCE = 0.6, 0.35, 0.3
PARTIAL_SHARE = 0.5

_KIND_WEIGHTS = {
    ChangeKind.DEPLOY: 45, ChangeKind.CONFIG: 32, ChangeKind.FLAG: 7, ChangeKind.MIGRATION: 6,
    ChangeKind.JOB: 3, ChangeKind.SCALE: 3, ChangeKind.INFRA: 2, ChangeKind.CERTIFICATE: 2,
}  # fmt: skip
# Configuration keys without their callee, and the range of factors that harm nobody. A key without
# factors is a text, of which another allowed one is drawn.
_KEY_WEIGHTS = {
    "": 20, "memory_limit_mb": 12, "cpu_cores": 12, "pool_size": 20, "rate_limit": 20,
    "threads": 6, "timeout_ms": 12, "max_attempts": 5, "cache_mb": 20, "cache_ttl_s": 20,
    "queue_length": 3, "log_level": 3, "metrics_interval_s": 2, "keep_alive_s": 2,
}  # fmt: skip
_LOW_FACTORS = {
    "memory_limit_mb": 0.85, "cpu_cores": 0.75, "pool_size": 0.6, "rate_limit": 0.5,
    "threads": 0.6, "timeout_ms": 0.8, "cache_mb": 0.9, "cache_ttl_s": 0.9, "queue_length": 0.7,
    "keep_alive_s": 0.7, "metrics_interval_s": 0.7,
}  # fmt: skip
_CUT_CHANCE = 0.7


@dataclass(frozen=True)
class ChangeSlot:
    """A change before it is made.

    Attributes:
        number: position among the task's slots; it names the slot's random choices.
        family: configuration key without its callee; "" for a revision, and for other kinds.
    """

    number: int
    tick: int
    service: str
    kind: ChangeKind
    family: str = ""


def draw_slots(draws: BitStream, world: World, count: int) -> list[ChangeSlot]:
    """Return slots, which are independent of each other and of any fault."""
    return [draw_slot(draws, world, number) for number in range(count)]


def draw_slot(
    draws: BitStream, world: World, number: int, service: Service | None = None
) -> ChangeSlot:
    """Return one slot, of any service or of the given one."""
    if service is None:
        service = draws.choose([s for s in world.ordered if s.kind is not ServiceKind.THIRD_PARTY])
    kinds = {kind: weight for kind, weight in _KIND_WEIGHTS.items() if _can_have(service, kind)}
    kind = _choose_weighted(draws, kinds)
    family = _choose_weighted(draws, _families(service)) if kind is ChangeKind.CONFIG else ""
    return ChangeSlot(number, draw_tick(draws), service.name, kind, family)


def list_all_slots(
    world: World, first_number: int, tick: int, *, with_flags: bool
) -> list[ChangeSlot]:
    """Return a slot of each kind and key for each service, and three of deploys, all at one tick.

    Args:
        world: before any change.
        first_number: number of the first slot; the others follow.
        tick: of every slot.
        with_flags: whether flags change too.
    """
    slots: list[ChangeSlot] = []

    def add(service: Service, kind: ChangeKind, family: str = "") -> None:
        slots.append(ChangeSlot(first_number + len(slots), tick, service.name, kind, family))

    for service in world.ordered:
        if service.kind is ServiceKind.THIRD_PARTY:
            continue
        for kind in ChangeKind:
            if not _can_have(service, kind) or (kind is ChangeKind.FLAG and not with_flags):
                continue
            for family in _families(service) if kind is ChangeKind.CONFIG else ("",):
                add(service, kind, family)
            if kind is ChangeKind.DEPLOY:
                add(service, kind)
                add(service, kind)
    return slots


def draw_tick(draws: BitStream) -> int:
    """Return the tick of a change: mostly recent, else within 24 hours."""
    if draws.uniform() < RECENT_CHANCE:
        span = LAST_RECENT_TICK - FIRST_RECENT_TICK + 1
        return FIRST_RECENT_TICK + draws.integer_below(span)
    return -TICKS_PER_DAY + 60 + draws.integer_below(TICKS_PER_DAY + FIRST_RECENT_TICK - 60)


def _can_have(service: Service, kind: ChangeKind) -> bool:
    if kind is ChangeKind.FLAG:
        return bool(service.flags)
    if kind is ChangeKind.MIGRATION:
        return bool(service.statements)
    if kind is ChangeKind.JOB:
        return bool(service.jobs)
    if kind is ChangeKind.DEPLOY:
        return service.kind in (ServiceKind.APPLICATION, ServiceKind.WORKER, ServiceKind.INGRESS)
    return True


def _families(service: Service) -> dict[str, int]:
    present = {key.partition(".")[0] for key in service.settings if service.settings[key] != "0"}
    return {name: weight for name, weight in _KEY_WEIGHTS.items() if not name or name in present}


def _choose_weighted(draws: BitStream, weights: dict[T, int]) -> T:
    return draws.choose([item for item, weight in weights.items() for _ in range(weight)])


class ChangeMaker:
    """Makes slots into changes of a world, whose versions and values follow each other in time.

    Args:
        key: text that names the task's random choices.
        world: before any change.
        wording: phrasings of the titles.
        partial_chance: that the rollout of a deploy stops half-way.
    """

    def __init__(self, key: str, world: World, wording: Wording, partial_chance: float) -> None:
        self._key = key
        self._world = world
        self._wording = wording
        self._partial_chance = partial_chance
        self._versions = {s.name: list(s.builds) for s in world.ordered}
        self._present = {s.name: s.version for s in world.ordered}
        self._revisions = {s.name: s.revision for s in world.ordered}
        self._values = {s.name: dict(s.settings) for s in world.ordered}
        self._flags = {s.name: {f.name: f.percent for f in s.flags.values()} for s in world.ordered}
        self._pods = {s.name: len(s.pods) for s in world.ordered}

    def make_all(self, slots: Sequence[ChangeSlot]) -> dict[int, Change]:
        """Return the changes by the numbers of their slots, with ids in the order of time."""
        number = 3000 + BitStream(f"{self._key}/ids").integer_below(5000)
        changes = {}
        old = [slot for slot in slots if slot.tick <= self._world.tick]
        recent = [slot for slot in slots if slot.tick > self._world.tick]
        # What happened before the world's first tick led to its present state: newest first.
        made_old = {slot.number: self._make(slot, is_old=True) for slot in _newest_first(old)}
        self._present = {s.name: s.version for s in self._world.ordered}
        for slot in sorted(old, key=lambda s: (s.tick, s.number)):
            number += 1 + BitStream(f"{self._key}/{slot.number}/id").integer_below(9)
            changes[slot.number] = replace(made_old[slot.number], id=f"CHG-{number}")
        for slot in sorted(recent, key=lambda s: (s.tick, s.number)):
            number += 1 + BitStream(f"{self._key}/{slot.number}/id").integer_below(9)
            changes[slot.number] = replace(self._make(slot, is_old=False), id=f"CHG-{number}")
        return changes

    def _make(self, slot: ChangeSlot, *, is_old: bool) -> Change:
        draws = BitStream(f"{self._key}/{slot.number}/change")
        service = self._world.services[slot.service]
        if slot.kind is ChangeKind.DEPLOY:
            return self._make_deploy(draws, slot, is_old=is_old)
        if slot.kind is ChangeKind.CONFIG:
            return self._make_config(draws, slot, is_old=is_old)
        if slot.kind is ChangeKind.FLAG:
            return self._make_flag(draws, slot, is_old=is_old)
        if slot.kind is ChangeKind.MIGRATION:
            index = draws.choose(sorted({s.index for s in service.statements.values()}))
            texts = self._texts(draws, slot.kind, index)
            return index_change(texts, slot.tick, service.name, index, drops=draws.uniform() < 0.7)
        if slot.kind is ChangeKind.JOB:
            job = draws.choose(sorted(service.jobs))
            return job_change(self._texts(draws, slot.kind, job), slot.tick, service.name, job)
        texts = self._texts(draws, slot.kind, "")
        if slot.kind is ChangeKind.SCALE:
            return self._make_scale(draws, slot, texts, is_old=is_old)
        if slot.kind is ChangeKind.CERTIFICATE and service.certificate is not None:
            return _make_renewal(slot, texts, service.certificate)
        return Change(
            texts.id, slot.tick, service.name, slot.kind, texts.title, texts.details,
            texts.author, "", "",
        )  # fmt: skip

    def _texts(
        self, draws: BitStream, kind: ChangeKind, key: str, *, is_fix: bool = False
    ) -> ChangeTexts:
        return choose_texts(draws, kind, self._wording, key, is_fix=is_fix)

    def _make_deploy(self, draws: BitStream, slot: ChangeSlot, *, is_old: bool) -> Change:
        undo, migration = _draw_undo(draws)
        present = self._present[slot.service]
        if is_old:
            before, after = self._version_before(slot.service, present), present
            self._present[slot.service] = before
        else:
            before, after = present, _next_version(draws, present)
            self._present[slot.service] = after
        texts = self._texts(draws, slot.kind, "", is_fix=undo is UndoEffect.REOPENS_BUG)
        change = deploy_change(texts, slot.tick, slot.service, before, after, migration, undo)
        if draws.uniform() < self._partial_chance:
            partial = RollOut(slot.service, version=after, max_pods_share=PARTIAL_SHARE)
            change = replace(change, edits=(partial,))
        return change

    def _version_before(self, service: str, version: str) -> str:
        """Return the build before one; a service's oldest build is extended as needed."""
        builds = self._versions[service]
        position = builds.index(version)
        if position == 0:
            major, minor, patch = version.split(".")
            older = f"{major}.{max(0, int(minor) - 1)}.{int(patch) + 1}"
            builds.insert(0, older)
            self._world.services[service].builds.insert(0, older)
            return older
        return builds[position - 1]

    def _make_config(self, draws: BitStream, slot: ChangeSlot, *, is_old: bool) -> Change:
        name = slot.service
        if not slot.family:
            number = int(self._revisions[name][1:])
            if is_old:
                before, after = f"r{number - 1}", f"r{number}"
            else:
                before, after = f"r{number}", f"r{number + 1}"
                self._revisions[name] = after
            texts = self._texts(draws, slot.kind, "")
            return revision_change(texts, slot.tick, name, before, after)
        values = self._values[name]
        key = draws.choose(sorted(k for k in values if k.partition(".")[0] == slot.family))
        other = _draw_value(draws, slot.family, values[key])
        before, after = (other, values[key]) if is_old else (values[key], other)
        if not is_old:
            values[key] = after
        return setting_change(
            self._texts(draws, slot.kind, key), slot.tick, name, key, before, after
        )

    def _make_flag(self, draws: BitStream, slot: ChangeSlot, *, is_old: bool) -> Change:
        flags = self._flags[slot.service]
        name = draws.choose(sorted(flags))
        present = flags[name]
        other = draws.choose([p for p in (0.0, 10.0, 25.0, 50.0, 100.0) if p != present])
        before, after = (other, present) if is_old else (present, other)
        flags[name] = after
        return flag_change(
            self._texts(draws, slot.kind, name), slot.tick, slot.service, name, before, after
        )

    def _make_scale(
        self, draws: BitStream, slot: ChangeSlot, texts: ChangeTexts, *, is_old: bool
    ) -> Change:
        present = self._pods[slot.service]
        added = 1 + draws.integer_below(2)
        before, after = (present - added, present) if is_old else (present, present + added)
        if not is_old:
            self._pods[slot.service] = after
        return Change(
            texts.id, slot.tick, slot.service, slot.kind, texts.title, texts.details,
            texts.author, f"{before} pods", f"{after} pods",
            edits=(ScalePods(slot.service, after),), undo_edits=(ScalePods(slot.service, before),),
        )  # fmt: skip


def _make_renewal(slot: ChangeSlot, texts: ChangeTexts, certificate: Certificate) -> Change:
    """Return a renewal by the same authority."""
    issuer, expires = certificate.issuer, certificate.expires_tick
    new, old = (SetCertificate(slot.service, issuer, tick) for tick in (expires + 1, expires))
    return Change(
        texts.id, slot.tick, slot.service, slot.kind, texts.title, texts.details, texts.author,
        issuer, issuer, key=certificate.name, edits=(new,), undo_edits=(old,),
    )  # fmt: skip


def _newest_first(slots: Sequence[ChangeSlot]) -> list[ChangeSlot]:
    return sorted(slots, key=lambda slot: (-slot.tick, -slot.number))


def _draw_undo(draws: BitStream) -> tuple[UndoEffect, Migration]:
    """Return what undoing a deploy does beside undoing it, and the migration that it lists."""
    point = draws.uniform()
    if point < UNSAFE_UNDO_CHANCE * CONTRACT_CHANCE:
        return UndoEffect.BREAKS_SERVICE, Migration.CONTRACT
    migration = Migration.EXPAND if draws.uniform() < EXPAND_CHANCE else Migration.NONE
    is_unsafe = point < UNSAFE_UNDO_CHANCE
    return (UndoEffect.REOPENS_BUG if is_unsafe else UndoEffect.SAFE), migration


def _next_version(draws: BitStream, version: str) -> str:
    major, minor, patch = version.split(".")
    if draws.uniform() < 0.5:
        return f"{major}.{minor}.{int(patch) + 1}"
    return f"{major}.{int(minor) + 1}.0"


def _draw_value(draws: BitStream, family: str, value: str) -> str:
    """Return another value of a setting that harms nobody."""
    if family == "log_level":
        return "WARN" if value == "INFO" else "INFO"
    number = float(value)
    if family == "max_attempts":
        return "2" if number != 2.0 else "1"
    low = _LOW_FACTORS[family]
    is_cut = draws.uniform() < _CUT_CHANCE
    factor = draws.uniform(low, 0.95) if is_cut else draws.uniform(1.1, 1.6)
    new = number * factor
    if family == "cpu_cores":
        quarters = max(0.25, int(4.0 * new + 0.999) / 4.0)
        return format_number(quarters if quarters != number else quarters + 0.25)
    whole = max(1, int(new))
    return str(whole if whole != int(number) else whole + 1)
