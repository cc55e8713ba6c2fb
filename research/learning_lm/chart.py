"""Figure of a run: accuracy by step of GRPO, and on the test tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from research.learning_lm.records import TrainingRecord
from research.learning_lm.results import PlayerResult
from research.learning_lm.settings import PLAYER_LABELS, Player, TaskSet

COLOURS = {
    Player.BASE: "#6b7280",
    Player.PATTERN_TABLE: "#9333ea",
    Player.SFT: "#1f2937",
    Player.GRPO: "#2563eb",
    Player.GRPO_SHUFFLED: "#dc2626",
    Player.SFT_CONTINUED: "#059669",
}
TRAINED_AFTER_SFT = (Player.GRPO, Player.GRPO_SHUFFLED, Player.SFT_CONTINUED)
LINES = (Player.BASE, Player.PATTERN_TABLE)
"""Players that are drawn as horizontal lines."""


def draw_chart(
    path: Path, trainings: Sequence[TrainingRecord], results: Sequence[PlayerResult]
) -> None:
    """Write a PNG with two panels.

    The left panel shows the share of exact reports on validation tasks by CPU time of the training
    after SFT, the right one the shares on the test tasks with their intervals.

    Args:
        path: PNG file to write.
        trainings: training records.
        results: results of the players.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_training(left, {record.player: record for record in trainings})
    _draw_test(right, {r.player: r for r in results if r.task_set is TaskSet.TEST})
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(0, 1.02)
    figure.savefig(path, dpi=100, metadata={"Software": ""})


def _draw_training(axes: Any, records: dict[Player, TrainingRecord]) -> None:
    start = records[Player.SFT].last_validation_exact if Player.SFT in records else None
    for player in TRAINED_AFTER_SFT:
        if player not in records:
            continue
        points = [(0.0, start)] if start is not None else []
        points += [(e["cpu_seconds"] / 60, e["exact"]) for e in records[player].examinations]
        minutes, exact = zip(*points, strict=True)
        axes.plot(minutes, exact, color=COLOURS[player], marker="o", label=PLAYER_LABELS[player])
    axes.set_title("Validation tasks, during training", fontsize=10)
    axes.set_xlabel("CPU minutes after SFT")
    axes.set_ylabel("share of exact reports")
    if axes.lines:
        axes.legend(frameon=False, fontsize=8, loc="lower right")


def _draw_test(axes: Any, results: dict[Player, PlayerResult]) -> None:
    shown = [player for player in Player if player in results and player not in LINES]
    for place, player in enumerate(shown):
        exact = results[player].exact
        if exact is None:
            continue
        errors = [[exact.mean - exact.ci_low], [exact.ci_high - exact.mean]]
        axes.errorbar(place, exact.mean, yerr=errors, fmt="o", capsize=4, color=COLOURS[player])
        axes.annotate(f"{exact.mean:.3f}", (place, exact.mean), (8, 0), textcoords="offset points")
    for player in LINES:
        if player in results and (exact := results[player].exact) is not None:
            label = f"{PLAYER_LABELS[player]} {exact.mean:.3f}"
            axes.axhline(exact.mean, color=COLOURS[player], linestyle="--", linewidth=1)
            axes.annotate(label, (-0.4, exact.mean), (0, 3), textcoords="offset points", fontsize=8)
    axes.set_xticks(range(len(shown)), [player.replace("_", "\n") for player in shown], fontsize=8)
    axes.set_xlim(-0.5, max(len(shown), 1) - 0.2)
    counts = {result.task_count for player, result in results.items() if player in shown}
    title = f"{max(counts)} test tasks, 95 % intervals over tasks" if counts else "Test tasks"
    axes.set_title(title, fontsize=10)
