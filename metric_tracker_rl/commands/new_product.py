"""`metric-tracker new-product`: check a product of one's own and certify episodes of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import count, islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from metric_tracker_rl.drilldown.certificate import Certificate, certify_one, grid, summary, table
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.domains import Domain
from metric_tracker_rl.drilldown.generator import attempt_draw
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.products import add_product, load_product, products_of
from openenv_kit.cli.common import Workers, mistakes_told, table_of
from openenv_kit.errors import GenerationError, InvalidValueError, require_name

TEMPLATE = Path(__file__).with_name("product_template.toml")
LOOKED_AT = 20
"""Draws of an episode that cannot be made whose rejections are told."""


def new_product(
    file: Annotated[Path, typer.Argument(help="The product's file, in TOML.")],
    write: Annotated[
        bool, typer.Option("--write", help="Write a commented template to the file, and stop.")
    ] = False,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to certify.")] = 100,
    difficulty: Annotated[list[str] | None, typer.Option(help="Only these levels.")] = None,
    workers: Workers = 0,
) -> None:
    """Check a product that you describe in a file, and certify episodes of it.

    Exit code 0: every episode was made and its certificate holds. 1: one was not. 2: the file
    describes no product; what is wrong with it is told.
    """
    if write:
        with mistakes_told(), file.open("x", encoding="utf-8") as target:
            target.write(TEMPLATE.read_text(encoding="utf-8"))
        typer.echo(f"{file} written; change it, then run: metric-tracker new-product {file}")
        return
    with mistakes_told():
        product = load_product(file)
        add_product(product)
        units = list(islice(units_of(product, difficulty), episodes))
    console = Console(width=110)
    made, failure = _certified(product, units, workers)
    if made:
        console.print(table_of(f"{file}: {product.name}", *table(made), names=2))
    failed = [each for each in made if not each.holds]
    told = f"; {summary(made)}" if made else ""
    console.print(f"{len(made)} of {len(units)} episodes, {len(failed)} failed{told}.")
    for each in failed[:10]:
        console.print(f"failed: {each}")
    if failure:
        console.print(failure)
    raise typer.Exit(1 if failed or failure else 0)


def units_of(product: Domain, difficulty: Sequence[str] | None) -> Iterator[DrillConfig]:
    """Configurations of a product without end: seed by seed, on every level that it has.

    Raises:
        UnknownNameError, InvalidValueError: a level does not exist, or is for another number of
            dimensions.
    """
    levels = [name for name, level in LEVELS.items() if product.name in products_of(level)]
    for name in difficulty or ():
        if require_name("difficulty", name, LEVELS) not in levels:
            allowed = f"{', '.join(levels)} with {len(product.dims)} dimensions"
            raise InvalidValueError("difficulty", name, allowed)
    return grid(count(), difficulties=difficulty or levels, products=[product.name])


def certificate_or_failure(config: DrillConfig) -> Certificate | str:
    """The certificate of an episode, or why the episode cannot be made."""
    try:
        return certify_one(config)
    except GenerationError as problem:
        draws = (attempt_draw(config, attempt) for attempt in range(LOOKED_AT))
        reasons = Counter(
            each if isinstance(each, str) else "the reference does not solve it" for each in draws
        )
        told = ", ".join(f"{reason} ({number})" for reason, number in reasons.most_common())
        return (
            f"{problem} Of the first {LOOKED_AT}: {told}. More volume, or fewer values of a "
            "dimension, leave more people in each segment."
        )


def _certified(
    product: Domain, units: Sequence[DrillConfig], workers: int
) -> tuple[list[Certificate], str]:
    """Certificates, and why the first episode that could not be made could not; that ends it."""
    made: list[Certificate] = []
    cores = workers or os.cpu_count() or 1
    with ProcessPoolExecutor(cores, initializer=add_product, initargs=(product,)) as pool:
        running = [pool.submit(certificate_or_failure, unit) for unit in units]
        status = Console(stderr=True)
        for job in track(as_completed(running), "Certifying", len(running), console=status):
            found = job.result()
            if isinstance(found, str):
                pool.shutdown(wait=False, cancel_futures=True)
                return made, found
            made.append(found)
    return made, ""
