"""An address without a name, instances that are gone, or proxies that do not fit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from firewatch_next.faults.infrastructure_repairs import RETRY_ONCE, only_for, repair_data
from firewatch_next.faults.places import listed_changes
from firewatch_next.faults.questions import (
    ask_diagnostic,
    set_config,
    undo_at_onset,
    undo_of_key,
)
from firewatch_next.faults.repairs import RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.connections import update_old_connections
from firewatch_next.simulation.edits import RollOut
from firewatch_next.simulation.platform_settings import usual_endpoint
from firewatch_next.simulation.repair_edits import RegisterInstances
from firewatch_next.simulation.service import (
    SECONDS_PER_TICK,
    CalleeClient,
    ErrorReason,
    Service,
    ServiceKind,
)
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall

KEY = "endpoint"
# Ticks until the last lookup from before a change of the address has expired.
SLOWEST_EXPIRY_TICKS, FASTEST_EXPIRY_TICKS = 120.0, 14.0
# Share of the peers that are gone, or that run the new proxy. Below 0.3, a second attempt would
# be enough for customers to be well.
MIN_SHARE, MAX_SHARE = 0.3, 0.85
_INSIDE = (ServiceKind.APPLICATION, ServiceKind.STORE, ServiceKind.CACHE)
_FIELDS = ("callee", "address")

NAME_UNKNOWN = LogEvent(
    "wrong_endpoint.name_unknown",
    LogLevel.ERROR,
    _FIELDS,
    {
        "java_spring": Phrasings(
            ("java.net.UnknownHostException: {address} (client {callee})",
             "I/O error on request for {callee}: {address}: Name or service not known"),
            "Failed to resolve '{address}' [A, AAAA], remote {callee}",
            "DnsNameResolverException for {callee}: query of {address} had no answer",
        ),
        "go_logfmt": Phrasings(
            ('err="dial tcp: lookup {address}: no such host" callee={callee}',
             'upstream={callee} msg="resolve failed" host={address} rcode=NXDOMAIN'),
            'host={address} err="server misbehaving" target={callee} msg="dns lookup"',
            "event=lookup_failed name={address} target={callee}",
        ),
        "any": Phrasings(
            ("getaddrinfo ENOTFOUND {address} while connecting to {callee}",
             "cannot resolve {address} for {callee}: name not known"),
            "no address for {address}, peer {callee}",
            "lookup of {address} gave no record ({callee})",
        ),
    },
)  # fmt: skip
NO_CONNECTION = LogEvent(
    "wrong_endpoint.no_connection",
    LogLevel.ERROR,
    _FIELDS,
    {
        "java_spring": Phrasings(
            ("java.net.ConnectException: Connection to {address} failed ({callee})",
             "finishConnect(..) failed for {callee} at {address}"),
            "Channel to {callee} closed before the request was written, peer {address}",
            "reactor.netty: no channel to peer {address} of {callee}",
        ),
        "go_logfmt": Phrasings(
            ('err="dial tcp {address}: connect failed" callee={callee}',
             'msg="upstream connect error" upstream={callee} peer={address}'),
            'peer={address} err="read: connection closed" target={callee}',
            "event=connect_failed addr={address} target={callee}",
        ),
        "any": Phrasings(
            ("upstream connect error before headers: {callee} {address}",
             "no connection to {callee} at {address}"),
            "peer {address} of {callee} closed the connection",
            "connect() to {address} failed, service {callee}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class UnknownName(SettingFault):
    """A caller's setting with an address that has no name record. Cached lookups expire.

    Attributes:
        expiry_ticks: ticks until the last cached lookup has expired.
    """

    expiry_ticks: float

    def apply(self, world: World, tick: int) -> None:
        caller = world.services[self.place.service]
        client = caller.client_of(self.place.callee)
        address = caller.settings[self.place.name]
        if address == usual_endpoint(client.callee):
            client.old_connections_share = 1.0
            return
        update_old_connections(caller, client, self.start_tick, tick, self.expiry_ticks)
        failing = 1.0 - client.old_connections_share
        _fail_calls(world, client, ErrorReason.DNS, failing, NAME_UNKNOWN, address)


@dataclass(frozen=True)
class StaleInstances:
    """Pods of the callee that are gone but still registered, so every caller tries them."""

    place: Place
    start_tick: int
    change: Change | None

    def apply(self, world: World, tick: int) -> None:
        callee = world.services[self.place.callee]
        if not callee.stale_instances:
            return
        peers = callee.stale_instances + len(callee.ready_pods(tick))
        for client in world.incoming[callee.name]:
            share = callee.stale_instances / peers
            _fail_calls(world, client, ErrorReason.REFUSED, share, NO_CONNECTION, self.place.name)


@dataclass(frozen=True)
class HalfRollout:
    """A proxy revision that was rolled out in part. Connections to the new proxies are reset.

    With one revision on all pods of the callee, connections succeed.
    """

    place: Place
    start_tick: int
    change: Change | None

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        if self.place.name not in service.revisions:
            return
        share = 0.0
        for group in service.groups:
            if service.has_revision_since(group.revision, self.place.name):
                share += group.traffic_share
        if share <= 0.0 or share > 0.999:
            return
        address = usual_endpoint(service.name)
        for client in world.incoming[service.name]:
            _fail_calls(world, client, ErrorReason.RESET, share, NO_CONNECTION, address)
        fields = {"callee": service.name, "address": address}
        world.emit_log(service, NO_CONNECTION, 2.0 * len(service.pods) * share, fields)


def _fail_calls(
    world: World, client: CalleeClient, reason: ErrorReason, share: float, event: LogEvent,
    address: str,
) -> None:  # fmt: skip
    caller = world.services[client.caller]
    world.mark_affected(caller)
    client.add_errors(reason, share)
    count = client.offered * share * SECONDS_PER_TICK
    world.emit_log(caller, event, count, {"callee": client.callee, "address": address})


def find_places(world: World) -> list[Place]:
    """Return addresses of callees, registries, and revisions that can be rolled out in part."""

    def may_change(service: Service, key: str) -> bool:
        return world.services[key.partition(".")[2]].kind is not ServiceKind.THIRD_PARTY

    revisions = [
        Place(change.service, Thing.REVISION, change.after, Origin.SAFE_CHANGE, change)
        for change in listed_changes(world, ChangeKind.CONFIG)
        if not change.key and _is_inside(world, change.service)
    ]
    registries = [
        Place(world.callers[service.name][0], Thing.RECORD, _old_address(service),
              Origin.UNLISTED, callee=service.name)
        for service in world.ordered
        if _is_inside(world, service.name)
    ]  # fmt: skip
    return setting_places(world, (KEY,), may_change) + revisions + registries


def _is_inside(world: World, service: str) -> bool:
    return world.services[service].kind in _INSIDE and bool(world.callers[service])


def _old_address(service: Service) -> str:
    """Return an address that a pod of the service once had."""
    number = BitStream(f"{service.name}/{service.pods[0].name}").integer_below(200)
    return f"10.4.{number}.{17 + number % 40}"


def start(world: World, place: Place, severity: Severity) -> Fault:
    """Return a fault of a name that expires in 120 to 14 ticks, or of 30 to 85 % of the peers."""
    share = MIN_SHARE + (MAX_SHARE - MIN_SHARE) * severity.size
    if place.thing is Thing.SETTING:
        words = ("-v2", "-new", "-internal", "-blue", "s")
        word = BitStream(f"{severity.seed}/wrong_endpoint").choose(words)
        ticks = SLOWEST_EXPIRY_TICKS
        ticks -= (SLOWEST_EXPIRY_TICKS - FASTEST_EXPIRY_TICKS) * severity.size
        address = usual_endpoint(place.callee + word)
        return UnknownName(place, *give_faulty_value(world, place, severity, address), ticks)
    if place.change is not None:
        edit = RollOut(place.service, revision=place.name, max_pods_share=share)
        return HalfRollout(place, place.change.tick, replace(place.change, edits=(edit,)))
    pods = len(world.services[place.callee].pods)
    stale = int(share / (1.0 - share) * pods + 0.5)
    world.schedule(severity.start_tick, RegisterInstances(place.callee, stale))
    return StaleInstances(place, severity.start_tick, None)


def _finish_call(world: World, fault: Fault) -> ToolCall | None:
    if fault.place.thing is not Thing.REVISION:
        return None
    return ToolCall("finish_rollout", {"service": fault.place.service})


FINISH_ROLLOUT = Repair("finish the rollout", _finish_call, wait_ticks=8)
DEREGISTER = only_for(
    repair_data("remove stale instances", "instances", 1, at_callee=True), Thing.RECORD
)
RETRY = only_for(RETRY_ONCE, Thing.RECORD)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_diagnostic(suspect.service, "dns"),
        ask_diagnostic(suspect.service, "network_policy"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if lookups fail or connections to the suspect or its callee are refused or reset."""
    addresses, callers = replies
    reset = _largest(callers.rows, "reset_ratio")
    if reset > 0.01:
        return Verdict(reset, (_complete_or_undo(suspect, suspect.service),))
    worst = max(addresses.rows, key=_failed_connections, default=None)
    if worst is None or _failed_connections(worst) < 0.01:
        return None
    share, callee = _failed_connections(worst), str(worst["callee"])
    if float(worst["nxdomain"]) == share:
        key = f"{KEY}.{callee}"
        call = undo_of_key(suspect, suspect.service, key)
        return Verdict(share, (call or set_config(suspect.service, key, usual_endpoint(callee)),))
    if float(worst["refused"]) == share:
        arguments: dict[str, object] = {"service": callee, "what": "instances"}
        return Verdict(share, (ToolCall("repair_data", arguments),))
    return Verdict(share, (_complete_or_undo(suspect, callee),))


