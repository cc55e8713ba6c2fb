"""A version, configuration revision or flag whose code fails for a share of the requests."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.changes.change import Change, ChangeKind
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
    Thing,
    levels,
)
from firewatch_next.faults.numbers import final_level, mean, strongest_group
from firewatch_next.faults.places import (
    flag_places,
    listed_changes,
    reach_of,
    version_places,
)
from firewatch_next.faults.questions import changes_of
from firewatch_next.faults.repairs import FLAG_OFF, SHIFT_FROM_VERSION, UNDO_CHANGE
from firewatch_next.simulation.service import (
    SECONDS_PER_TICK,
    ErrorReason,
    Service,
    ServiceKind,
)
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall

MIN_ERROR_SHARE, MAX_ERROR_SHARE = 0.03, 0.95
_FIELDS = ("endpoint", "line", "item")
_ENDPOINTS = ("/v1/{0}", "/v2/{0}", "/internal/{0}", "/v1/{0}/batch", "/v1/{0}/summary")

EXCEPTION = LogEvent(
    "code_error.exception",
    LogLevel.ERROR,
    _FIELDS,
    {
        "java_spring": Phrasings(
            open=(
                "Servlet.service() for {endpoint} threw java.lang.NullPointerException: Cannot "
                'invoke "Item.total()" because "{item}" is null at Handler.java:{line}',
                "Request processing failed on {endpoint}: java.lang.IllegalStateException: no "
                "value present for {item} (Mapper.java:{line})",
            ),
            test="java.util.NoSuchElementException at Resolver.java:{line}: {item}; while handling "
            "{endpoint}",
            sealed="Unhandled java.lang.ArithmeticException in {endpoint}, frame Pricing.java:"
            "{line}, argument {item}",
        ),
        "go_logfmt": Phrasings(
            open=(
                'msg="http: panic serving" path={endpoint} err="runtime error: invalid memory '
                'address or nil pointer dereference" at=handler.go:{line} arg={item}',
                'msg="request failed" err="index out of range [3] with length 3" source='
                "mapper.go:{line} path={endpoint} key={item}",
            ),
            test='err="strconv.Atoi: parsing {item}: invalid syntax" path={endpoint} '
            'caller=decode.go:{line} msg="handler returned 500"',
            sealed='caller=merge.go:{line} recovered="interface conversion: interface is nil" '
            "route={endpoint} subject={item}",
        ),
        "python_uvicorn": Phrasings(
            open=(
                "Exception in ASGI application {endpoint}: KeyError: '{item}' (handlers.py:{line})",
                "TypeError: unsupported operand type(s) for +: 'NoneType' and 'int' at views.py:"
                "{line}, path {endpoint}, {item}",
            ),
            test="{endpoint} raised AttributeError: 'NoneType' object has no attribute '{item}' in "
            "service.py line {line}",
            sealed="ValueError: could not convert string to float: '{item}' | parsing.py:{line} | "
            "{endpoint}",
        ),
        "any": Phrasings(
            open=(
                "unhandled error on {endpoint}: unexpected empty value for {item} (line {line})",
                "{endpoint} ended with an internal error at line {line}: {item} is undefined",
            ),
            test="line {line}: cannot read {item} of undefined, request {endpoint} aborted",
            sealed="abort of {endpoint}: assertion on {item} not met (source line {line})",
        ),
    },
)


@dataclass(frozen=True)
class CodeError:
    """A code error at a place.

    Attributes:
        error_share: share of the requests that run the code and fail.
        endpoint, line, item: values of the log fields, fixed for the episode.
    """

    place: Place
    start_tick: int
    change: Change | None
    error_share: float
    endpoint: str
    line: int
    item: str

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        reach = reach_of(service, self.place)
        if reach.is_empty:
            return
        world.mark_affected(service)
        fields: dict[str, str | int | float] = {
            "endpoint": self.endpoint,
            "line": self.line,
            "item": self.item,
        }
        failing = 0.0
        affected_share = 0.0
        for group in reach.groups:
            affected_share += group.traffic_share
            failing += service.load * group.traffic_share * self.error_share * reach.share
            if self.place.thing is not Thing.FLAG:
                group.add_errors(ErrorReason.EXCEPTION, self.error_share)
        if self.place.thing is Thing.FLAG:
            service.flags[self.place.name].error_share = self.error_share * affected_share
        version = ""
        if len({group.version for group in service.groups}) > 1:
            version = reach.groups[0].version
        world.emit_log(service, EXCEPTION, failing * SECONDS_PER_TICK, fields, version=version)


def _runs_own_code(service: Service) -> bool:
    return service.kind in (ServiceKind.APPLICATION, ServiceKind.WORKER)


def find_places(world: World) -> list[Place]:
    """Return safe deploys, configuration revisions and flags of services with code of their own."""
    revisions = [
        Place(change.service, Thing.REVISION, change.after, Origin.SAFE_CHANGE, change)
        for change in listed_changes(world, ChangeKind.CONFIG)
        if not change.key and _runs_own_code(world.services[change.service])
    ]
    return version_places(world, _runs_own_code) + revisions + flag_places(world, _runs_own_code)


def start(world: World, place: Place, severity: Severity) -> CodeError:
    """Return a fault that fails 3 to 95 % of the requests that run the code."""
    draws = BitStream(f"{severity.seed}/code_error")
    noun = place.service.rsplit("-", 1)[0]
    return CodeError(
        place,
        place.change.tick if place.change is not None else severity.start_tick,
        place.change,
        MIN_ERROR_SHARE + (MAX_ERROR_SHARE - MIN_ERROR_SHARE) * severity.size,
        draws.choose(_ENDPOINTS).format(noun),
        20 + draws.integer_below(480),
        draws.choose(("discount", "region", "currency", "owner", "variant", "window", "tier")),
    )


def _ask_error_split(suspect: Suspect) -> tuple[Question, ...]:
    def query(group_by: str) -> Question:
        arguments = {
            "service": suspect.service,
            "metrics": "error_ratio",
            "group_by": group_by,
            "window_minutes": 90,
            "points": 24,
        }
        return Question(ToolCall("query_metrics", arguments))

    flags = {"service": suspect.service, "kind": "flags"}
    return (query("code"), query("version"), Question(ToolCall("run_diagnostic", flags)))


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the service answers 500 of its own, split by flag or beginning with a change."""
    by_code, by_version, flags = replies
    own = final_level(by_code.find_series("error_ratio", code="500"))
    if own < 0.01:
        return None
    flag = strongest_group(flags.rows, "flag", "error_ratio_with", "error_ratio_without")
    if flag is not None and flag.excess > 0.01:
        arguments = {"service": suspect.service, "flag": flag.name, "percent": 0}
        return Verdict(flag.excess, (ToolCall("set_flag", arguments),))
    change = _change_at_onset(suspect, by_version)
    if change is None:
        return None
    arguments = {"service": suspect.service, "change_id": change}
    return Verdict(own, (ToolCall("undo_change", arguments),))


