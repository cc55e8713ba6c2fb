"""Restarting pods and going back to the build or the configuration before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.registry import STEPS, Outcome, action, as_asked, flag
from firewatch_env.engine.levers import LEVERS
from firewatch_env.engine.motion import EASE
from firewatch_env.engine.service import Release, Service, Setting
from firewatch_env.engine.world import DAY, World

# What a restart clears; kills and rollouts do not: most of it lies on the scratch volume.
_FRESH = ("blocked", "backoff", "bad_process", "reconnects", "leak")
_WORD = {"build": "build", "revision": "config"}  # as change logs say
_OLD_FAILS = 0.08  # of requests, once a build or revision older than a day is taken back


def roll(service: Service) -> None:
    """Replace the pods in place, a quarter at a time: fresh memory, two ticks of less room."""
    for part in service.parts:
        part.roll = 2
        part.renew = EASE


@action("restart_service", "repair")
def restart_service(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Recreate the pods with empty scratch volumes, by quarters: fresh memory, threads."""
    roll(service)
    for name in _FRESH:
        world.ease(service, name, LEVERS[name].usual)
    return Outcome(f"{service.name}: {service.pods} pods are recreated {STEPS}")


def _moving(release: Release) -> tuple[Setting, ...]:
    """Settings of a release that move a lever; others change words alone."""
    return tuple(setting for setting in release.settings if setting.lever)


def _take_back(world: World, service: Service, which: str, marker: str) -> Outcome:
    if which in service.rolled:
        return as_asked(service, f"back on the {_WORD[which]} before")
    service.rolled.add(which)
    for part in service.parts:
        part.renew = EASE
    release: Release | None = getattr(service, which)
    if release is None or world.tick - release.tick > DAY:
        world.ease(service, marker, _OLD_FAILS)
        word = _WORD[which]
        return Outcome(f"{service.name}: back to a {word} older than a day {STEPS}")
    for setting in _moving(release):
        if release.staged:
            # What the build had mended, it had mended for zone b's pods alone.
            service.staged.add(setting.lever)
        world.ease(service, setting.lever, setting.before)
    return Outcome(f"{service.name}: {release.version} → {release.before} {STEPS}")


def _bring_back(world: World, service: Service, which: str, marker: str) -> Outcome:
    if which not in service.rolled:
        return as_asked(service, f"on the newest {_WORD[which]}")
    service.rolled.discard(which)
    for part in service.parts:
        part.renew = EASE
    release: Release | None = getattr(service, which)
    settings: tuple[Setting, ...] = ()
    if release is None or world.tick - release.tick > DAY:
        world.ease(service, marker, LEVERS[marker].usual)
    else:
        world.remember(service, release)
        settings = _moving(release)
    for setting in settings:
        world.ease(service, setting.lever, setting.after)
    return Outcome(f"{service.name}: the newer {_WORD[which]} goes out again {STEPS}")


@action("rollback_deploy", "repair", "undo")
def rollback_deploy(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Go back to the build before, by quarters; or (`undo` true) to the newer one again."""
    do = _bring_back if flag(parameters, "undo") else _take_back
    return do(world, service, "build", "stale_build")


@action("revert_config", "repair", "undo")
def revert_config(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Go back to the configuration before, by quarters; or (`undo` true) to the newer one again."""
    do = _bring_back if flag(parameters, "undo") else _take_back
    return do(world, service, "revision", "stale_revision")
