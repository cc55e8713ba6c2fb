"""Draws the learning curves."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from research.learning.experiment import ARMS, LABEL_BLIND, Run

COLOURS = {"plain": "#2563eb", "curriculum": "#059669", "shuffled": "#dc2626"}
INK = "#1f2937"


def draw_chart(path: Path, runs: Sequence[Run], baselines: Mapping[str, float], title: str) -> None:
    """Write the learning curves: mean over seeds, and a band from the worst to the best seed.

    Args:
        path: PNG file to write.
        runs: finished runs; at least one.
        baselines: mean held-out score of scripted policies, by name.
        title: one line above the chart.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.8), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="updates", ylim=(0, 1.02))
    for arm in (name for name in ARMS if any(run.arm == name for run in runs)):
        columns = list(zip(*(run.curve for run in runs if run.arm == arm), strict=True))
        updates = [points[0].updates for points in columns]
        scores = [[point.score for point in points] for points in columns]
        axes.plot(
            updates, list(map(statistics.fmean, scores)), color=COLOURS[arm], label=ARMS[arm].label
        )
        lowest, highest = list(map(min, scores)), list(map(max, scores))
        axes.fill_between(updates, lowest, highest, color=COLOURS[arm], alpha=0.2, linewidth=0)
    best_blind = max(LABEL_BLIND, key=lambda name: baselines[name])
    last_update = max(point.updates for run in runs for point in run.curve)
    labels = {
        best_blind: best_blind,
        "upstream_first": "upstream_first",
        "reference": "reference policy",
    }
    for name, label in labels.items():
        axes.axhline(baselines[name], color=INK, linestyle="--", linewidth=1)
        point = (last_update, baselines[name])
        axes.annotate(f" {label} {baselines[name]:.3f}", point, va="center", annotation_clip=False)
    axes.set_xlim(0, last_update)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right")
    figure.savefig(path, dpi=100, metadata={"Software": ""})