def _change_at_onset(suspect: Suspect, by_version: ParsedReply) -> str | None:
    """Return the change whose version has the errors, or that began within 3 minutes of them."""
    means = {
        series.labels["version"]: mean(series.values[-4:])
        for series in by_version.find_series("error_ratio")
    }
    worst = max(means, key=lambda version: means[version], default="")
    for row in changes_of(suspect, suspect.service):
        if len(means) > 1 and row.get("kind") == "deploy" and row.get("after") == worst:
            return str(row["id"])
    for row in changes_of(suspect, suspect.service):
        minutes = float(row.get("minutes_ago", 1e9))
        is_rollout = row.get("kind") in ("deploy", "config")
        if is_rollout and -1.0 <= minutes - suspect.onset_minutes <= 3.0:
            return str(row["id"])
    return None


def _question_500(place: Place) -> Question:
    return _ask_error_split(Suspect(place.service, (), (), "", 0.0, ()))[0]


def _measure_500(reply: ParsedReply, place: Place) -> float:
    return final_level(reply.find_series("error_ratio", code="500"))


FAULT_TYPE = FaultType(
    name="code_error",
    levels=levels("remhx"),
    origins={Origin.SAFE_CHANGE: 0.4, Origin.UNSAFE_CHANGE: 0.25, Origin.UNLISTED: 0.35},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(EXCEPTION,),
    repairs=((UNDO_CHANGE,), (FLAG_OFF,)),
    mitigations=(SHIFT_FROM_VERSION,),
    decisive=(
        EvidenceCheck(
            "own 500s", _question_500, _measure_500, 0.01, ("incompatible_data", "cpu_regression")
        ),
    ),
    hypothesis=Hypothesis(_ask_error_split, _judge),
)
