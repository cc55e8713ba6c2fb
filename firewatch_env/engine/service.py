"""What a world is made of: services with their parts, calls, builds and revisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from firewatch_env.engine.motion import ZONE_B

T = TypeVar("T")
# Share of a service's requests and seconds that they take, for each of its parts.
Answers = tuple[tuple[float, float], ...]
USUAL_QUEUE = 3.0  # seconds that requests may wait before they are shed
PROMOTED = "canary"  # in `Service.moved`: its canary has become the build of all pods
BREAKER_COST = {"store": 0.8, "cache": 0.3}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a release sets: a lever's value before and after, and how a change log says it.

    The lever is empty where nothing but words changed.
    """

    lever: str
    before: float
    after: float
    text: str


@dataclass(frozen=True, slots=True)
class Release:
    """A build or a revision of the configuration.

    Attributes:
        tick: when it came out.
        version: its name, such as "8.4.1" or "r212"; before: that of the one it replaced.
        settings: what it set.
        staged: a build that only zone b runs so far.
    """

    tick: int
    version: str
    before: str
    settings: tuple[Setting, ...]
    staged: bool = False


def _copier(kind: type[T]) -> Callable[[T], T]:
    """A function that copies an object slot by slot; a loop over their names takes far longer."""
    lines = "".join(f"    new.{name} = old.{name}\n" for name in kind.__slots__)  # type: ignore[attr-defined]
    made: dict[str, Any] = {"make": kind.__new__, "kind": kind}
    exec(f"def copy(old):\n    new = make(kind)\n{lines}    return new", made)
    copy: Callable[[T], T] = made["copy"]
    return copy


class Part:
    """Some of a service's pods that share a fate.

    Attributes:
        weight: share of the requests that the balancer sends here; usual: on an ordinary day.
        share: share of the service's pods.
        fill: memory that has grown since the pods started, as a share of the limit.
        down: ticks until killed pods are back; roll: ticks that a quarter of them is away;
            renew: ticks until all of them have been replaced.
        lost, err: share of calls that never arrive, and that end in an exception.
        steal: share of the CPU taken by a neighbour.
        use, shed: share of the CPU in use, and of its requests shed, in the last tick; kept where
            a service has several parts.
    """

    __slots__ = (
        "down", "err", "fill", "lost", "renew", "roll", "share", "shed", "steal", "use", "usual",
        "weight",
    )  # fmt: skip

    def __init__(self, weight: float, share: float) -> None:
        self.weight = self.usual = weight
        self.share = share
        self.fill = 0.0
        self.down = 0
        self.roll = 0
        self.renew = 0
        self.lost = 0.0
        self.err = 0.0
        self.steal = 0.0
        self.use = self.shed = 0.0

    def copy(self) -> Part:
        """The same pods with a fate of their own."""
        return _copied_part(self)


class Call:
    """A service calling another: what it is set to, and how it went in the last tick.

    Attributes:
        calls: calls per request; timeout: seconds; tries: at most so many attempts.
        breaker: the caller answers without asking; pace: later tries wait, so that they are
            spread too thin to add load.
        weight: share of the requests answered without this call that count as bad.
        attempts, fail, late: attempts per call, share that failed after all of them, share of
            attempts that ran out of time.
    """

    __slots__ = (
        "attempts", "backoff", "breaker", "callee", "caller", "calls", "fail", "flow", "late",
        "optional", "pace", "ratio", "single", "timeout", "tries", "usual_calls", "usual_timeout",
        "usual_tries", "weight",
    )  # fmt: skip

    def __init__(self, caller: Service, callee: Service, calls: float, optional: bool) -> None:
        self.caller = caller
        self.callee = callee
        self.calls = self.usual_calls = calls
        self.optional = optional
        self.timeout = self.usual_timeout = 0.5
        self.tries = self.usual_tries = 1
        self.breaker = False
        self.pace = True
        self.backoff = False  # spaced by an action, whatever the settings say
        self.single = False  # retries switched off
        self.weight = BREAKER_COST.get(callee.kind, 0.25 if optional else 0.5)
        self.flow = 0.0
        self.attempts = 1.0
        self.fail = 0.0
        self.late = 0.0
        self.ratio = 1.0  # of calls now to usual calls, where a cache stands before

    def copy(self, caller: Service, callee: Service) -> Call:
        other = _copied_call(self)
        other.caller, other.callee = caller, callee
        return other


