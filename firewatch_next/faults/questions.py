"""Questions and proposed repairs that the hypotheses of several fault types share."""

from __future__ import annotations

from collections.abc import Mapping

from firewatch_next.faults.evidence import ParsedReply, Question, Suspect
from firewatch_next.faults.fault_type import Place
from firewatch_next.faults.numbers import first_level, mean
from openenv_kit.tool import ToolCall


def ask_metrics(service: str, metrics: str, group_by: str = "", minutes: int = 60) -> Question:
    """Return a question for 12 points of some metrics of a service."""
    arguments: dict[str, object] = {
        "service": service, "metrics": metrics, "window_minutes": minutes, "points": 12
    }  # fmt: skip
    if group_by:
        arguments["group_by"] = group_by
    return Question(ToolCall("query_metrics", arguments))


def ask_diagnostic(service: str, kind: str) -> Question:
    """Return a question for a diagnostic of a service."""
    return Question(ToolCall("run_diagnostic", {"service": service, "kind": kind}))


def suspect_at(place: Place, service: str = "") -> Suspect:
    """Return a suspect at a place, for the questions of evidence checks."""
    return Suspect(service or place.service, (), (), place.callee, 0.0, ())


def changes_of(suspect: Suspect, service: str) -> list[Mapping[str, str | float]]:
    """Return the suspect's rows of `list_changes` that belong to one service, newest first."""
    return [row for row in suspect.changes if row.get("service", suspect.service) == service]


def undo_deploy_before_onset(suspect: Suspect) -> ToolCall | None:
    """Return the undoing of the youngest safe deploy that began before the onset, or None."""
    for row in changes_of(suspect, suspect.service):
        is_safe_deploy = row.get("kind") == "deploy" and row.get("migration") != "contract"
        if is_safe_deploy and float(row.get("minutes_ago", 0.0)) >= suspect.onset_minutes:
            return undo(suspect.service, str(row["id"]))
    return None


def undo_of_key(suspect: Suspect, service: str, *keys: str) -> ToolCall | None:
    """Return the undoing of the newest listed change of one of these keys, or None.

    A key also matches with a callee after it, such as "pool_size.ledger-db" for "pool_size".
    """
    for row in changes_of(suspect, service):
        key = str(row.get("key", ""))
        if key and (key in keys or key.partition(".")[0] in keys):
            return undo(service, str(row["id"]))
    return None


def undo_at_onset(
    suspect: Suspect, service: str, kinds: tuple[str, ...], slack_minutes: float = 3.0
) -> ToolCall | None:
    """Return the undoing of a safe change that began within the slack before the onset, or None."""
    for row in changes_of(suspect, service):
        minutes = float(row.get("minutes_ago", 1e9)) - suspect.onset_minutes
        is_safe = row.get("migration") != "contract"
        if is_safe and row.get("kind") in kinds and -1.0 <= minutes <= slack_minutes:
            return undo(service, str(row["id"]))
    return None


def undo(service: str, change_id: str) -> ToolCall:
    """Return the call that undoes a change."""
    return ToolCall("undo_change", {"service": service, "change_id": change_id})


def set_config(service: str, key: str, value: str) -> ToolCall:
    """Return the call that sets a configuration key."""
    return ToolCall("set_config", {"service": service, "key": key, "value": value})


def flag_off(service: str, flag: str) -> ToolCall:
    """Return the call that turns a flag off."""
    return ToolCall("set_flag", {"service": service, "flag": flag, "percent": 0})


def growth(reply: ParsedReply, metric: str, **labels: str) -> float:
    """Return the last reading of a metric to its first level, or 1 without readings."""
    series = reply.find_series(metric, **labels)
    before = first_level(series)
    return mean(series[0].values[-2:]) / before if before > 0.0 else 1.0


def setting_value(reply: ParsedReply, key: str) -> float:
    """Return a setting of a diagnostic's reply as a number, or 0 without one."""
    for row in reply.rows:
        if row.get("key") == key:
            return float(row["value"])
    return 0.0
