"""One incident under way: the world, the player's calls tick by tick, and the score at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from firewatch_next.actions.action import ActionError, ActionPlan
from firewatch_next.actions.contract_names import INVESTIGATIONS, REMEDIATIONS
from firewatch_next.actions.observe import observe
from firewatch_next.actions.registry import take_action
from firewatch_next.actions.schemas import ACTION_SCHEMAS, CLOSING_TOOLS
from firewatch_next.contract import (
    ALLOWED_SHARE,
    BUDGET_TICKS,
    HISTORY_LENGTH,
    IMPACT_TICKS,
    build_alert,
    build_clock_fields,
    build_dependency_graph,
    build_services,
)
from firewatch_next.grading.par import measure_reference
from firewatch_next.grading.replay import TimedCall
from firewatch_next.grading.score import (
    PlayedChange,
    PlayedEpisode,
    Reference,
    ScoreParts,
    score_episode,
)
from firewatch_next.messages import format_reset_message, format_situation, format_verdict
from firewatch_next.simulation.service import SECONDS_PER_TICK
from firewatch_next.simulation.world import World
from firewatch_next.tasks.task import DrawnTask, merge_alerts
from firewatch_next.telemetry.alerts import Alert, list_alerts
from firewatch_next.telemetry.limits import LEAN_MAX_CHARACTERS, MAX_CHARACTERS
from firewatch_next.telemetry.logs import fetch_newest_lines
from openenv_kit.errors import ToolArgumentError
from openenv_kit.float_sum import sum_left_to_right
from openenv_kit.tool import ToolCall

CLIENT_LOG_LINES = 8
MAX_FEEDBACK_CHARACTERS = 200
NOTHING_HERE = "Nothing to change here."
# A repeat of such a call, with nothing else done to the same thing in between, changes nothing.
_SETTING_TOOLS = frozenset(ACTION_SCHEMAS) - {"restart_pods", "repair_data", "renew", "move_pods"}


@dataclass
class _Record:
    """What the contract's observation needs beside the world.

    Attributes:
        logs: lines that `fetch_logs` has shown, by service.
        harms: of each tick since the reset, which is the first.
        harmless_tick: first tick without harm after a change, or None.
    """

    logs: dict[str, list[str]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    harms: list[float] = field(default_factory=list)
    bad_customer_minutes: float = 0.0
    harmless_tick: int | None = None
    tool_result: dict[str, Any] | None = None


class Incident:
    """An episode.

    Args:
        task: its task.
        is_lean: replies have at most 600 characters instead of 2,000.

    Attributes:
        changes: the player's changes in order, without repeats.
        declared_tick: tick of `declare_resolved`, or None.
        parts: of the score, once the episode has ended.
        message: what the player reads after the last step.
    """

    def __init__(self, task: DrawnTask, *, is_lean: bool = False) -> None:
        self.task = task
        self.world = task.world.fork()
        self.max_ticks = task.spec.level.ticks
        limit = LEAN_MAX_CHARACTERS if is_lean else MAX_CHARACTERS
        self.view = task.view(self.world, limit)
        self.alerts: list[Alert] = self._read_alerts()
        self.changes: list[PlayedChange] = []
        self.declared_tick: int | None = None
        self.declared_cause: dict[str, str] = {}
        self.is_done = False
        self.parts: ScoreParts | None = None
        self._last_calls: dict[tuple[str, str], ToolCall] = {}
        self._record = _Record(harms=[self.world.harm])
        self.message = format_reset_message(self.view, self.alerts, self.max_ticks)

    # Steps.

    def act(self, name: str, target: str, parameters: Mapping[str, Any]) -> str:
        """Execute a tool or an action of existing clients, let a tick pass, and return the reply.

        Args:
            name: known name of a tool or action.
            target: service, or "".
            parameters: further arguments, not validated.

        Raises:
            ToolArgumentError: an argument is wrong. The tick has passed.
        """
        try:
            reply = self._execute(name, target, parameters)
        except (ToolArgumentError, ActionError) as problem:
            self.wait(name, target, str(problem))
            raise ToolArgumentError(str(problem)) from None
        self._finish_step(name, target, reply)
        return reply

    def wait(self, name: str, target: str, problem: str) -> None:
        """Let a tick pass after a call that could not be executed."""
        self._advance_to_step_end()
        self._record.tool_result = None
        self._finish_step(name, target, problem)

    def _execute(self, name: str, target: str, parameters: Mapping[str, Any]) -> str:
        self._record.tool_result = None
        if name in CLOSING_TOOLS:
            return self._close(name, target, parameters)
        if name in REMEDIATIONS:
            return self._remediate(name, target, parameters)
        if name in ACTION_SCHEMAS:
            given = {**({"service": target} if target else {}), **parameters}
            arguments = ACTION_SCHEMAS[name].validate_arguments(given)
            values = arguments.model_dump(mode="json", exclude_none=True)
            return self._change((ToolCall(name, values),))
        if name in INVESTIGATIONS:
            return self._investigate(name, target)
        given = {**({"service": target} if target else {}), **parameters}
        self._advance_to_step_end()
        return self._observe(ToolCall(name, given))

    def _observe(self, call: ToolCall) -> str:
        reply = observe(self.view, call.name, call.arguments)
        self._record.tool_result = {"tool": call.name, "reply": reply}
        return reply

    def _investigate(self, name: str, target: str) -> str:
        self._advance_to_step_end()
        if name == "fetch_logs":
            self._record.logs[target] = fetch_newest_lines(self.view, target, CLIENT_LOG_LINES)
        return self._observe(INVESTIGATIONS[name](target))

    def _close(self, name: str, target: str, parameters: Mapping[str, Any]) -> str:
        if name == "escalate":
            self._advance_to_step_end()
            return "Escalated. It is recorded and changes nothing."
        self.declared_tick = self.world.tick + 1
        named = {**({"service": target} if target else {}), **parameters}
        self.declared_cause = {
            key: str(named.get(key, ""))[:80] for key in ("service", "change_id")
        }
        self._advance_to_step_end()
        return "Declared resolved. The episode is over."

    def _remediate(self, name: str, target: str, parameters: Mapping[str, Any]) -> str:
        remediation = REMEDIATIONS[name]
        known = {key: value for key, value in parameters.items() if key in remediation.parameters}
        calls = remediation.plan(self.world, self.world.services[target], known)
        reply = self._change(tuple(calls)) if calls else self._change_nothing(name)
        ignored = sorted(str(key)[:40] for key in parameters if key not in remediation.parameters)
        return f"{reply} (ignored: {', '.join(ignored[:5])})" if ignored else reply

    def _change_nothing(self, name: str) -> str:
        self._add_change((ToolCall(name, {}),), had_nothing_to_change=True)
        self._advance_to_step_end()
        return f"{NOTHING_HERE} It counts as a needless change."

    def _change(self, calls: tuple[ToolCall, ...]) -> str:
        """Take actions that belong together, and let the tick pass."""
        new_calls = tuple(call for call in calls if not self._is_repeat(call))
        if not new_calls:
            self._advance_to_step_end()
            return "This is in effect already. A repeat is free."
        trial = self.world.fork() if len(new_calls) > 1 else None
        plans = []
        for call in new_calls:
            if trial is not None:  # nothing may be half done when a later call is wrong
                _take(trial, call)
        for call in new_calls:
            plans.append(_take(self.world, call))
            self._last_calls[_thing_of(call)] = call
        has_edits = any(plan.edits for plan in plans)
        if has_edits or not all(plan.is_repeat for plan in plans):
            self._add_change(new_calls, had_nothing_to_change=not has_edits)
        self._advance_to_step_end()
        replies = list(dict.fromkeys(plan.reply for plan in plans))
        return " ".join(replies[:3])

    def _is_repeat(self, call: ToolCall) -> bool:
        return call.name in _SETTING_TOOLS and self._last_calls.get(_thing_of(call)) == call

    def _add_change(self, calls: tuple[ToolCall, ...], *, had_nothing_to_change: bool) -> None:
        timed = TimedCall(self.world.tick + 1, calls[0], calls[1:])
        self.changes.append(PlayedChange(timed, had_nothing_to_change))

    def _advance_to_step_end(self) -> None:
        world, record = self.world, self._record
        world.advance()
        record.harms.append(world.harm)
        record.bad_customer_minutes += world.harm * world.customers * SECONDS_PER_TICK / 2.0
        if record.harmless_tick is None and self.changes and world.harm == 0.0:
            record.harmless_tick = world.tick
        self.alerts = self._read_alerts()

    def _finish_step(self, name: str, target: str, reply: str) -> None:
        feedback = reply[:MAX_FEEDBACK_CHARACTERS]
        self._record.history.append(
            {"action_type": name, "target_service": target or None, "feedback_string": feedback}
        )
        self.is_done = self.declared_tick is not None or self.world.tick >= self.max_ticks
        if self.is_done:
            self.parts = score_incident(self)
            self.message = f"{reply}\n{format_verdict(self.parts)}"
        else:
            situation = format_situation(self.view, self.alerts, self.max_ticks)
            room = self.view.max_characters - len(situation) - 1
            self.message = f"{reply[:room]}\n{situation}"

    def _read_alerts(self) -> list[Alert]:
        return merge_alerts(self.task, list_alerts(self.view))

    # What a player sees.

    def build_observation(self) -> dict[str, Any]:
        """Return every key of the wire contract's observation."""
        record, world = self._record, self.world
        spent = sum_left_to_right(record.harms[1:]) / BUDGET_TICKS
        return {
            "services": build_services(world, record.logs),
            "active_alerts": [build_alert(alert) for alert in self.alerts],
            "dependency_graph": build_dependency_graph(world),
            "slo_budget_remaining_pct": round(max(0.0, 100.0 * (1.0 - spent)), 3),
            "bad_customer_minutes": round(record.bad_customer_minutes, 3),
            **build_clock_fields(world),
            "action_history": record.history[-HISTORY_LENGTH:],
            "incident_declared": self.declared_tick is not None,
            "user_impact_active": any(record.harms[-IMPACT_TICKS:]),
            "current_slo_burn_rate": round(record.harms[-1] / ALLOWED_SHARE, 3),
            "mttm_achieved_tick": record.harmless_tick,
            "episode_score": None if self.parts is None else self.parts.score,
            "tool_result": record.tool_result,
        }


def _take(world: World, call: ToolCall) -> ActionPlan:
    arguments = dict(call.arguments)
    return take_action(world, call.name, str(arguments.pop("service", "")), arguments)


def _thing_of(call: ToolCall) -> tuple[str, str]:
    """Return what a call sets: the tool, and the service with the key, flag or callee."""
    arguments = call.arguments
    names = ("service", "change_id", "flag", "key", "callee", "kind", "caller", "job", "away_from")
    return call.name, "/".join(str(arguments.get(name, "")) for name in names)


def score_incident(incident: Incident) -> ScoreParts:
    """Return the parts of the score of a finished episode."""
    task = incident.task
    episode = PlayedEpisode(
        task.world, tuple(incident.changes), incident.declared_tick, incident.max_ticks
    )
    return score_episode(episode, _find_reference(_Identity(task)))


class _Identity:
    """A task as a key of a cache: two are equal if they are the same object."""

    def __init__(self, task: DrawnTask) -> None:
        self.task = task

    def __hash__(self) -> int:
        return hash(self.task.spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.task is other.task


@lru_cache(maxsize=64)
def _find_reference(identity: _Identity) -> Reference:
    task = identity.task
    level = task.spec.level
    return measure_reference(task.world, task.faults, level.name, level.ticks)
