"""One play: the world, what is done to it tick by tick, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions import ACTIONS, Action, Outcome, act
from firewatch_env.engine.service import Service
from firewatch_env.engine.tick import ALLOWED, SECONDS
from firewatch_env.evidence.alerts import fire
from firewatch_env.evidence.meters import read_all
from firewatch_env.evidence.observation import graph, services_view
from firewatch_env.grade import (
    MOST_CHANGES,
    Checkpoint,
    Grade,
    impact,
    precision,
    resolved,
    unneeded,
)
from firewatch_env.messages import opening, situation, verdict
from firewatch_env.replay import Change, replay
from firewatch_env.tasks.task import SETTLE, Task, open_world
from openenv_kit.errors import MAX_REPR_CHARACTERS
from openenv_kit.float_sum import sum_left_to_right

HISTORY = 10
FEEDBACK = 200  # characters of feedback kept in the history
_BUDGET = 10.0  # ticks of full outage
# Actions that can be put back, and what they move. The action that does so is not counted itself;
# what it takes back is, if it helped nobody.
_REVERSIBLE = {
    "circuit_break": "break", "traffic_shift": "drain", "drain_availability_zone": "drain",
    "rollback_deploy": "build", "revert_config": "revision",
}  # fmt: skip


class Play:
    """An episode under way.

    Attributes:
        declared, done: whether it was declared over, and whether it ended.
        message: what the last action came to, and how things stand.
        steps: changes so far, each with the world before it.
        grade: once it has ended; None if `graded` is off.
    """

    def __init__(self, task: Task, *, graded: bool = True) -> None:
        self.task, self.graded = task, graded
        self.world = open_world(task)
        self.graph = graph(self.world)
        self.meters = read_all(self.world)
        self.memory = {name: now.memory for name, now in self.meters.items()}
        self.since: dict[str, int] = {}
        self.alerts = fire(self.world, self.since, self.meters)
        self.usual = sum_left_to_right(service.entry for service in self.world.entries)
        self.logs: dict[str, tuple[str, ...]] = {}
        self.history: list[dict[str, Any]] = []
        self.harm = 0.0
        self.burning = [self.world.harm]
        self.steps: list[Checkpoint] = []
        self.looked: list[tuple[int, str]] = []
        self.grounded: list[bool] = []  # for each change, whether its service was looked at before
        self.put_back: dict[int, int] = {}  # index of a change that put another back: that other
        self._before: dict[tuple[str, str], tuple[Any, int]] = {}
        self.attempts: list[str] = []  # changes that found nothing to change
        self.mttm: int | None = None
        self.tool_result: dict[str, Any] | None = None
        self.declared = self.done = False
        self.grade: Grade | None = None
        self.message = f"{opening(self.world, self.alerts, self.graph)}\n{self._situation()}"

    @property
    def tick(self) -> int:
        """Actions so far; each lets one tick pass."""
        return self.world.tick

    def wait(self, name: str, target: str | None, problem: str) -> None:
        """Let a tick pass after an action that could not be understood."""
        self._pass_tick()
        self._record(name, target, Outcome(problem, None))

    def act(self, name: str, target: str | None, parameters: Mapping[str, Any]) -> Outcome:
        """Do a known action to a known service: changes before the tick, looks after it."""
        action = ACTIONS[name]
        if action.changes:
            known = {key: value for key, value in parameters.items() if key in action.parameters}
            outcome = self._change(action, target or "", known)
            self._pass_tick()
        else:
            self.declared = name == "declare_resolved"
            self._pass_tick()
            outcome = act(self.world, name, target, {})
            if action.group == "look" and target is not None:
                self.looked.append((self.tick, target))
        ignored = [
            str(key)[:MAX_REPR_CHARACTERS] for key in parameters if key not in action.parameters
        ]
        if ignored:
            said = f"{outcome.text} (ignored: {', '.join(sorted(ignored)[:5])})"
            outcome = Outcome(said, outcome.changed, outcome.figures, outcome.lines)
        self._record(name, target, outcome)
        return outcome

    def _pass_tick(self) -> None:
        world = self.world
        world.step()
        self.harm += world.harm * world.customers
        self.burning.append(world.harm)
        self.meters = read_all(world)
        self.alerts = fire(world, self.since, self.meters)
        if self.mttm is None and self.steps and world.harm == 0 and any(self.burning):
            self.mttm = world.tick

    def _record(self, name: str, target: str | None, outcome: Outcome) -> None:
        self.history.append(
            {
                "action_type": name[:MAX_REPR_CHARACTERS],
                "target_service": target,
                "feedback_string": outcome.text[:FEEDBACK],
            }
        )
        if outcome.lines and target is not None:
            self.logs[target] = outcome.lines
        self.tool_result = outcome.figures or None
        said = [outcome.text]
        if self.declared or self.tick >= self.task.max_ticks:
            self.done = True
            if self.graded:
                self.grade = self._graded()
                said.append(verdict(self.grade))
        else:
            said.append(self._situation())
        self.message = "\n".join(said)

    def _change(self, action: Action, target: str, parameters: Mapping[str, Any]) -> Outcome:
        service = self.world.by_name[target]
        before, setting = self.world.copy() if self.graded else None, _setting(action, service)
        outcome = action.do(self.world, service, parameters)
        if outcome.changed is False:
            self.attempts.append(named(action.name, target, self.tick + 1, ", nothing to do"))
        elif outcome.changed:
            change = Change(self.tick + 1, action.name, target, dict(parameters))
            self.steps.append(Checkpoint(change, before or self.world, self.harm))
            shown = {target}
            if _REVERSIBLE.get(action.name) == "break":  # a breaker shows at those who call
                shown |= {call.caller.name for call in service.callers}
            self.grounded.append(any(name in shown for _, name in self.looked))
            if action.name in _REVERSIBLE:
                self._note_put_back(action, service, setting)
        return outcome

    def _note_put_back(self, action: Action, service: Service, setting: Any) -> None:
        key = (_REVERSIBLE[action.name], service.name)
        this = len(self.steps) - 1
        was, first = self._before.setdefault(key, (setting, this))
        if _setting(action, service) == was:
            self.put_back[this] = first
            del self._before[key]

    def _graded(self) -> Grade:
        from firewatch_env.policies.own_play import reference_harm

        task, last, end = self.task, self.task.horizon, self.tick
        beyond = replay(self.world, (), last, ends=end)
        total = sum_left_to_right((self.harm, *beyond.harm))
        over = beyond.last <= end + SETTLE  # repairs under way at the end still arrive
        untouched = replay(open_world(task), (), last).total
        changed = bool(self.steps or self.attempts)
        needed = self.grounded
        if len(self.steps) > MOST_CHANGES:
            useless = list(range(len(self.steps)))
        else:
            useless = unneeded(self.steps, self.put_back, total, untouched, end, last)
            skipped = {*useless, *self.put_back}
            needed = [each for at, each in enumerate(self.grounded) if at not in skipped]
        needless = [self.steps[at].change for at in sorted(useless)]
        names = [named(each.action, each.target, each.tick) for each in needless]
        names += self.attempts
        return Grade(
            resolved=resolved(self.declared, over, changed),
            impact=impact(untouched, total, reference_harm(task), self.declared, changed),
            precision=precision(len(names)),
            needless=tuple(names),
            over=over,
            mitigated=self.mttm,
            ended=max(beyond.last, self._last_harm()) if over else None,
            looks=len(self.looked),
            changes=len(self.steps),
            grounded=sum(needed) / len(needed) if needed else None,
        )

    def _last_harm(self) -> int:
        """The last tick so far in which customers were let down."""
        return max((tick for tick, share in enumerate(self.burning) if share), default=0)

    @property
    def budget(self) -> float:
        """Per cent of the budget left: harm to the usual number of customers, 10 ticks of it."""
        spent = self.harm / self.usual / _BUDGET if self.usual else 0.0
        return 100 * (1 - spent) if spent < 1 else 0.0

    def _situation(self) -> str:
        return situation(self.world, self.meters, self.memory, self.budget, self.task.max_ticks)

    def observe(self) -> dict[str, Any]:
        """Every key of the wire contract."""
        return {
            "services": services_view(self.meters, self.logs),
            "active_alerts": self.alerts,
            "dependency_graph": self.graph,
            "slo_budget_remaining_pct": round(self.budget, 3),
            "bad_customer_minutes": round(self.harm * SECONDS * 0.5, 3),
            "sim_tick": self.tick,
            "sim_time_elapsed_seconds": self.tick * SECONDS,
            "action_history": self.history[-HISTORY:],
            "incident_declared": self.declared,
            "user_impact_active": any(self.burning[-3:]),
            "current_slo_burn_rate": round(self.burning[-1] / ALLOWED, 3),
            "mttm_achieved_tick": self.mttm,
            "episode_score": self.grade.score if self.grade is not None else None,
            "tool_result": self.tool_result,
        }


def named(action: str, target: str, tick: int, why: str = "") -> str:
    """A change as the grade names it."""
    return f"{action} {target} (tick {tick}{why})"


def _setting(action: Action, service: Service) -> Any:
    """What a reversible action moves, as it is now."""
    what = _REVERSIBLE.get(action.name)
    if what == "break":
        return tuple(call.breaker for call in service.callers)
    return service.drained if what == "drain" else what in service.rolled
