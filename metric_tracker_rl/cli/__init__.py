"""The `metric-tracker` command. One file per subcommand; heavy imports happen inside them."""

from __future__ import annotations

import typer

from metric_tracker_rl.cli.audit import audit
from metric_tracker_rl.cli.bench import bench
from metric_tracker_rl.cli.bench_serving import bench_serving
from metric_tracker_rl.cli.bench_vector import bench_vector
from metric_tracker_rl.cli.card import card
from metric_tracker_rl.cli.certify import certify
from metric_tracker_rl.cli.collect import collect
from metric_tracker_rl.cli.digests import digests
from metric_tracker_rl.cli.learn import learn
from metric_tracker_rl.cli.replay import replay
from metric_tracker_rl.cli.seal import seal

app = typer.Typer(
    name="metric-tracker",
    help="Certify, benchmark and inspect Metric Tracker RL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(certify)
app.command()(audit)
app.command()(bench)
app.command()(bench_serving)
app.command()(digests)
app.command()(bench_vector)
app.command()(learn)
app.command()(replay)
app.command()(seal)
app.command()(card)
app.command()(collect)


def main() -> None:
    """Entry point of the console script."""
    app()
