"""A change of the system: a deploy, a configuration change, a flag, and so on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from firewatch_next.simulation.edits import Edit


class ChangeKind(StrEnum):
    """Kind of a change, as the change log names it."""

    DEPLOY = "deploy"
    CONFIG = "config"
    FLAG = "flag"
    MIGRATION = "migration"
    JOB = "job"
    INFRA = "infra"
    CERTIFICATE = "certificate"
    SCALE = "scale"


class Migration(StrEnum):
    """Schema migration of a deploy. A contract drops columns that the build before uses."""

    NONE = "none"
    EXPAND = "expand"
    CONTRACT = "contract"


class UndoEffect(StrEnum):
    """What undoing a change does beside undoing it. Never shown to a player."""

    SAFE = "safe"
    BREAKS_SERVICE = "breaks_service"  # a third of the old build's requests fails
    REOPENS_BUG = "reopens_bug"  # the old build's bug fails 8 % of its requests


@dataclass(frozen=True)
class Change:
    """A change in the change log, which also makes it happen in the world.

    Attributes:
        id: such as "CHG-4471".
        tick: when it started; negative before the incident.
        before, after: version, revision, setting value or flag percentage.
        undo: never shown.
        edits: applied at `tick`. The task draws the change before any fault is placed on it, so
            faulty changes are distributed like innocent ones.
        undo_edits: applied when the change is undone.
        key: configuration key, flag, job or certificate that it touches; "" for a deploy.
        is_of_player: made by an action in the episode.
    """

    id: str
    tick: int
    service: str
    kind: ChangeKind
    title: str
    details: str
    author: str
    before: str
    after: str
    migration: Migration = Migration.NONE
    undo: UndoEffect = UndoEffect.SAFE
    edits: tuple[Edit, ...] = ()
    undo_edits: tuple[Edit, ...] = ()
    key: str = ""
    is_of_player: bool = False
