"""Pods that do not become ready: an image, a variable, a probe or a quota is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
    Severity,
    Thing,
    levels,
)
from firewatch_next.faults.numbers import final_level, first_level
from firewatch_next.faults.places import listed_changes, version_places
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    set_config,
    setting_value,
    suspect_at,
    undo_at_onset,
    undo_of_key,
)
from firewatch_next.faults.repairs import MORE_PODS, RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.platform_settings import POD_QUOTA_FACTOR, USUAL_PROBE_TIMEOUT_MS
from firewatch_next.simulation.service import Pod, PodEvent, Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream

PROBE_KEY, QUOTA_KEY = "probe_timeout_ms", "pod_quota"
# Share of the pods that do not become ready. About two fifths of the CPU are in use.
MIN_BLOCKED, MAX_BLOCKED = 0.5, 0.95
LONGEST_FAULTY_PROBE_MS = 30.0

_FIELDS = ("ready", "wanted")
NOT_READY = LogEvent(
    "pods_not_ready.few_endpoints",
    LogLevel.WARN,
    _FIELDS,
    {
        "java_spring": Phrasings(
            ("Discovery client: {ready} of {wanted} instances are UP",
             "Membership changed, members={ready}, configured={wanted}"),
            "Cluster view has {ready} nodes (desired {wanted})",
            "Peer list refreshed: size {ready}, target size {wanted}",
        ),
        "go_logfmt": Phrasings(
            ('msg="endpoints updated" ready={ready} desired={wanted}',
             'msg="peer list changed" peers={ready} replicas={wanted}'),
            'replicas={wanted} alive={ready} msg="membership"',
            "event=peers_refreshed alive={ready} target={wanted}",
        ),
        "any": Phrasings(
            ("endpoints: {ready} ready, {wanted} desired",
             "{ready} of {wanted} peers answer"),
            "desired {wanted} replicas, found {ready}",
            "peer count {ready}, target {wanted}",
        ),
    },
)  # fmt: skip


class BlockedPods(NamedTuple):
    """Why pods are not ready: the kind of their `PodEvent`, and what the kubelet writes."""

    event_kind: str
    restarts: bool


IMAGE = BlockedPods("image_pull_failed", restarts=False)
CRASH = BlockedPods("crash_loop", restarts=True)
PROBE = BlockedPods("probe_failed", restarts=False)
QUOTA = BlockedPods("quota_exceeded", restarts=False)
_EVENT_TICKS = 4  # a pod's failure is reported again after that


def _block(world: World, service: Service, pods: list[Pod], why: BlockedPods, tick: int) -> None:
    """Keep these pods from traffic in this tick, and report it from time to time."""
    for pod in pods:
        if pod.ready_at_tick <= tick:
            world.wake(service.name)
        # Two ticks at once: the groups of the next tick are computed before faults apply.
        pod.ready_at_tick = tick + 2
        if (tick - pod.started_tick) % _EVENT_TICKS == 0:
            world.pod_events.append(PodEvent(tick, service.name, pod.name, why.event_kind))
            pod.times_killed += 1 if why.restarts else 0
    ready = len(service.pods) - len(pods)
    if pods:
        fields = {"ready": ready, "wanted": len(service.pods)}
        world.emit_log(service, NOT_READY, 0.5 * max(1, ready), fields)


def _first_pods(pods: list[Pod], share: float) -> list[Pod]:
    return pods[: int(share * len(pods) + 0.5)]


@dataclass(frozen=True)
class FaultyBuild:
    """A build or revision that does not start on a share of the pods.

    Attributes:
        blocked_share: share of its pods. The others still have its image, or the old variable.
        why: what the events say.
    """

    place: Place
    start_tick: int
    change: Change | None
    blocked_share: float
    why: BlockedPods

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        is_version = self.place.thing is Thing.VERSION
        known = service.builds if is_version else service.revisions
        if self.place.name not in known:
            return
        faulty = [
            pod
            for pod in service.pods
            if (service.has_build_since(pod.version, self.place.name) if is_version
                else service.has_revision_since(pod.revision, self.place.name))
        ]  # fmt: skip
        _block(world, service, _first_pods(faulty, self.blocked_share), self.why, tick)


@dataclass(frozen=True)
class TightSetting(SettingFault):
    """A probe timeout or pod quota that is too low.

    Attributes:
        blocked_share: share of the pods whose probes fail.
    """

    blocked_share: float

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        value = float(service.settings[self.place.name])
        if self.place.name == QUOTA_KEY:
            _block(world, service, service.pods[int(value) :], QUOTA, tick)
        elif value <= LONGEST_FAULTY_PROBE_MS:
            _block(world, service, _first_pods(service.pods, self.blocked_share), PROBE, tick)


def find_places(world: World) -> list[Place]:
    """Return safe deploys and revisions, and probe timeouts and quotas, of applications."""

    def has_key(service: Service, key: str) -> bool:
        return service.kind is ServiceKind.APPLICATION

    def is_application(service: Service) -> bool:
        return service.kind is ServiceKind.APPLICATION

    revisions = [
        Place(change.service, Thing.REVISION, change.after, Origin.SAFE_CHANGE, change)
        for change in listed_changes(world, ChangeKind.CONFIG)
        if not change.key and is_application(world.services[change.service])
    ]
    builds = version_places(world, is_application)
    return builds + revisions + setting_places(world, (PROBE_KEY, QUOTA_KEY), has_key)


def start(world: World, place: Place, severity: Severity) -> Fault:
    """Return a fault that keeps 50 to 95 % of the service's pods from becoming ready."""
    draws = BitStream(f"{severity.seed}/pods_not_ready")
    share = MIN_BLOCKED + (MAX_BLOCKED - MIN_BLOCKED) * severity.size
    pods = len(world.services[place.service].pods)
    if place.thing is not Thing.SETTING:
        assert place.change is not None
        why = draws.choose((IMAGE, CRASH)) if place.thing is Thing.VERSION else CRASH
        return FaultyBuild(place, place.change.tick, place.change, share, why)
    value = str(pods - int(share * pods + 0.5))
    if place.name == PROBE_KEY:
        value = str(2 + draws.integer_below(int(LONGEST_FAULTY_PROBE_MS) - 2))
    return TightSetting(place, *give_faulty_value(world, place, severity, value), share)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "pods_ready,pods_killed"),
        ask_diagnostic(suspect.service, "settings"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if fewer pods are ready than an hour ago and none was killed for memory."""
    pods, settings = replies
    missing = _missing_share(pods)
    if missing < 0.2 or final_level(pods.find_series("pods_killed"), 6) > 0.0:
        return None
    probe, quota = setting_value(settings, PROBE_KEY), setting_value(settings, QUOTA_KEY)
    wanted = first_level(pods.find_series("pods_ready"))
    service = suspect.service
    if 0.0 < probe < 0.2 * USUAL_PROBE_TIMEOUT_MS:
        call = undo_of_key(suspect, service, PROBE_KEY)
        usual = str(USUAL_PROBE_TIMEOUT_MS)
        return Verdict(missing, (call or set_config(service, PROBE_KEY, usual),))
    if 0.0 < quota < wanted:
        call = undo_of_key(suspect, service, QUOTA_KEY)
        usual = str(POD_QUOTA_FACTOR * int(wanted + 0.5))
        return Verdict(missing, (call or set_config(service, QUOTA_KEY, usual),))
    call = undo_at_onset(suspect, service, ("deploy", "config"), 10.0)
    return None if call is None else Verdict(missing, (call,))


def _missing_share(reply: ParsedReply) -> float:
    """Return the share of the pods that were ready an hour ago and are not now."""
    series = reply.find_series("pods_ready")
    before = max(series[0].values) if series else 0.0
    return 1.0 - series[0].values[-1] / before if before > 0.0 else 0.0


def _question_pods(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_missing(reply: ParsedReply, place: Place) -> float:
    """Return the share of the pods that are missing, or 0 if pods are killed for memory."""
    is_killed = final_level(reply.find_series("pods_killed"), 6) > 0.0
    return 0.0 if is_killed else _missing_share(reply)


FAULT_TYPE = FaultType(
    name="pods_not_ready",
    levels=levels("emh"),
    origins={Origin.SAFE_CHANGE: 0.7, Origin.UNLISTED: 0.3},
    find_places=find_places,
    start=start,
    has_smooth_severity=False,  # a whole number of pods
    log_events=(NOT_READY,),
    repairs=((UNDO_CHANGE,), (RESTORE_SETTING,)),
    mitigations=(MORE_PODS,),
    decisive=(
        EvidenceCheck(
            "pods are missing", _question_pods, _measure_missing, 0.2,
            ("memory_leak", "resource_limit", "traffic_growth"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
