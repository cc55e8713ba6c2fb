"""The picture of a shared link: the map of the hardest named task."""

from __future__ import annotations

from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from docs.generate.charts import MUTED, STYLE
from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.page import scenes
from metric_tracker_rl.page.hero.heat import STEPS
from metric_tracker_rl.page.hero.lines import line_at, lines_of
from metric_tracker_rl.page.hero.seen import Seen

PATH = Path(scenes.__file__).with_name("card.png")
TASK = "hard_mixed_multi"
INCHES = (1200 / 140, 630 / 140)
"""What crawlers ask for, 1200 × 630 pixels, at the resolution in which pictures are saved."""
ABOVE = ("#f4f5f7", "#f4f5f7", "#fde4d2", "#f8bd8d", "#e9823d", "#a93c05")
BELOW = ("#f4f5f7", "#f4f5f7", "#dbe9f8", "#a6caee", "#5d9cda", "#1d5a9e")
INK, ROOT = "#18181b", "#111111"
TITLE = "Metric Tracker RL"
SAID = "Where a funnel went wrong: four roots, framed. All else is an echo of one."


@style.context(STYLE)
def share_card() -> Figure:
    """Every cell of the map in the colour of the page, its roots framed."""
    session = EpisodeSession()
    session.reset(task_id=TASK)
    assert session.view is not None
    episode = session.view.episode
    seen = Seen.everything(episode, session.view.config)
    lines = lines_of(seen.funnel)
    figure = Figure(figsize=INCHES)
    axes = figure.add_axes((0.27, 0.05, 0.70, 0.66))
    columns = episode.config.funnel_spec.columns
    roots = {
        (line_at(lines, columns[row.entity_type, row.entity_name]), episode.day_of[row.date])
        for row in episode.expected_rows
    }
    for at, line in enumerate(lines):
        for day in range(len(episode.dates)):
            size = seen.multiple(day, line.columns[0])
            if size is None:  # impossible counts
                size = max(STEPS) if line.value(seen, day) else 0.0
            level = sum(abs(size) >= step for step in STEPS)
            framed = (at, day) in roots
            inset = 0.02 if framed else 0.07
            axes.add_patch(
                FancyBboxPatch(
                    (day + inset, at + inset),
                    *(1 - 2 * inset, 1 - 2 * inset),
                    boxstyle="round,pad=0,rounding_size=0.12",
                    facecolor=(ABOVE if size > 0 else BELOW)[level],
                    edgecolor=ROOT if framed else "none",
                    linewidth=2.0,
                    zorder=2 if framed else 1,
                )
            )
    axes.set(xlim=(0, len(episode.dates)), ylim=(len(lines), 0), xticks=[])
    axes.set_yticks([at + 0.5 for at in range(len(lines))], [line.label for line in lines])
    axes.tick_params(axis="y", labelcolor=INK, labelsize=7.5)
    axes.spines[:].set_visible(False)
    figure.text(0.035, 0.87, TITLE, size=25, weight="bold", color=INK)
    figure.text(0.035, 0.785, SAID, size=12.5, color=MUTED)
    return figure