def _complete_or_undo(suspect: Suspect, service: str) -> ToolCall:
    call = undo_at_onset(suspect, service, ("config", "infra"), 10.0)
    return call or ToolCall("finish_rollout", {"service": service})


def _failed_connections(row: Mapping[str, str | float]) -> float:
    return max(float(row.get(field, 0.0)) for field in ("nxdomain", "refused", "reset"))


def _largest(rows: Sequence[Mapping[str, str | float]], field: str) -> float:
    return max((float(row.get(field, 0.0)) for row in rows), default=0.0)


def _question_connections(place: Place) -> Question:
    """Ask the caller, or the service itself if its callers differ."""
    kind = "network_policy" if place.thing is Thing.REVISION else "dns"
    return ask_diagnostic(place.service, kind)


def _measure_connections(reply: ParsedReply, place: Place) -> float:
    """Return the largest share of lookups or connections that fail. Handshakes do not count."""
    fields = ("nxdomain", "refused", "reset", "reset_ratio")
    return max(_largest(reply.rows, field) for field in fields)


FAULT_TYPE = FaultType(
    name="wrong_endpoint",
    levels=levels("emh"),
    origins={Origin.SAFE_CHANGE: 0.5, Origin.UNLISTED: 0.5},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(NAME_UNKNOWN, NO_CONNECTION),
    repairs=((UNDO_CHANGE,), (RESTORE_SETTING,), (DEREGISTER,), (FINISH_ROLLOUT,)),
    mitigations=(RETRY,),
    decisive=(
        EvidenceCheck(
            "connections fail", _question_connections, _measure_connections, 0.01,
            ("certificate", "provider_failure", "zone_failure"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
