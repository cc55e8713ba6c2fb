"""Places and repairs of faults that live on a job of a store: a batch or a blocking session."""

from __future__ import annotations

from firewatch_next.changes.change import ChangeKind
from firewatch_next.faults.fault_type import Fault, Origin, Place, Repair, Severity, Thing
from firewatch_next.faults.places import listed_changes
from firewatch_next.simulation.edits import SetJob
from firewatch_next.simulation.service import NEVER, Service, ServiceKind
from firewatch_next.simulation.things import Job
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall


def has_needed_store(world: World, store: Service) -> bool:
    """Return whether a service is a store that one of its callers cannot do without."""
    return store.kind is ServiceKind.STORE and any(
        not client.is_optional for client in world.incoming[store.name]
    )


def changed_job_places(world: World, kind: ChangeKind, origin: Origin) -> list[Place]:
    """Return the jobs that listed changes of a kind start."""
    return [
        Place(change.service, Thing.JOB, change.key, origin, change)
        for change in listed_changes(world, kind)
        if change.key in world.services[change.service].jobs
        and has_needed_store(world, world.services[change.service])
    ]


def start_job(world: World, place: Place, severity: Severity, job: Job) -> int:
    """Put the job into the world and return the tick at which it starts to run."""
    world.services[place.service].jobs[place.name] = job
    if place.change is not None:
        return place.change.tick
    world.schedule(severity.start_tick, SetJob(place.service, place.name, True))
    return severity.start_tick


def make_job(place: Place, user: str, load: float, cpu_seconds_per_request: float) -> Job:
    """Return a job that does not run yet."""
    return Job(place.name, user, False, -NEVER, load, cpu_seconds_per_request)


def _stop_job_call(world: World, fault: Fault) -> ToolCall | None:
    return ToolCall("stop_job", {"service": fault.place.service, "job": fault.place.name})


STOP_JOB = Repair("stop the job", _stop_job_call, wait_ticks=2)
