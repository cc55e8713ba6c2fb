"""The HTML report of a run: one file that loads nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined

from openenv_kit.agent.results import RunResult
from openenv_kit.agent.secrets import Clean
from openenv_kit.agent.stdout import one_line
from openenv_kit.agent.table import MODEL_CALL, Event

MAX_DETAILED = 200
"""Episodes drawn one by one; the table holds them all."""
MAX_NOTE = 300
STYLE = Path(__file__).with_name("report.css")


def write_report(result: RunResult, path: Path, clean: Clean) -> None:
    """Write the report; its folder is created if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(clean(report_html(result)), encoding="utf-8")


def report_html(result: RunResult) -> str:
    """The whole page."""
    templates = Templates(
        loader=PackageLoader("openenv_kit.agent", "."), autoescape=True, undefined=StrictUndefined
    )
    detailed = result.episodes[:MAX_DETAILED]
    return templates.get_template("report.html.jinja").render(
        run=result,
        cards=_cards(result),
        detailed=detailed,
        hidden=len(result.episodes) - len(detailed),
        style=STYLE.read_text(encoding="utf-8"),
        steps=_steps,
    )


def _cards(result: RunResult) -> list[tuple[str, str]]:
    cards = [
        ("average score", f"{result.average:.4f}"),
        ("episodes", f"{len(result.episodes)} of {result.planned}"),
        ("did not run", str(result.failed)),
        ("wall time", f"{result.seconds:.1f} s"),
    ]
    if result.tokens or not result.player.startswith("scripted:"):
        cost = "unknown" if result.cost is None else f"$ {result.cost:.4f}"
        cards += [("tokens", f"{result.tokens:,}"), ("cost", cost)]
    return cards


def _steps(events: Iterable[Event]) -> Iterator[tuple[int | str, Event, str]]:
    """Number (nothing for the model's answers), event and note of each line."""
    step = 0
    for event in events:
        model = event.kind == MODEL_CALL
        step += not model
        yield "" if model else step, event, one_line(event.note, MAX_NOTE)
