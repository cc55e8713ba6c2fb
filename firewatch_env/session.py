"""One play: reset, then one action a tick, then the grade."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from firewatch_env.actions import ACTIONS, Action, Outcome
from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.alerts import let_down
from firewatch_env.evidence.observation import graph, nothing
from firewatch_env.grade import Checkpoint, Grade, grade
from firewatch_env.replay import Change, Course, replay
from firewatch_env.tasks.task import Task
from firewatch_env.timeline import Timeline, enter
from openenv_kit.adding import add_up
from openenv_kit.errors import MAX_ECHO, echo, unknown_name_message

HISTORY = 10
_BUDGET = 10.0  # ticks of full outage
_OBJECTIVE = 0.005
# Actions that can be put back, and what they move.
# The action that does so is not counted itself; what it takes back is, if it helped nobody.
_REVERSIBLE = {
    "circuit_break": "break", "traffic_shift": "drain", "drain_availability_zone": "drain",
    "rollback_deploy": "build", "revert_config": "revision",
}  # fmt: skip


class BadReset(ValueError):
    """A reset asked for a task that there is not; the running episode goes on."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a reset or a step is answered."""

    observation: dict[str, Any]
    reward: float | None
    done: bool
    info: dict[str, Any] = field(default_factory=dict)


Find = Callable[[Mapping[str, Any]], Task]
Par = Callable[[Task], tuple[float, float]]


class Play:
    """An episode under way: the world, what was done to it, and what it came to."""

    def __init__(self, task: Task) -> None:
        self.task = task
        line, self.moment = enter(task, self)
        self.timeline: Timeline | None = line  # until the first change
        self.began = self.world.tick
        self.logs: dict[str, tuple[str, ...]] = {}
        self.graph = graph(self.world)
        self.history: list[dict[str, Any]] = []
        self.harm: list[float] = []
        self.measured = 0.0  # the same in all, as its meter shows it
        self.usual = add_up(service.entry for service in self.world.entries)
        self.burning = [let_down(self.world)]
        self.steps: list[Checkpoint] = []
        self.put_back: dict[int, int] = {}  # step that put another back: that other
        self.before: dict[tuple[str, str], tuple[Any, int]] = {}
        self.attempts = 0
        self.declared = False
        self.mttm: int | None = None
        self.tool_result: dict[str, Any] | None = None
        self.done = False
        self.grade: Grade | None = None

    @property
    def world(self) -> World:
        """The world as it is now; before its first change, others may look at it as well."""
        return self.moment.world

    def own_world(self) -> World:
        """The same, for this play to change."""
        if self.timeline is not None:
            self.moment = self.timeline.leave(self, self.moment)
            self.timeline = None
        return self.moment.world

    @property
    def actions(self) -> int:
        """Actions so far; each lets one tick pass."""
        return self.world.tick - self.began


class Session:
    """Plays of tasks, one after another.

    Args:
        find: the task that reset's arguments ask for; raises BadReset.
        par: harm to a task's customers had nobody acted, and under the reference; None leaves
            plays without a grade.
    """

    def __init__(self, find: Find, par: Par | None) -> None:
        self._find = find
        self._par = par
        self._play: Play | None = None

    def reset(self, **arguments: Any) -> Reply:
        """Begin an episode; what is wrong with the arguments is in `info.error`."""
        try:
            task = self._find(arguments)
        except BadReset as error:
            observation = nothing() if self._play is None else self._observe(self._play)
            done = self._play is not None and self._play.done
            return Reply(observation, None, done, {"error": str(error)})
        self._play = Play(task)
        return Reply(self._observe(self._play), None, False, {"error": None})

    def step(self, action: Mapping[str, Any]) -> Reply:
        """Take an action as it arrived; every mistake is answered in `info.error`."""
        play = self._play
        if play is None:
            return Reply(nothing(), 0.0, False, _info("reset first", ""))
        if play.done:
            info = _info("the episode is over; reset begins another", "", play.grade)
            return Reply(self._observe(play), 0.0, True, info)
        error, known, target, parameters = _understand(action, play.world)
        if known is None:
            outcome = Outcome(error or "", None)
            _pass_tick(play)
        else:
            outcome = _do(play, known, target, parameters)
        self._record(play, action, target, outcome)
        if play.declared or play.actions >= play.task.max_ticks:
            self._finish(play)
        reward = play.grade.score if play.grade is not None else 0.0
        info = _info(error, outcome.text, play.grade, valid=known is not None)
        return Reply(self._observe(play), reward, play.done, info)

    @property
    def task(self) -> Task | None:
        """The task of the running episode, with everything hidden in it."""
        return None if self._play is None else self._play.task

    def changes(self) -> tuple[Change, ...]:
        """Changes made in this play so far."""
        return () if self._play is None else tuple(step.change for step in self._play.steps)

    def state(self) -> dict[str, Any]:
        """Public progress."""
        play = self._play
        if play is None:
            return {"task_id": None, "step_count": 0, "max_ticks": 0, "done": False}
        return {
            "task_id": play.task.task_id,
            "difficulty": play.task.difficulty,
            "step_count": play.actions,
            "max_ticks": play.task.max_ticks,
            "done": play.done,
        }

    def _record(
        self, play: Play, action: Mapping[str, Any], target: str | None, outcome: Outcome
    ) -> None:
        name = action.get("action_type") if isinstance(action, Mapping) else None
        play.history.append(
            {
                "action_type": name[:MAX_ECHO] if isinstance(name, str) else "",
                "target_service": target,
                "feedback_string": outcome.text,
            }
        )
        if outcome.lines and target is not None:
            play.logs[target] = outcome.lines
        play.tool_result = outcome.figures or None
        hurt = any(play.harm)
        if play.mttm is None and play.steps and hurt and play.world.harm == 0:
            play.mttm = play.world.tick

    def _finish(self, play: Play) -> None:
        play.done = True
        if self._par is None:
            return
        last = play.task.horizon
        alerts, _ = play.moment.seen()
        clear = play.world.harm == 0 and not any(a["severity"] == "page" for a in alerts)
        beyond = replay(play.world, (), last)
        whole = Course((*play.harm, *beyond.harm), beyond.over)
        end = (play.declared, clear, whole)
        marks, power = self._par(play.task), play.task.power
        play.grade = grade(play.steps, play.put_back, play.attempts, end, marks, last, power)

    def _observe(self, play: Play) -> dict[str, Any]:
        alerts, services = play.moment.seen()
        if play.logs:
            said = {
                name: {**services[name], "recent_logs": list(play.logs[name])} for name in play.logs
            }
            services = {**services, **said}
        bad = play.measured
        # Harm to the usual number of customers: a tick of full outage is a tenth of the budget.
        spent = bad / play.usual / _BUDGET if play.usual else 0.0
        told = {
            "services": services,
            "active_alerts": alerts,
            "dependency_graph": play.graph,
            "slo_budget_remaining_pct": round(100 * (1 - spent) if spent < 1 else 0.0, 3),
            "bad_customer_minutes": round(bad * 30 * 0.5, 3),
            "sim_tick": play.actions,
            "sim_time_elapsed_seconds": play.actions * 30,
            "action_history": play.history[-HISTORY:],
            "incident_declared": play.declared,
            "user_impact_active": any(play.burning[-3:]),
            "current_slo_burn_rate": round(play.burning[-1] / _OBJECTIVE, 3),
            "mttm_achieved_tick": play.mttm,
            "episode_score": play.grade.score if play.grade is not None else None,
            "tool_result": play.tool_result,
        }
        if play.timeline is None:
            play.moment.forget()
        else:
            play.timeline.forget(play.moment)
        return told


