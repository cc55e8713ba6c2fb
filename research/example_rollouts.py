"""Records the example rollouts in the package, which the debugger shows without any set-up.

```
python -m research.example_rollouts
```

For each environment, the reference policy and a scripted player that makes typical mistakes of
language models play the same tasks. Run this again when a version of an environment changes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from openenv_kit.environment import get_environment
from openenv_kit.recordings.rollout_catalogue import packaged_recordings_folder
from openenv_kit.recordings.rollout_recorder import record_policy_rollout
from openenv_kit.trainers.tool_episode import ToolEpisode

FAILING_PLAYER = "example model (scripted)"


class ScriptedCall(NamedTuple):
    """A tool call of the scripted player, with the text that it writes."""

    text: str
    tool: str
    arguments: Mapping[str, Any] = {}


class ExamplePlay(NamedTuple):
    """Play of the scripted player: a task, and the calls until the player stops or reports."""

    environment: str
    task_id: str
    calls: Sequence[ScriptedCall]
    last_text: str = ""


CONSEQUENCE_ROW = {
    "date": "2022-06-02",
    "entity_type": "event_count",
    "entity_name": "orders_placed",
    "anomaly_type": "absolute_spike_in_event_count",
    "detection_method": "compare_count_to_median",
    "baseline_value": 2949.5,
    "observed_value": 4160.0,
    "delta_value": 1210.5,
    "severity": "high",
}
WRONG_SEVERITY_ROW = {
    "date": "2024-11-24",
    "entity_type": "event_count",
    "entity_name": "app_opens",
    "anomaly_type": "absolute_spike_in_event_count",
    "detection_method": "compare_count_to_median",
    "baseline_value": 28491.5,
    "observed_value": 35440.0,
    "delta_value": 6948.5,
    "severity": "critical",
}
PLAYS = (
    ExamplePlay(
        "metric_tracker_rl",
        "easy_single_spike",
        (
            ScriptedCall(
                "I need an overview of the data first.",
                "task_overview",
            ),
            ScriptedCall(
                "<think>Orders are what the business cares about, so I should look at the day with "
                "the most unusual orders.</think>I look for the days that stand out.",
                "list_suspicious_dates",
                {"limit": 3},
            ),
            ScriptedCall(
                "2 June ranks first. Let me read its rows.",
                "rows_for_date",
                {"date": "06/02/2022"},
            ),
            ScriptedCall(
                "The date has to be in ISO format.",
                "rows_for_date",
                {"date": "2022-06-02"},
            ),
            ScriptedCall(
                "Orders placed are far above their median, so I compare that count.",
                "compare_count_to_median",
                {"date": "2022-06-02", "entity_name": "orders_placed"},
            ),
            ScriptedCall(
                "Orders went up by 41 % on 2 June. I report this spike.",
                "submit_solution",
                {"rows": [CONSEQUENCE_ROW]},
            ),
        ),
    ),
    ExamplePlay(
        "metric_tracker_rl",
        "medium_mixed_pair",
        (
            ScriptedCall("I start with the hourly data.", "show_raw_data", {"limit": 20}),
            ScriptedCall(
                "I look at the first of May.", "hourly_rows_for_date", {"date": "2023-05-01"}
            ),
            ScriptedCall("Which rates moved?", "compare_rates", {"date": "2023-05-01"}),
            ScriptedCall(
                "That tool does not exist. I compare one rate.",
                "compare_rate_to_median",
                {"date": "2023-05-01", "entity_name": "menu_rate"},
            ),
            ScriptedCall(
                "Another name for it, perhaps.",
                "compare_rate_to_median",
                {"date": "2023-05-01", "entity_name": "menu_open_rate"},
            ),
            ScriptedCall("I check the next day too.", "rows_for_date", {"date": "2023-05-32"}),
        ),
        "The data of these days looks normal to me. I found no anomaly.",
    ),
    ExamplePlay(
        "metric_tracker_rl",
        "hard_mixed_multi",
        (
            ScriptedCall("", "get_metric_median"),
            ScriptedCall("I rank the days.", "list_suspicious_dates", {"limit": 4}),
            ScriptedCall("24 November first.", "rows_for_date", {"date": "2024-11-24"}),
            ScriptedCall(
                "App opens rose to 35,440 from 28,491.5. Nothing else on this day differs much.",
                "submit_solution",
                {"rows": [WRONG_SEVERITY_ROW]},
            ),
        ),
    ),
    ExamplePlay(
        "drilldown",
        "drill_easy_ordering_app",
        (
            ScriptedCall(
                "I compare the platforms by week.",
                "slice",
                {"group_by": ["platform"], "every": "week"},
            ),
            ScriptedCall(
                "Now the regions.",
                "slice",
                {"group_by": ["region"], "every": "week"},
            ),
            ScriptedCall(
                "The attribute is called country.",
                "slice",
                {"group_by": ["country"], "every": "week"},
            ),
            ScriptedCall("Was something released that week?", "change_log"),
            ScriptedCall(
                "<think>France rose in late January, and it is probably the whole country for the "
                "whole week of the question.</think>App opens in France went up from 22 January.",
                "submit_report",
                {
                    "rows": [
                        {
                            "kind": "mix_shift",
                            "stage": "app_opens",
                            "direction": "up",
                            "segment": {"country": "France"},
                            "date_from": "2024-01-22",
                            "date_to": "2024-01-28",
                            "change": "chg-22",
                        }
                    ]
                },
            ),
        ),
    ),
    ExamplePlay(
        "firewatch",
        "task_easy_oom_baseline",
        (
            ScriptedCall(
                "web-gateway paged first, so I restart it.",
                "restart_service",
                {"target_service": "web-gateway"},
            ),
            ScriptedCall(
                "Now the logs of the service that is down.",
                "fetch_logs",
                {"target_service": "search"},
            ),
            ScriptedCall(
                "Its name is search-api.",
                "fetch_logs",
                {"target_service": "search-api"},
            ),
            ScriptedCall(
                "It ran out of memory, so a restart frees memory.",
                "restart_service",
                {"target_service": "search-api"},
            ),
            ScriptedCall("Customers are well again. I declare it resolved.", "declare_resolved"),
        ),
    ),
)


def main() -> None:
    """Record all example rollouts, and replace the files in the package."""
    for name in dict.fromkeys(play.environment for play in PLAYS):
        environment = get_environment(name)
        folder = packaged_recordings_folder(environment)
        folder.mkdir(exist_ok=True)
        plays = [play for play in PLAYS if play.environment == name]
        with tempfile.TemporaryDirectory() as temporary:
            for play in plays:
                record_example_play(play, Path(temporary))
            _move_recordings(Path(temporary), folder / "example-model.jsonl")
        with tempfile.TemporaryDirectory() as temporary:
            for play in plays:
                record_policy_rollout(
                    environment,
                    environment.policies["reference"],
                    {"task_id": play.task_id},
                    temporary,
                )
            _move_recordings(Path(temporary), folder / "reference.jsonl")


def record_example_play(play: ExamplePlay, folder: Path) -> None:
    """Record a play of the scripted player in a folder."""
    episode = ToolEpisode(environment=play.environment, record=folder, player_name=FAILING_PLAYER)
    episode.reset({"task_id": play.task_id})
    for call in play.calls:
        episode.call_tool(call.tool, dict(call.arguments), call.text)
    if play.last_text:
        episode.record_text_without_call(play.last_text)
    episode.close()


def _move_recordings(folder: Path, target: Path) -> None:
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jsonl")))
    target.write_text("".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
