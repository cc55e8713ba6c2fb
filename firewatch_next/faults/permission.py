"""A caller that a store no longer allows to do what it did before."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    FaultType,
    LogEvent,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Severity,
)
from firewatch_next.faults.questions import ask_diagnostic, set_config, suspect_at, undo_of_key
from firewatch_next.faults.repairs import RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.service import SECONDS_PER_TICK, ErrorReason, Service, ServiceKind
from firewatch_next.simulation.world import World

KEY, USUAL, REDUCED = "policy", "read_write", "read_only"
# Share of the caller's requests that need the right which it has lost.
MIN_SHARE, MAX_SHARE = 0.1, 1.0

DENIED = LogEvent(
    "permission.denied",
    LogLevel.ERROR,
    ("caller",),
    {
        "postgres": Phrasings(
            ("permission denied for schema main, role {caller}",
             "role {caller}: must be owner of the relation"),
            "statement of {caller} refused, privilege is missing",
            "insufficient privilege: {caller}",
        ),
        "any": Phrasings(
            ("403 for {caller}: action not allowed", "{caller} may not perform this action"),
            "authorization of {caller} is not sufficient",
            "access control: {caller} denied",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class LostPermission(SettingFault):
    """A policy of a store that does not allow a caller to write.

    Attributes:
        denied_share: share of the caller's requests that are denied.
    """

    denied_share: float

    def apply(self, world: World, tick: int) -> None:
        store = world.services[self.place.service]
        if store.settings[self.place.name] != REDUCED:
            return
        caller = world.services[self.place.callee]  # the key's second part
        client = caller.client_of(store.name)
        world.mark_affected(caller)
        client.add_errors(ErrorReason.FORBIDDEN, self.denied_share)
        count = client.flow * self.denied_share * SECONDS_PER_TICK
        world.emit_log(store, DENIED, count, {"caller": caller.name})


def _has_policy(service: Service, key: str) -> bool:
    return service.kind is ServiceKind.STORE


def find_places(world: World) -> list[Place]:
    """Return the policies of stores, one for each caller, which is the place's `callee`."""
    return setting_places(world, (KEY,), _has_policy)


def start(world: World, place: Place, severity: Severity) -> LostPermission:
    """Return a policy that denies 10 to 100 % of the caller's requests."""
    share = MIN_SHARE + (MAX_SHARE - MIN_SHARE) * severity.size
    return LostPermission(place, *give_faulty_value(world, place, severity, REDUCED), share)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (ask_diagnostic(suspect.service, "network_policy"),)


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the service denies the requests of one of its callers."""
    worst, share = "", 0.01
    for row in replies[0].rows:
        denied = float(row.get("denied_ratio", 0.0))
        if denied > share:
            worst, share = str(row["caller"]), denied
    if not worst:
        return None
    key = f"{KEY}.{worst}"
    call = undo_of_key(suspect, suspect.service, key)
    return Verdict(share, (call or set_config(suspect.service, key, USUAL),))


def _question_policy(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_denied(reply: ParsedReply, place: Place) -> float:
    return max((float(row.get("denied_ratio", 0.0)) for row in reply.rows), default=0.0)


FAULT_TYPE = FaultType(
    name="permission",
    levels=frozenset(),
    origins={Origin.SAFE_CHANGE: 0.5, Origin.UNLISTED: 0.5},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(DENIED,),
    repairs=((UNDO_CHANGE,), (RESTORE_SETTING,)),
    mitigations=(),
    decisive=(EvidenceCheck("a caller is denied", _question_policy, _measure_denied, 0.01, ()),),
    hypothesis=Hypothesis(_questions, _judge),
)
