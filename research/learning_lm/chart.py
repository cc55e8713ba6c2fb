"""The learning curves as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from research.learning_lm.settings import ARMS, GRPO, SUPERVISED, UNTRAINED, Stage

COLOURS = {GRPO: "#2563eb", "shuffled": "#dc2626"}
LABELS = {GRPO: "supervised + GRPO", "shuffled": "supervised + GRPO, reward shuffled"}
INK = "#1f2937"


def draw_chart(path: Path, stages: Sequence[Stage], title: str) -> None:
    """Write the curves of both arms: mean over seeds, and a band from the worst to the best seed.

    Args:
        path: PNG file to write.
        stages: players; at least one of an arm, with a point of its curve.
        title: one line above the chart.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.8), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="gradient steps of GRPO", ylim=(0, 1.02))
    right = max(exam.steps for stage in stages for exam in stage.curve)
    for arm in ARMS:
        curves = [
            {exam.steps: exam.mean for exam in stage.curve}
            for stage in stages
            if stage.player == arm and stage.curve
        ]
        # Seeds end at their deadlines: the mean goes as far as all of them do.
        steps = sorted(set.intersection(*map(set, curves))) if curves else []
        scores = [[curve[step] for curve in curves] for step in steps]
        axes.plot(steps, list(map(fmean, scores)), color=COLOURS[arm], label=LABELS[arm])
        low, high = list(map(min, scores)), list(map(max, scores))
        axes.fill_between(steps, low, high, color=COLOURS[arm], alpha=0.2, linewidth=0)
    for player in (UNTRAINED, SUPERVISED):
        own = [each.sampled.mean for each in stages if each.player == player and each.sampled]
        if own:
            height = fmean(own)
            axes.axhline(height, color=INK, linestyle="--", linewidth=1)
            axes.annotate(f" {player} {height:.3f}", (right, height), va="center")
    axes.set_xlim(0, max(right, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=100, metadata={"Software": ""})
