"""Stored records of a layout that their reader cannot read, because another service writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from firewatch_next.changes.change import Change, ChangeKind
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
    Repair,
    Severity,
    Thing,
    levels,
)
from firewatch_next.faults.infrastructure_repairs import repair_data
from firewatch_next.faults.numbers import final_level
from firewatch_next.faults.places import flag_places, reach_of, reach_share, version_places
from firewatch_next.faults.questions import ask_diagnostic, ask_metrics, flag_off, suspect_at, undo
from firewatch_next.simulation.service import (
    SECONDS_PER_TICK,
    ErrorReason,
    Service,
    ServiceKind,
)
from firewatch_next.simulation.stored_records import (
    layout_share,
    set_layout_share,
    usual_layout,
)
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

# Ticks in which the new records reach their final share. They have to return within the graded
# time after a purge.
FILL_TICKS = 14.0
MIN_SHARE, MAX_SHARE = 0.06, 0.9
_FIELDS = ("layout", "record", "store")

UNREADABLE = LogEvent(
    "incompatible_data.unreadable",
    LogLevel.ERROR,
    _FIELDS,
    {
        "java_spring": Phrasings(
            ("com.fasterxml.jackson.databind.exc.InvalidFormatException: cannot deserialize "
             "{record} from {store}, layout {layout}",
             "Could not map row {record} of {store}: unknown discriminator {layout}"),
            "SerializationException while reading {record}: marker {layout} ({store})",
            "Converter found no mapping for format {layout}, key {record}, source {store}",
        ),
        "go_logfmt": Phrasings(
            ('err="unmarshal: unknown version {layout}" key={record} store={store}',
             'msg="decode failed" store={store} record={record} schema={layout}'),
            'key={record} err="unexpected field set" fmt={layout} source={store}',
            "event=decode_error source={store} id={record} encoding={layout}",
        ),
        "any": Phrasings(
            ("cannot decode {record} read from {store}: layout {layout}",
             "ValueError: unknown layout {layout} of record {record} ({store})"),
            "record {record} in {store} has fields of {layout}",
            "{store}/{record}: no decoder for {layout}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class IncompatibleData:
    """Records that one service writes and another cannot read.

    The place is the writer's version or flag; its callee is the store that both use.

    Attributes:
        reader: service that fails on the records.
        layout: of the new records.
        final_share: share of the reader's requests that meet one once the store is full of them.
    """

    place: Place
    start_tick: int
    change: Change | None
    reader: str
    layout: str
    final_share: float

    def apply(self, world: World, tick: int) -> None:
        writer, reader = world.services[self.place.service], world.services[self.reader]
        store = world.services[self.place.callee]
        reach = reach_share(reach_of(writer, self.place))
        share = layout_share(store, self.layout)
        if reach > 0.0 and share < self.final_share:
            share = min(self.final_share, share + self.final_share * reach / FILL_TICKS)
            set_layout_share(store, self.layout, self._writer_text(writer), share)
        if share <= 0.0:
            return
        world.mark_affected(reader)
        for group in reader.groups:
            group.add_errors(ErrorReason.EXCEPTION, share)
        number = 10_000 + (tick + 500) * 7919 % 80_000
        fields = {"layout": self.layout, "record": f"{number}", "store": store.name}
        world.emit_log(reader, UNREADABLE, reader.load * share * SECONDS_PER_TICK, fields)

    def _writer_text(self, writer: Service) -> str:
        """Return service and version, and the flag where only its code writes the layout."""
        flag = f"+{self.place.name}" if self.place.thing is Thing.FLAG else ""
        return f"{writer.name} {writer.version}{flag}"


def find_places(world: World) -> list[Place]:
    """Return versions and flags of services that share a store or cache with another service."""

    def may_write(service: Service) -> bool:
        return service.kind in (ServiceKind.APPLICATION, ServiceKind.WORKER)

    places = []
    for place in version_places(world, may_write) + flag_places(world, may_write):
        for client in world.services[place.service].clients:
            if find_reader(world, place.service, client.callee):
                is_version = place.thing is Thing.VERSION
                origin = Origin.CHANGE_ELSEWHERE if is_version else place.origin
                places.append(replace(place, origin=origin, callee=client.callee))
    return places


def find_reader(world: World, writer: str, store: str) -> str:
    """Return the other service that calls the store the most, or ""."""
    if world.services[store].kind not in (ServiceKind.STORE, ServiceKind.CACHE):
        return ""
    most, found = 0.0, ""
    for client in world.incoming[store]:
        kind = world.services[client.caller].kind
        is_reader = kind in (ServiceKind.APPLICATION, ServiceKind.WORKER)
        if client.caller != writer and is_reader and client.flow > most:
            most, found = client.flow, client.caller
    return found


def start(world: World, place: Place, severity: Severity) -> IncompatibleData:
    """Return a fault whose records reach 6 to 90 % of the reader's requests."""
    store = world.services[place.callee]
    reader = find_reader(world, place.service, store.name)
    layout = f"v{int(usual_layout(store)[1:]) + 1}"
    share = MIN_SHARE + (MAX_SHARE - MIN_SHARE) * severity.size
    first = place.change.tick if place.change is not None else severity.start_tick
    return IncompatibleData(place, first, place.change, reader, layout, share)


