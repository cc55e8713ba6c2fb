"""`metric-tracker card`: write the benchmark card from measured results, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from metric_tracker_rl.audit import BASELINES
from metric_tracker_rl.commands.card_plots import draw_plots
from metric_tracker_rl.engine.config import MIXED
from metric_tracker_rl.engine.levels import LEVELS
from metric_tracker_rl.engine.splits import num_tasks
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.exploits.base import ZERO_CALL as CEILING_WITHOUT_CALLS
from openenv_kit.cli.common import installed

Line = dict[str, Any]

AFTER_A_LOOK = ("constant_after_a_look", "visible_family_after_a_look", "upstream_first")
"""Players that look and do not read, in the order of the card's cells."""
HEAD = """\
# Benchmark card

Written by `metric-tracker card` from the results of `metric-tracker audit` and \
`metric-tracker certify`; nothing on this page is typed by hand.

Versions: {versions}. Where nothing else is said, figures are of mixed episodes with 2, 3, 4 \
and 5 anomalies in turn, {episodes} per level, whose seeds are hashes. An interval is the 95 % \
interval of the mean.
"""
ZERO_CALL = """\
Play without a single call, on every family, level and split: the best of {policies}; in \
brackets the ceiling. `constant` is the best report found by a search over all row generators, \
metrics and multipliers, one for each level and, where they are shown, each family and count. In \
the splits one task in six has nothing to find, and the empty report scores 1 there.
"""
ONE_LOOK = """\
`payload_generators` reports only on dates that an analysis method has shown before, so one look \
is the least that pays. From then on a report can hold whatever is flagged. Where every anomaly \
is a funnel break, a shift of the traffic mix or an impossible count, what is flagged is what the \
policy asks for, and copying it is right. Compare a player's score with these, not with 0.
"""
REPEATS = """\
Playing one seed twice sells the answer. The player submits everything flagged, then uses one \
part of what the end told: the remarks on each row (`issues`), the number of matched rows \
(`counts`) or the score alone (`score`, all that `feedback: "score"` at reset tells). Measured by \
`metric-tracker audit --out`.
"""
REMEDY = """\
The remedy for trainers is never to repeat an episode with `feedback: "full"`: the train split \
has {train:,} tasks. `feedback: "score"` takes the remarks away and makes repeating dear, not \
impossible. Sealed tasks always use it, and each should be played once.
"""
LIMITS = """\
## Known limits

- The reporting policy is a rule that a program can follow: the reference policy is one, and \
scores 1.0. The benchmark measures whether an agent reads, investigates and applies the rule, \
not whether it knows product analytics.
- The audit's intervals are of the mean over episodes, by the normal approximation, for \
deterministic policies. A model's own randomness shows in pass^k of its recorded runs.
- Whoever can run the public code beside a server can make any episode of a public split again \
from its index. Only the sealed split withstands that, and only while its salt is secret.
- Named and hand-made episodes show their family and number of anomalies, by contract; the \
ceilings are held with both visible. Tasks of splits show neither.
- Message timing is a noisy channel; its exploit is allowed the luck of a random row.
"""


def card(
    audit: Annotated[list[Path], typer.Option(help="Results of `audit --out`.", exists=True)],
    certificates: Annotated[Path, typer.Option(help="Results of `certify --out`.", exists=True)],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("docs/benchmark.md"),
) -> None:
    """Write the benchmark card and its plots."""
    installed("matplotlib", needed_for="the card")
    try:
        measured = [json.loads(file.read_text(encoding="utf-8")) for file in audit]
        lines: list[Line] = [line for each in measured for line in each["lines"]]
        proofs = [json.loads(each) for each in certificates.read_text().splitlines() if each]
        made_with = [
            *(each["versions"] for each in measured),
            *(proof["versions"] for proof in proofs),
        ]
    except (json.JSONDecodeError, KeyError, TypeError) as problem:
        raise typer.BadParameter(f"not results of audit and certify: {problem!r}") from None
    if any(each != ENVIRONMENT.versions for each in made_with):
        raise typer.BadParameter(
            f"results of other versions than {ENVIRONMENT.versions}; measure again"
        )
    assets = out.parent / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    draw_plots([line for line in lines if line["setting"] == MIXED], assets)
    repeats = [line for each in measured for line in each["repeats"]]
    out.write_text(_page(lines, proofs, repeats), encoding="utf-8")
    typer.echo(f"{out} and its plots written from {len(lines)} lines, {len(proofs)} certificates")


