"""A store whose replica falls behind, or whose zones do not agree on a leader."""

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
    Repair,
    Severity,
    Thing,
)
from firewatch_next.faults.infrastructure_repairs import repair_data
from firewatch_next.faults.questions import ask_diagnostic, suspect_at
from firewatch_next.simulation.edits import SetSetting
from firewatch_next.simulation.platform_settings import STALLED
from firewatch_next.simulation.service import (
    SECONDS_PER_TICK,
    ErrorReason,
    Service,
    ServiceKind,
)
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

REPLICA, LEADER = "replica", "leader"
# Share of the answers that come from the replica, or of the requests that write.
MIN_SHARE, MAX_SHARE = 0.1, 0.8
USELESS_LAG_SECONDS = 600.0
MAX_LAG_SECONDS = 7200.0

BEHIND = LogEvent(
    "store_replication.behind",
    LogLevel.WARN,
    ("seconds",),
    {
        "postgres": Phrasings(
            ("standby replay is {seconds} s behind",
             "walreceiver: no data since {seconds} s"),
            "last replayed transaction is {seconds} s old",
            "apply delay of the standby: {seconds} s",
        ),
        "any": Phrasings(
            ("replica {seconds} s behind", "last applied entry {seconds} s ago"),
            "apply position {seconds} s old",
            "follower delay {seconds} s",
        ),
    },
)  # fmt: skip
NO_QUORUM = LogEvent(
    "store_replication.no_quorum",
    LogLevel.ERROR,
    ("term", "other_term"),
    {
        "postgres": Phrasings(
            ("could not confirm commit: timeline {term} here, {other_term} at peer",
             "synchronous standby has timeline {other_term}, expected {term}"),
            "commit not acknowledged; peer timeline {other_term}, own {term}",
            "write refused, histories differ ({term}, {other_term})",
        ),
        "any": Phrasings(
            ("append rejected: term {term}, peer has {other_term}",
             "peer answered with term {other_term}, own term is {term}"),
            "vote in term {other_term} while leading term {term}",
            "write not acknowledged, terms {term} and {other_term}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class ReplicaLag:
    """A replica that receives nothing while the store's replication is stalled.

    Attributes:
        replica_share: share of the store's answers that come from it.
    """

    place: Place
    start_tick: int
    change: Change | None
    replica_share: float

    def apply(self, world: World, tick: int) -> None:
        store = world.services[self.place.service]
        if store.settings["replication"] != STALLED:
            return
        lag = min(MAX_LAG_SECONDS, store.replica_lag_seconds + SECONDS_PER_TICK)
        store.replica_lag_seconds = lag
        world.mark_affected(store)
        if store.uses_all_replicas:
            useless = lag / USELESS_LAG_SECONDS if lag < USELESS_LAG_SECONDS else 1.0
            store.stale_share = self.replica_share * useless
        world.emit_log(store, BEHIND, 1.0, {"seconds": int(lag)})


@dataclass(frozen=True)
class SplitLeaders:
    """Two zones of a store that follow different leaders, so that writes fail.

    Attributes:
        zone: the zone whose term differs. write_share: share of the requests that write.
    """

    place: Place
    start_tick: int
    change: Change | None
    zone: str
    write_share: float

    def apply(self, world: World, tick: int) -> None:
        store = world.services[self.place.service]
        other_term = store.settings.get(f"term.{self.zone}")
        if other_term is None:
            return
        world.mark_affected(store)
        # Without the minority, only writes that were meant for it fail.
        share = self.write_share if store.uses_all_replicas else 0.4 * self.write_share
        for group in store.groups:
            group.add_errors(ErrorReason.EXCEPTION, share)
        fields = {"term": int(store.settings["term"]), "other_term": int(other_term)}
        world.emit_log(store, NO_QUORUM, store.load * share * SECONDS_PER_TICK, fields)


def find_places(world: World) -> list[Place]:
    """Return the replica and the leader of each store with pods in at least two zones."""
    return [
        Place(store.name, Thing.RECORD, name, Origin.UNLISTED)
        for store in world.ordered
        if store.kind is ServiceKind.STORE and len(_zones(store)) > 1
        for name in (REPLICA, LEADER)
    ]


def _zones(store: Service) -> list[str]:
    return sorted({pod.zone for pod in store.pods})


def start(world: World, place: Place, severity: Severity) -> Fault:
    """Return a fault of 10 to 80 % of the store's answers or requests."""
    share = MIN_SHARE + (MAX_SHARE - MIN_SHARE) * severity.size
    store, first = world.services[place.service], severity.start_tick
    if place.name == REPLICA:
        world.schedule(first, SetSetting(store.name, "replication", STALLED))
        return ReplicaLag(place, first, None, share)
    zone = _zones(store)[-1]
    term = str(int(store.settings["term"]) + 1)
    world.schedule(first, SetSetting(store.name, f"term.{zone}", term))
    return SplitLeaders(place, first, None, zone, share)


def _for_place(name: str, step: Repair) -> Repair:
    """Return the step restricted to places of that name."""

    def make_call(world: World, fault: Fault) -> ToolCall | None:
        return step.make_call(world, fault) if fault.place.name == name else None

    return Repair(step.name, make_call, step.wait_ticks)


def _shift_call(world: World, fault: Fault) -> ToolCall | None:
    away_from = "replicas" if fault.place.name == REPLICA else "minority"
    arguments = {"service": fault.place.service, "away_from": away_from}
    return ToolCall("shift_traffic", arguments)


RESYNCHRONIZE = _for_place(REPLICA, repair_data("copy the data anew", "replica", 3))
ELECT_LEADER = _for_place(LEADER, repair_data("elect a leader", "leader", 2))
USE_PRIMARY = Repair("use the primary or majority", _shift_call, wait_ticks=1)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (ask_diagnostic(suspect.service, "consensus"),)


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if zones have different terms or a replica is minutes behind."""
    measure = _disagreement(replies[0])
    if measure < 1.0:
        return None
    what = LEADER if len(_terms(replies[0])) > 1 else REPLICA
    call = ToolCall("repair_data", {"service": suspect.service, "what": what})
    return Verdict(measure, (call,))


def _terms(reply: ParsedReply) -> set[str]:
    return {str(row["term"]) for row in reply.rows if "term" in row}


def _disagreement(reply: ParsedReply) -> float:
    """Return the number of surplus terms, or else the largest lag in minutes."""
    terms = _terms(reply)
    lags = [float(row.get("lag_seconds", 0.0)) / 60.0 for row in reply.rows]
    return len(terms) - 1.0 if len(terms) > 1 else max(lags, default=0.0)


def _question_consensus(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_consensus(reply: ParsedReply, place: Place) -> float:
    return _disagreement(reply)


FAULT_TYPE = FaultType(
    name="store_replication",
    levels=frozenset(),
    origins={Origin.UNLISTED: 1.0},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(BEHIND, NO_QUORUM),
    repairs=((RESYNCHRONIZE,), (ELECT_LEADER,)),
    mitigations=(USE_PRIMARY,),
    decisive=(
        EvidenceCheck("replicas disagree", _question_consensus, _measure_consensus, 0.5, ()),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)
