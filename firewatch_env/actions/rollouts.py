"""Restarting pods and going back to the build or the configuration before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.registry import Outcome, remediation
from firewatch_env.engine.levers import LEVERS
from firewatch_env.engine.service import Service
from firewatch_env.engine.world import DAY, World

# What pods carry only as long as they live.
_FRESH = ("blocked", "backoff", "bad_process", "reconnects", "leak")
_OLD_FAILS = 0.08  # of requests, once a build or revision older than a day is taken back


def roll(service: Service) -> None:
    """Replace the pods in place, a quarter at a time: fresh memory, two ticks of less room."""
    for part in service.parts:
        part.roll = 2
        part.fill = 0.0


@remediation("restart_service")
def restart_service(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Restart the pods in place, a quarter at a time: fresh memory, threads and back-off."""
    roll(service)
    for name in _FRESH:
        world.set_lever(service, name, LEVERS[name].usual)
    return Outcome(f"{service.name}: {service.pods} pods restart in place, 25% away for 2 ticks")


def _take_back(world: World, service: Service, which: str, marker: str) -> Outcome:
    if which in service.rolled:
        return Outcome(f"{service.name}: already on the {which} before; nothing changed", None)
    service.rolled.add(which)
    for part in service.parts:
        part.fill = 0.0
    release = service.build if which == "build" else service.revision
    if release is None or world.tick - release.tick > DAY:
        world.set_lever(service, marker, _OLD_FAILS)
        return Outcome(f"{service.name}: back on a {which} older than a day, now the one in force")
    for setting in release.settings:
        service.staged.discard(setting.lever)
        world.set_lever(service, setting.lever, setting.before)
        service.pulses.pop(setting.lever, None)
    world.refresh(service)
    back = "; ".join(f"{each.key} {each.new}→{each.old}" for each in release.settings)
    return Outcome(f"{service.name}: {which} before is out: {back}")


@remediation("rollback_deploy")
def rollback_deploy(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Go back to the build before; new pods first, so that no capacity is lost."""
    return _take_back(world, service, "build", "stale_build")


@remediation("revert_config")
def revert_config(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Go back to the configuration revision before; new pods first."""
    return _take_back(world, service, "revision", "stale_revision")