def _page(
    every: Sequence[Line], proofs: Sequence[dict[str, Any]], repeats: Sequence[dict[str, Any]]
) -> str:
    lines = [line for line in every if line["setting"] == MIXED]
    free = [name for name, each in EXPLOITS.items() if each.ceiling is CEILING_WITHOUT_CALLS]
    told = ", ".join(f"{name} {version}" for name, version in ENVIRONMENT.versions.items())
    levels = [name for name in LEVELS if any(line["difficulty"] == name for line in lines)]
    exploits = list(dict.fromkeys(x["policy"] for x in lines if x["policy"] not in BASELINES))
    parts = [
        HEAD.format(versions=told, episodes=lines[0]["episodes"]),
        "## Baselines and levels\n\nMean score, with its 95 % interval.\n",
        _scores(lines, BASELINES, levels),
        "\n![Mean score of baselines and of the best label-blind exploit, by level]"
        "(assets/benchmark-levels.png)\n",
        "## Exploits under their ceilings\n\nMean score / share of perfect episodes; in brackets "
        "what is allowed.\n",
        _exploits(lines, exploits, levels),
        "\n![Mean score of every exploit against its ceiling](assets/benchmark-exploits.png)\n",
        "## Without a single call\n",
        ZERO_CALL.format(policies=", ".join(f"`{name}`" for name in (*free, "null"))),
        _best(every, (*free, "null"), levels),
        "\n## After one look\n",
        ONE_LOOK,
        _by_setting(every, AFTER_A_LOOK, levels),
        "\n## One seed twice\n",
        REPEATS,
        _repeats(repeats),
        "\n" + REMEDY.format(train=num_tasks("train")),
        "## Score against cost\n\nMean tool calls and kB of replies per episode.\n",
        _costs(lines, (*BASELINES, *exploits), levels),
        "\n![Score against bytes read](assets/benchmark-cost.png)\n",
        "## Certificates\n",
        _certificates(proofs),
        "",
        LIMITS,
    ]
    return "\n".join(parts)


def _find(lines: Sequence[Line], policy: str, level: str) -> Line:
    return next(x for x in lines if x["policy"] == policy and x["difficulty"] == level)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _scores(lines: Sequence[Line], names: Sequence[str], levels: Sequence[str]) -> str:
    def cell(line: Line) -> str:
        return f"{line['mean']:.3f} ({line['low']:.3f} to {line['high']:.3f})"

    rows = [[name, *(cell(_find(lines, name, level)) for level in levels)] for name in names]
    return _table(["policy", *levels], rows)


def _exploits(lines: Sequence[Line], names: Sequence[str], levels: Sequence[str]) -> str:
    def cell(line: Line) -> str:
        got = f"{line['mean']:.3f} / {line['perfect']:.1%}"
        return f"{got} [{line['max_mean']:.2f} / {line['max_perfect']:.0%}]"

    rows = [[name, *(cell(_find(lines, name, level)) for level in levels)] for name in names]
    return _table(["exploit", *levels], rows)


def _best(lines: Sequence[Line], names: Sequence[str], levels: Sequence[str]) -> str:
    """For each setting and level the highest mean of some policies, and their ceiling."""

    def cell(setting: str, level: str) -> str:
        here = [x for x in lines if (x["setting"], x["difficulty"]) == (setting, level)]
        found = [x for x in here if x["policy"] in names]
        best, most = (max(x[name] for x in found) for name in ("mean", "max_mean"))
        return f"{best:.3f} [{most:.2f}]"

    rows = [[each, *(cell(each, level) for level in levels)] for each in _settings(lines)]
    return _table(["setting", *levels], rows)


def _by_setting(lines: Sequence[Line], names: Sequence[str], levels: Sequence[str]) -> str:
    """Mean scores of some policies in each setting, one after the other in each cell."""
    means = {(x["setting"], x["difficulty"], x["policy"]): x["mean"] for x in lines}

    def cell(setting: str, level: str) -> str:
        return " / ".join(f"{means[setting, level, name]:.3f}" for name in names)

    rows = [[each, *(cell(each, level) for level in levels)] for each in _settings(lines)]
    return f"Mean scores of {', '.join(f'`{name}`' for name in names)}.\n\n" + _table(
        ["setting", *levels], rows
    )


def _settings(lines: Sequence[Line]) -> list[str]:
    """Settings in order."""
    return list(dict.fromkeys(line["setting"] for line in lines))


def _repeats(repeats: Sequence[dict[str, Any]]) -> str:
    head = ["uses", "level", "first play", "second play", "plays to 1.0"]
    rows = [
        [
            f"`{each['uses']}`",
            each["difficulty"],
            f"{each['first']:.3f}",
            f"{each['second']:.3f}",
            f"{each['plays']:.1f}",
        ]
        for each in repeats
    ]
    return _table(head, rows)


def _costs(lines: Sequence[Line], names: Sequence[str], levels: Sequence[str]) -> str:
    def cell(line: Line) -> str:
        return f"{line['calls']:.1f} / {line['reply_bytes'] / 1000:.0f}"

    rows = [[name, *(cell(_find(lines, name, level)) for level in levels)] for name in names]
    return _table(["policy", *levels], rows)


def _certificates(proofs: Sequence[dict[str, Any]]) -> str:
    head = ["level", "episodes", "solved", "unique", "guard", "rows undone", "margin", "draws"]
    rows = []
    for level in LEVELS:
        group = [each for each in proofs if each["config"]["difficulty"] == level]
        if not group:
            continue
        margins = [r["margin"] for each in group for r in each["rows"] if r["margin"] is not None]
        rows.append(
            [
                level,
                f"{len(group):,}",
                f"{sum(each['score'] == 1.0 for each in group) / len(group):.1%}",
                f"{sum(each['unique'] for each in group) / len(group):.1%}",
                str(sum(each["guard_violations"] for each in group)),
                f"{sum(x['counterfactual'] for x in group):,} of "
                f"{sum(len(x['rows']) for x in group):,}",
                f"{min(margins):.3f}",
                f"{sum(each['draws'] for each in group) / len(group):.3f}",
            ]
        )
    return _table(head, rows)
