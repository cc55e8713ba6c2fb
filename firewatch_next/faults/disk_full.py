"""A disk that fills up with debug logs or temporary files until writes fail."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.changes.change import Change
from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    Fault,
    FaultType,
    LogEvent,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Severity,
    Thing,
    levels,
)
from firewatch_next.faults.infrastructure_repairs import repair_data
from firewatch_next.faults.numbers import final_level, first_level, strongest_group
from firewatch_next.faults.places import flag_places, reach_of, reach_share, version_places
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    flag_off,
    set_config,
    suspect_at,
    undo_deploy_before_onset,
    undo_of_key,
)
from firewatch_next.faults.repairs import FLAG_OFF, RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.service import (
    SECONDS_PER_TICK,
    ErrorReason,
    Service,
    ServiceKind,
)
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall

KEY, DEBUG = "log_level", "DEBUG"
# Ticks in which a clean disk fills. It has to fill again within the graded time.
SLOWEST_FILL_TICKS, FASTEST_FILL_TICKS = 24.0, 12.0
# Share of the requests that write to the disk, and fail once it is full.
MIN_WRITE_SHARE, MAX_WRITE_SHARE = 0.12, 0.8
CLEAN_SHARE = 0.4

WRITE_FAILED = LogEvent(
    "disk_full.write_failed",
    LogLevel.ERROR,
    ("path",),
    {
        "java_spring": Phrasings(
            ("java.io.IOException: No space left on device ({path})",
             "Could not append to {path}: java.nio.file.FileSystemException, disk quota"),
            "Flush of {path} was not possible, IOException in FileChannelImpl.write",
            "Segment {path} could not be extended, errno 28",
        ),
        "go_logfmt": Phrasings(
            ('err="write {path}: no space left on device"',
             'msg="fsync failed" file={path} errno=28'),
            'file={path} msg="append rejected by file system"',
            "event=short_write target={path} code=ENOSPC",
        ),
        "postgres": Phrasings(
            ('could not extend file "{path}": No space left on device',
             'could not write to file "{path}" at offset 8192'),
            'PANIC averted: WAL segment "{path}" not written',
            'out of space for relation "{path}"',
        ),
        "any": Phrasings(
            ("OSError: [Errno 28] No space left on device: '{path}'",
             "write to {path} failed, device has no free blocks"),
            "{path}: cannot allocate block",
            "append to {path} ended early (ENOSPC)",
        ),
    },
)  # fmt: skip
MUCH_OUTPUT = LogEvent(
    "disk_full.much_output",
    LogLevel.DEBUG,
    ("path", "bytes"),
    {
        "java_spring": Phrasings(
            ("wrote {bytes} bytes to {path}", "{path}: buffer of {bytes} bytes flushed"),
            "flushed {path} ({bytes} B)",
            "output {path} grew by {bytes}",
        ),
        "go_logfmt": Phrasings(
            ('msg="file written" file={path} bytes={bytes}', "file={path} appended={bytes}"),
            'size_delta={bytes} msg="output rotated in" target={path}',
            "event=append target={path} n={bytes}",
        ),
        "any": Phrasings(
            ("{bytes} bytes appended to {path}", "file {path} +{bytes} bytes"),
            "append {path} size={bytes}",
            "stored {bytes} B in {path}",
        ),
    },
)  # fmt: skip


def _fill_disk(
    world: World, service: Service, growth: float, write_share: float, path: str
) -> None:
    """Let the disk grow by a share, and fail the writing requests while it is full."""
    if growth > 0.0:
        service.disk_used_share = min(1.0, service.disk_used_share + growth)
        size = int(growth * 40e9 / len(service.pods) / 100.0)
        world.mark_affected(service)
        world.emit_log(
            service, MUCH_OUTPUT, 10.0 * len(service.pods), {"path": path, "bytes": size}
        )
    if service.disk_used_share < 0.9999:
        return
    world.mark_affected(service)
    for group in service.groups:
        group.add_errors(ErrorReason.EXCEPTION, write_share)
    count = service.load * write_share * SECONDS_PER_TICK
    world.emit_log(service, WRITE_FAILED, count, {"path": path})


@dataclass(frozen=True)
class DebugLogs(SettingFault):
    """A log level that fills the disk."""

    growth_per_tick: float
    write_share: float
    path: str

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        is_verbose = service.settings[KEY] == DEBUG
        growth = self.growth_per_tick if is_verbose else 0.0
        _fill_disk(world, service, growth, self.write_share, self.path)


@dataclass(frozen=True)
class TemporaryFiles:
    """A version or flag that leaves temporary files behind.

    Attributes:
        growth_per_tick: share of the disk, while all requests run the code.
        write_share: share of the requests that write.
    """

    place: Place
    start_tick: int
    change: Change | None
    growth_per_tick: float
    write_share: float
    path: str

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        growth = self.growth_per_tick * reach_share(reach_of(service, self.place))
        _fill_disk(world, service, growth, self.write_share, self.path)
        if self.place.thing is Thing.FLAG:
            service.flags[self.place.name].disk_growth = growth


def find_places(world: World) -> list[Place]:
    """Return log levels, versions and flags of applications, and log levels of stores."""
    kinds = (ServiceKind.APPLICATION, ServiceKind.STORE)

    def is_application(service: Service) -> bool:
        return service.kind is ServiceKind.APPLICATION

    def has_own_disk(service: Service, key: str) -> bool:
        return service.kind in kinds

    settings = setting_places(world, (KEY,), has_own_disk)
    return version_places(world, is_application) + flag_places(world, is_application) + settings


def start(world: World, place: Place, severity: Severity) -> Fault:
    """Return a fault that fills the disk in 24 to 12 ticks, then fails 12 to 80 % of requests."""
    service = world.services[place.service]
    ticks = SLOWEST_FILL_TICKS - (SLOWEST_FILL_TICKS - FASTEST_FILL_TICKS) * severity.size
    growth = (1.0 - CLEAN_SHARE) / ticks
    writes = MIN_WRITE_SHARE + (MAX_WRITE_SHARE - MIN_WRITE_SHARE) * severity.size
    draws = BitStream(f"{severity.seed}/disk_full")
    if place.thing is Thing.SETTING:
        path = draws.choose(("/var/log/app/current.log", "/var/lib/journal/0007", "/data/wal/0042"))
        setting = give_faulty_value(world, place, severity, DEBUG)
        return DebugLogs(place, *setting, growth, writes, path)
    path = draws.choose(("/tmp/export-1.part", "/var/tmp/chunk.bin", "/data/scratch/batch-17"))
    share = service.flags[place.name].percent / 100.0 if place.thing is Thing.FLAG else 1.0
    first = place.change.tick if place.change is not None else severity.start_tick
    return TemporaryFiles(place, first, place.change, growth / share, writes, path)


CLEAN_DISK = repair_data("clean the disk", "disk", 2)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "disk_used_ratio,error_ratio", minutes=90),
        ask_diagnostic(suspect.service, "disk"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the disk has filled up: stop what writes to it, then clean it."""
    metrics, disk = replies
    used = metrics.find_series("disk_used_ratio")
    rise = final_level(used, 2) - first_level(used)
    if final_level(used, 2) < 0.95 or rise < 0.15:
        return None
    clean = ToolCall("repair_data", {"service": suspect.service, "what": "disk"})
    if any(row.get("log_level") == DEBUG for row in disk.rows):
        call = undo_of_key(suspect, suspect.service, KEY)
        return Verdict(rise, (call or set_config(suspect.service, KEY, "INFO"), clean))
    flag = strongest_group(disk.rows, "flag", "gb_with", "gb_without")
    if flag is not None and flag.excess > 0.01:
        return Verdict(rise, (flag_off(suspect.service, flag.name), clean))
    stop = undo_deploy_before_onset(suspect)
    return None if stop is None else Verdict(rise, (stop, clean))


def _question_disk(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_disk(reply: ParsedReply, place: Place) -> float:
    return final_level(reply.find_series("disk_used_ratio"), 1)


FAULT_TYPE = FaultType(
    name="disk_full",
    levels=levels("emh"),
    origins={Origin.SAFE_CHANGE: 0.4, Origin.UNSAFE_CHANGE: 0.25, Origin.UNLISTED: 0.35},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(WRITE_FAILED, MUCH_OUTPUT),
    repairs=(
        (UNDO_CHANGE, CLEAN_DISK),
        (RESTORE_SETTING, CLEAN_DISK),
        (FLAG_OFF, CLEAN_DISK),
    ),
    mitigations=(CLEAN_DISK,),
    decisive=(
        EvidenceCheck(
            "disk is full", _question_disk, _measure_disk, 0.95,
            ("code_error", "incompatible_data"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
