"""The benchmark report's plots, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metric_tracker_rl.audit import BASELINE_POLICIES
from metric_tracker_rl.engine.definitions.levels import LEVELS

ResultLine = dict[str, Any]
INK, MUTED = "#1f2937", "#9ca3af"
COLOURS = ("#0f766e", "#2563eb", "#b45309", "#be123c", "#7c3aed", "#0891b2", "#4d7c0f")
DPI = 140


def draw_plots(lines: Sequence[ResultLine], folder: Path) -> None:
    """Write the three plots of audit lines to a folder."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    for name, draw in (
        ("levels", _plot_levels),
        ("exploits", _plot_exploits),
        ("cost", _plot_cost),
    ):
        figure = draw(plt, lines)
        figure.savefig(folder / f"benchmark-{name}.png", dpi=DPI, metadata={"Software": ""})
        plt.close(figure)


class _LevelsAndExploits(NamedTuple):
    levels: list[str]
    exploits: list[str]


def _levels_and_exploits(lines: Sequence[ResultLine]) -> _LevelsAndExploits:
    """Return the levels and the exploits that occur, in order."""
    levels = [name for name in LEVELS if any(line["difficulty"] == name for line in lines)]
    exploits = list(
        dict.fromkeys(line["policy"] for line in lines if line["policy"] not in BASELINE_POLICIES)
    )
    return _LevelsAndExploits(levels, exploits)


def _plot_levels(plt: Any, lines: Sequence[ResultLine]) -> Any:
    """Plot the mean scores of the baselines and of the best exploit, by level."""
    levels, exploits = _levels_and_exploits(lines)
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    best = [
        max(
            (line for line in lines if line["difficulty"] == level and line["policy"] in exploits),
            key=_mean_score,
        )
        for level in levels
    ]
    lines_by_player = {"best exploit": best}
    for name in BASELINE_POLICIES:
        lines_by_player[name] = [line for line in lines if line["policy"] == name]
    width = 0.8 / len(lines_by_player)
    for number, (name, player_lines) in enumerate(lines_by_player.items()):
        positions = [level + number * width for level in range(len(player_lines))]
        means = [line["mean"] for line in player_lines]
        error_bars = [
            [max(line["mean"] - line["low"], 0.0) for line in player_lines],
            [max(line["high"] - line["mean"], 0.0) for line in player_lines],
        ]
        colour = (*COLOURS, MUTED)[number]
        axes.bar(positions, means, width, yerr=error_bars, label=name, color=colour)
    axes.set_xticks([level + 0.4 - width / 2 for level in range(len(levels))], levels)
    axes.set_ylabel("mean score")
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.18))
    return figure


def _plot_exploits(plt: Any, lines: Sequence[ResultLine]) -> Any:
    """Plot every exploit's mean on every level, with its ceiling as a tick."""
    levels, exploits = _levels_and_exploits(lines)
    figure, axes = plt.subplots(figsize=(6.4, 0.28 * len(exploits) + 1.2), layout="constrained")
    for number, level in enumerate(levels):
        line_by_policy = {line["policy"]: line for line in lines if line["difficulty"] == level}
        positions = [row + 0.18 * (number - 1.5) for row in range(len(exploits))]
        means = [line_by_policy[name]["mean"] for name in exploits]
        ceilings = [line_by_policy[name]["max_mean"] for name in exploits]
        axes.scatter(means, positions, s=14, color=COLOURS[number % 4], label=level, zorder=3)
        axes.scatter(ceilings, positions, s=40, marker="|", color=COLOURS[number % 4])
    axes.set_yticks(range(len(exploits)), [name.replace("_", " ") for name in exploits])
    axes.invert_yaxis()
    axes.set_xlabel("mean score (dot) and ceiling (bar)")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.07))
    return figure


def _plot_cost(plt: Any, lines: Sequence[ResultLine]) -> Any:
    """Plot mean scores against tool calls, with a point for each policy and level."""
    levels, _ = _levels_and_exploits(lines)
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for number, level in enumerate(levels):
        level_lines = [line for line in lines if line["difficulty"] == level]
        calls = [line["calls"] for line in level_lines]
        means = [line["mean"] for line in level_lines]
        axes.scatter(calls, means, s=16, color=COLOURS[number % 4])
        axes.scatter([], [], s=16, color=COLOURS[number % 4], label=level)
    for line in lines:
        if line["difficulty"] == levels[-1] and line["mean"] > 0.03:
            point = (line["calls"], line["mean"])
            axes.annotate(f" {line['policy'].replace('_', ' ')}", point, fontsize=7, color=INK)
    axes.set_xscale("log")
    axes.set_xlabel("calls per episode")
    axes.set_ylabel("mean score")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.14))
    return figure


def _mean_score(line: ResultLine) -> float:
    return float(line["mean"])
