"""Builds changes with the edits that make them happen and undo them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from firewatch_next.changes.change import Change, ChangeKind, Migration, UndoEffect
from firewatch_next.simulation.edits import (
    Edit,
    RollOut,
    SetFlag,
    SetIndex,
    SetJob,
    SetSetting,
    SetVersionErrors,
)

# Shares of the old build's requests that fail once an unsafe deploy is undone.
UNDO_ERROR_SHARES = {
    UndoEffect.SAFE: 0.0,
    UndoEffect.BREAKS_SERVICE: 1.0 / 3.0,
    UndoEffect.REOPENS_BUG: 0.08,
}


@dataclass(frozen=True)
class ChangeTexts:
    """The texts of a change: an id such as "CHG-4471", title, details and author."""

    id: str
    title: str
    details: str
    author: str


def deploy_change(
    texts: ChangeTexts,
    tick: int,
    service: str,
    before: str,
    after: str,
    migration: Migration = Migration.NONE,
    undo: UndoEffect = UndoEffect.SAFE,
) -> Change:
    """Return a deploy of a build. `before` is what the service runs until then."""
    undo_edits: list[Edit] = [RollOut(service, version=before)]
    if UNDO_ERROR_SHARES[undo] > 0.0:
        undo_edits.append(SetVersionErrors(service, before, UNDO_ERROR_SHARES[undo]))
    return Change(
        texts.id, tick, service, ChangeKind.DEPLOY, texts.title, texts.details, texts.author,
        before, after, migration, undo,
        edits=(RollOut(service, version=after),), undo_edits=tuple(undo_edits),
    )  # fmt: skip


def revision_change(texts: ChangeTexts, tick: int, service: str, before: str, after: str) -> Change:
    """Return a rollout of a configuration revision, such as "r212", without a listed key."""
    return Change(
        texts.id, tick, service, ChangeKind.CONFIG, texts.title, texts.details, texts.author,
        before, after,
        edits=(RollOut(service, revision=after),),
        undo_edits=(RollOut(service, revision=before),),
    )  # fmt: skip


def setting_change(
    texts: ChangeTexts, tick: int, service: str, key: str, before: str, after: str
) -> Change:
    """Return a change of one configuration key."""
    return Change(
        texts.id, tick, service, ChangeKind.CONFIG, texts.title, texts.details, texts.author,
        before, after, key=key,
        edits=(SetSetting(service, key, after),),
        undo_edits=(SetSetting(service, key, before),),
    )  # fmt: skip


def with_setting(change: Change, value: str) -> Change:
    """Return a setting's change with another new value; figures in its texts follow.

    The texts may contain the old value of `after` as a word of its own; it is replaced.
    """
    return replace(
        change,
        after=value,
        title=_replace_word(change.title, change.after, value),
        details=_replace_word(change.details, change.after, value),
        edits=(SetSetting(change.service, change.key, value),),
    )


def flag_change(
    texts: ChangeTexts, tick: int, service: str, flag: str, before: float, after: float
) -> Change:
    """Return a change of a feature flag, in percent of the requests."""
    return Change(
        texts.id, tick, service, ChangeKind.FLAG, texts.title, texts.details, texts.author,
        f"{before:g} %", f"{after:g} %", key=flag,
        edits=(SetFlag(service, flag, after),),
        undo_edits=(SetFlag(service, flag, before),),
    )  # fmt: skip


def index_change(texts: ChangeTexts, tick: int, store: str, index: str, *, drops: bool) -> Change:
    """Return a migration that builds or drops an index of a store."""
    before, after = ("present", "dropped") if drops else ("absent", "present")
    return Change(
        texts.id, tick, store, ChangeKind.MIGRATION, texts.title, texts.details, texts.author,
        before, after, key=index,
        edits=(SetIndex(store, index, not drops),),
        undo_edits=(SetIndex(store, index, drops),),
    )  # fmt: skip


def job_change(
    texts: ChangeTexts, tick: int, service: str, job: str, kind: ChangeKind = ChangeKind.JOB
) -> Change:
    """Return a change that starts a job; a migration may run as one."""
    return Change(
        texts.id, tick, service, kind, texts.title, texts.details, texts.author,
        "not running", "running", key=job,
        edits=(SetJob(service, job, True),),
        undo_edits=(SetJob(service, job, False),),
    )  # fmt: skip


def _replace_word(text: str, old: str, new: str) -> str:
    return " ".join(new if word == old else word for word in text.split(" "))