PURGE = repair_data("purge the records", "records", 3, at_callee=True)


def _undo_writer_call(world: World, fault: Fault) -> ToolCall | None:
    if fault.change is None or fault.place.thing is not Thing.VERSION:
        return None
    return undo(fault.place.service, fault.change.id)


def _flag_off_call(world: World, fault: Fault) -> ToolCall | None:
    if fault.place.thing is not Thing.FLAG:
        return None
    return flag_off(fault.place.service, fault.place.name)


UNDO_WRITER = Repair("undo the writer's change", _undo_writer_call, wait_ticks=9)
WRITER_FLAG_OFF = Repair("turn the writer's flag off", _flag_off_call, wait_ticks=2)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    changes = ToolCall("list_changes", {"service": "*", "window_minutes": 1440})
    return (
        ask_metrics(suspect.service, "error_ratio,request_rate", "version"),
        ask_diagnostic(suspect.service, "records"),
        Question(changes),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the service fails in all versions and its store has records of another writer."""
    by_version, records, changes = replies
    running = {
        series.labels["version"]
        for series in by_version.find_series("request_rate")
        if series.minutes[-1] < 3.0 and series.values[-1] > 0.0
    }
    failing = [
        final_level([series])
        for series in by_version.find_series("error_ratio")
        if series.labels["version"] in running
    ]
    if not failing or min(failing) < 0.01:
        return None
    written = [row for row in records.rows if "writer" in row]
    known = {row["layout"] for row in written if _writer_of(row) == suspect.service}
    foreign = [row for row in written if row["layout"] not in known]
    worst = max(foreign, key=lambda row: float(row["share"]), default=None)
    if worst is None or float(worst["share"]) < 0.01:
        return None
    writer, _, version = str(worst["writer"]).partition(" ")
    purge = ToolCall("repair_data", {"service": str(worst["store"]), "what": "records"})
    version, _, flag = version.partition("+")
    if flag:
        return Verdict(float(worst["share"]), (flag_off(writer, flag), purge))
    for row in changes.rows:
        is_deploy = row.get("kind") == ChangeKind.DEPLOY and row.get("service") == writer
        if is_deploy and row.get("after") == version and row.get("migration") != "contract":
            return Verdict(float(worst["share"]), (undo(writer, str(row["id"])), purge))
    return None


def _writer_of(row: Mapping[str, str | float]) -> str:
    """Return the service in a writer such as "catalog-api 3.2.0"."""
    return str(row.get("writer", "")).partition(" ")[0]


def _question_records(place: Place) -> Question:
    return ask_diagnostic(suspect_at(place, place.callee).service, "records")


def _measure_records(reply: ParsedReply, place: Place) -> float:
    """Return the share of the records in the newest layout of the place's service."""
    rows = [row for row in reply.rows if "writer" in row]
    layouts = {row["layout"] for row in rows if _writer_of(row) != place.service}
    shares = [float(row["share"]) for row in rows if row["layout"] not in layouts]
    return max(shares, default=0.0)


FAULT_TYPE = FaultType(
    name="incompatible_data",
    levels=levels("mhx"),
    origins={Origin.CHANGE_ELSEWHERE: 0.5, Origin.UNSAFE_CHANGE: 0.2, Origin.UNLISTED: 0.3},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(UNREADABLE,),
    repairs=((UNDO_WRITER, PURGE), (WRITER_FLAG_OFF, PURGE)),
    mitigations=(PURGE,),
    decisive=(
        EvidenceCheck(
            "records of another writer", _question_records, _measure_records, 0.01,
            ("code_error", "disk_full"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
