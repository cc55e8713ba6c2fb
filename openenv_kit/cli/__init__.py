"""The `metric-tracker` command. One file per subcommand; heavy imports happen inside them."""

from __future__ import annotations

import typer

from openenv_kit.cli.audit import audit
from openenv_kit.cli.bench import bench
from openenv_kit.cli.bench_vector import bench_vector
from openenv_kit.cli.card import card
from openenv_kit.cli.certify import certify
from openenv_kit.cli.check_integrations import check_integrations
from openenv_kit.cli.collect import collect
from openenv_kit.cli.digests import digests
from openenv_kit.cli.learn import learn
from openenv_kit.cli.replay import replay
from openenv_kit.cli.seal import seal

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
app.command()(digests)
app.command()(bench_vector)
app.command()(learn)
app.command()(replay)
app.command()(seal)
app.command()(card)
app.command()(collect)
app.command()(check_integrations)


def main() -> None:
    """Entry point of the console script."""
    app()