class Reading(NamedTuple):
    """What a service's meters showed at the end of a tick; shares are of its requests."""

    own: float = 0.0  # 5xx that the server itself answered
    seen: float = 0.0  # what probes from outside count: own trouble, 4xx and lost calls
    refused: float = 0.0
    limited: float = 0.0
    lost: float = 0.0
    shed: float = 0.0
    lat: float = 0.0
    tail: float = 0.0
    use: float = 0.0
    memory: float = 0.0
    busy: float = 0.0
    load: float = 0.0


class Service:
    """A service: fixed figures, levers, what follows from the levers, and how it is doing.

    What an ordinary day looks like is in `usual_*`; `levers` holds only what deviates from it
    (see levers.py), and everything under "derived" follows from the levers.
    """

    __slots__ = (
        "alerted", "answers", "backlog", "base", "build", "callers", "calls", "clock", "cores",
        "cpu", "deg", "drain", "easing", "entry", "err", "features", "grow", "grow_cap", "hard",
        "heap", "hits", "killed", "kind", "lat", "levers", "limit", "load", "masks", "memory",
        "memory_limit", "memory_mb", "moved", "name", "now", "orphans", "parts", "passing", "path",
        "pods", "queue", "refuse", "revision", "rolled", "size", "sizing", "slots", "slow_after",
        "soft", "special", "staged", "stalled", "stranger", "usual_cores", "usual_lat",
        "usual_load", "usual_slots", "work", "zoned",
    )  # fmt: skip

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.base = 0.0
        self.work = 0.0  # CPU seconds a request
        self.memory = 0.4  # share of the usual limit in use on an ordinary day
        self.memory_mb = 500
        self.entry = 0.0  # customers a second who come in here
        self.features: dict[str, float] = {}
        self.masks = False  # passes on what a callee answers without counting it as its own
        self.alerted = True  # has alert rules of its own
        self.zoned = False
        self.usual_load = self.usual_lat = self.usual_cores = 0.0
        self.usual_slots = 0.0
        self.slow_after = 1.0
        self.pods = 8
        self.calls: list[Call] = []
        self.callers: list[Call] = []
        self.parts = [Part(1.0, 1.0)]
        self.levers: dict[str, float] = {}
        self.staged: set[str] = set()  # levers that only zone b's pods have off
        self.easing: dict[str, tuple[float, int]] = {}  # levers on their way: to where, since when
        self.clock = 0  # the tick that levers were last looked at
        self.build: Release | None = None
        self.revision: Release | None = None
        self.rolled: set[str] = set()  # of "build" and "revision", those taken back
        # Moved by actions.
        self.size = 1.0  # pods asked for, to the usual number
        self.sizing: tuple[float, int] | None = None  # pods there were before, and until when
        self.memory_limit = 1.0  # to the usual limit
        # Share of zone b's requests that go elsewhere: before, now, since when, until when.
        self.drain: tuple[float, float, int, int | None] | None = None
        self.moved: set[str] = set()  # what an action may do only once
        self.queue = USUAL_QUEUE
        # Derived.
        self.special = True  # something of what follows needs the long way through a tick
        self.err = self.refuse = self.limit = self.path = 0.0
        self.cpu = self.cores = self.slots = self.grow = self.heap = self.orphans = 0.0
        self.grow_cap = 9.0
        self.hits = 0.0
        self.stalled = 1.0
        self.stranger = 0.0, 0.0  # see families.py
        # State.
        self.load = 0.0
        self.passing = 1.0
        self.soft = self.hard = self.lat = self.deg = 0.0
        self.answers: Answers = ()  # where parts differ
        self.backlog = 0.0
        self.killed: int | None = None  # last tick in which its pods ran out of memory
        self.now = Reading()

    @property
    def drained(self) -> float:
        """Share of zone b's requests that an action last asked to go elsewhere."""
        return 0.0 if self.drain is None else self.drain[1]

    def copy(self) -> Service:
        """This service with levers and parts of its own; calls still to be joined."""
        other = _copied_service(self)
        other.levers = self.levers.copy()
        other.staged = self.staged.copy()
        other.easing = self.easing.copy()
        other.rolled = self.rolled.copy()
        other.moved = self.moved.copy()
        other.parts = [part.copy() for part in self.parts]
        return other

    def split(self) -> None:
        """Tell the two zones apart from here on; without effect the second time."""
        if len(self.parts) > 1 and self.parts[1].share == ZONE_B:
            return
        first, second = self.parts[0], self.parts[0].copy()
        first.weight = first.usual = first.share = 1 - ZONE_B
        second.weight = second.usual = second.share = ZONE_B
        self.parts = [first, second]


_copied_part, _copied_call, _copied_service = _copier(Part), _copier(Call), _copier(Service)
