"""The benchmark card's plots, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metric_tracker_rl.audit import BASELINE_POLICIES
from metric_tracker_rl.engine.definitions.levels import LEVELS

ResultLine = dict[str, Any]
INK, MUTED = "#1f2937", "#9ca3af"
COLOURS = ("#0f766e", "#2563eb", "#b45309", "#be123c", "#7c3aed", "#0891b2", "#4d7c0f")
DPI = 140


def draw_plots(lines: Sequence[ResultLine], folder: Path) -> None:
    """Write the three plots."""
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


def _levels_and_exploits(lines: Sequence[ResultLine]) -> tuple[list[str], list[str]]:
    """Levels and exploits, in order."""
    levels = [name for name in LEVELS if any(line["difficulty"] == name for line in lines)]
    exploits = list(
        dict.fromkeys(x["policy"] for x in lines if x["policy"] not in BASELINE_POLICIES)
    )
    return levels, exploits


def _plot_levels(plt: Any, lines: Sequence[ResultLine]) -> Any:
    """Mean score by level, of the baselines and of the best exploit."""
    levels, exploits = _levels_and_exploits(lines)
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    best = [
        max(
            (x for x in lines if x["difficulty"] == level and x["policy"] in exploits),
            key=_mean_score,
        )
        for level in levels
    ]
    shown = [("best exploit", best)] + [
        (name, [x for x in lines if x["policy"] == name]) for name in BASELINE_POLICIES
    ]
    width = 0.8 / len(shown)
    for number, (name, found) in enumerate(shown):
        at = [place + number * width for place in range(len(found))]
        spans = [
            [max(x["mean"] - x["low"], 0.0) for x in found],
            [max(x["high"] - x["mean"], 0.0) for x in found],
        ]
        colour = (*COLOURS, MUTED)[number]
        axes.bar(at, [x["mean"] for x in found], width, yerr=spans, label=name, color=colour)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(levels))], levels)
    axes.set_ylabel("mean score")
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.18))
    return figure


def _plot_exploits(plt: Any, lines: Sequence[ResultLine]) -> Any:
    """Every exploit's mean on every level, with its ceiling as a tick."""
    levels, exploits = _levels_and_exploits(lines)
    figure, axes = plt.subplots(figsize=(6.4, 0.28 * len(exploits) + 1.2), layout="constrained")
    for number, level in enumerate(levels):
        found = {x["policy"]: x for x in lines if x["difficulty"] == level}
        at = [place + 0.18 * (number - 1.5) for place in range(len(exploits))]
        means = [found[name]["mean"] for name in exploits]
        limits = [found[name]["max_mean"] for name in exploits]
        axes.scatter(means, at, s=14, color=COLOURS[number % 4], label=level, zorder=3)
        axes.scatter(limits, at, s=40, marker="|", color=COLOURS[number % 4])
    axes.set_yticks(range(len(exploits)), [name.replace("_", " ") for name in exploits])
    axes.invert_yaxis()
    axes.set_xlabel("mean score (dot) and ceiling (bar)")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.07))
    return figure


def _plot_cost(plt: Any, lines: Sequence[ResultLine]) -> Any:
    """Score against calls, one point for each policy and level."""
    levels, _ = _levels_and_exploits(lines)
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for number, level in enumerate(levels):
        found = [x for x in lines if x["difficulty"] == level]
        calls = [x["calls"] for x in found]
        axes.scatter(calls, [x["mean"] for x in found], s=16, color=COLOURS[number % 4])
        axes.scatter([], [], s=16, color=COLOURS[number % 4], label=level)
    for line in lines:
        if line["difficulty"] == levels[-1] and line["mean"] > 0.03:
            place = (line["calls"], line["mean"])
            axes.annotate(f" {line['policy'].replace('_', ' ')}", place, fontsize=7, color=INK)
    axes.set_xscale("log")
    axes.set_xlabel("calls per episode")
    axes.set_ylabel("mean score")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.14))
    return figure


def _mean_score(line: ResultLine) -> float:
    return float(line["mean"])