def _info(
    error: str | None, text: str, found: Grade | None = None, *, valid: bool = False
) -> dict[str, Any]:
    info: dict[str, Any] = {
        "error": error,
        "action_valid": valid,
        "action_feedback": text,
        "episode_score": None if found is None else found.score,
    }
    if found is not None:
        info["score_parts"] = found.parts()
    return info


def _pass_tick(play: Play) -> None:
    if play.timeline is None:
        play.moment.pass_tick()
    else:
        play.moment = play.timeline.onward(play.moment)
    world = play.world
    play.harm.append(world.harm * world.customers)
    share = let_down(world)
    play.burning.append(share)
    play.measured += share * world.customers


def _do(play: Play, action: Action, target: str | None, parameters: Mapping[str, Any]) -> Outcome:
    """Let an action and its tick happen: remediations before the tick, looks after it."""
    if action.sort == "remediation":
        known = {name: value for name, value in parameters.items() if name in action.parameters}
        outcome = _change(play, action, target, known)
        _pass_tick(play)
    else:
        play.declared = play.declared or action.name == "declare_resolved"
        _pass_tick(play)
        outcome = play.moment.look(action.name, target)
    ignored = [str(name)[:MAX_ECHO] for name in parameters if name not in action.parameters]
    if ignored:
        said = f"{outcome.text} (ignored: {', '.join(sorted(ignored)[:5])})"
        outcome = Outcome(said, outcome.changed, outcome.figures, outcome.lines)
    return outcome


def _change(
    play: Play, action: Action, target: str | None, parameters: Mapping[str, Any]
) -> Outcome:
    world = play.own_world()
    service = world.by_name[target] if target is not None else world.services[0]
    before = world.copy()
    setting = _setting(action, service)
    outcome = action.do(world, service, parameters)
    if outcome.changed is False:
        play.attempts += 1
    elif outcome.changed:
        change = Change(world.tick + 1, action.name, service.name, dict(parameters))
        play.steps.append(Checkpoint(change, before, add_up(play.harm)))
        if action.name in _REVERSIBLE:
            _note_put_back(play, action, service, setting)
    return outcome


def _note_put_back(play: Play, action: Action, service: Service, setting: Any) -> None:
    key = (_REVERSIBLE[action.name], service.name)
    this = len(play.steps) - 1
    was, first = play.before.setdefault(key, (setting, this))
    if _setting(action, service) == was:
        play.put_back[this] = first
        del play.before[key]


def _setting(action: Action, service: Service) -> Any:
    """What a reversible action moves, as it is now."""
    what = _REVERSIBLE.get(action.name)
    if what == "break":
        return tuple(call.breaker for call in service.callers)
    return service.drained if what == "drain" else what in service.rolled


def _understand(
    action: Any, world: World
) -> tuple[str | None, Action | None, str | None, Mapping[str, Any]]:
    """The error if there is one, else the action, its target and its parameters."""
    if not isinstance(action, Mapping):
        return f"action is {echo(action)}; allowed: an object.", None, None, {}
    name = action.get("action_type")
    known = ACTIONS.get(name) if isinstance(name, str) else None
    if known is None:
        return unknown_name_message("action_type", name, ACTIONS), None, None, {}
    given = action.get("parameters")
    # Many clients write a parameter beside the target; silence would look like a repair.
    parameters = {name: action[name] for name in known.parameters if name in action}
    if given and isinstance(given, Mapping):
        parameters |= given
    target = action.get("target_service")
    if not known.needs_target:
        return None, known, None, parameters
    if not isinstance(target, str) or target not in world.by_name:
        return (
            unknown_name_message("target_service", target, sorted(world.by_name)),
            None,
            None,
            {},
        )
    return None, known, target, parameters
