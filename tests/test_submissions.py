"""Submissions and the leaderboard: what holds, and what is refused by name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_compare import FUNNEL, record
from typer.testing import CliRunner, Result

from openenv_kit.cli import app
from openenv_kit.environment import get_environment
from openenv_kit.play.recording import read_runs
from openenv_kit.results.packing import card_of
from openenv_kit.results.submissions import (
    CARD,
    RUNS,
    problems_of,
    read_submission,
    write_submission,
)
from openenv_kit.trust.sealing import SALT_VARIABLE

SHIPPED = Path(__file__).parents[1] / "submissions"
Events = list[dict[str, Any]]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission of a scripted policy, three tasks of the validation split."""
    folder = tmp_path_factory.mktemp("submissions")
    record(folder / "runs.jsonl", "scripted:upstream_first", range(2, 5))
    done = run("submit", folder / "runs.jsonl", "--out", folder / "mine", "--by", "us")
    assert done.exit_code == 0, done.output
    assert "3 runs of scripted:upstream_first on validation, tasks 2 to 4, 1 of each" in done.output
    return folder / "mine"


def events_of(folder: Path) -> Events:
    return [json.loads(line) for line in gzip.open(folder / RUNS, "rt")]


def other(packed: Path, folder: Path, events: Events, **card: Any) -> list[str]:
    """What is wrong with a submission that was changed."""
    folder.mkdir()
    fields = yaml.safe_load((packed / CARD).read_text())
    (folder / CARD).write_text(yaml.safe_dump({**fields, **card}))
    text = "".join(f"{json.dumps(each)}\n" for each in events)
    (folder / RUNS).write_bytes(gzip.compress(text.encode()))
    return list(problems_of(read_submission(folder)))


def an_action(events: Events) -> None:
    steps = [each for each in events if each["event"] == "step"]
    steps[4]["action"] = {"analysis_method": "list_dates"}


def a_score(events: Events) -> None:
    events[-1]["score"] = 0.97


def what_was_read(events: Events) -> None:
    events[-1]["grounded"] = 0.25


def a_reward(events: Events) -> None:
    next(each for each in events if each["event"] == "step")["reward"] = 0.5


def a_task_twice(events: Events) -> None:
    second = [n for n, each in enumerate(events) if each["event"] == "start"][1]
    events[:] = [*events, *events[second:]]


def another_reset(events: Events) -> None:
    events[0]["reset"]["max_submissions"] = 3


def another_player(events: Events) -> None:
    events[0]["player"] = "scripted:reference"


def no_end(events: Events) -> None:
    del events[-1]


def older_versions(events: Events) -> None:
    events[0]["versions"]["generator"] = "1"


def a_copy(events: Events) -> None:
    for each in events:
        if each["event"] == "step":
            each["elapsed_s"] = 0.25
    events += events


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (an_action, "Run 2, validation-3: the reply to step 2 is not the recorded one."),
        (a_score, "Run 3, validation-4: its score is 0.97; played again it is"),
        (what_was_read, "Run 3, validation-4: its grounded is 0.25; played again it is 1.0."),
        (a_reward, "Run 1, validation-2: the reply to step 1 is not the recorded one."),
        (a_task_twice, "Plays of validation-3: 2; the card says 1."),
        (another_reset, "Run 1, validation-2: reset with {'max_submissions': 3}; the card says {}"),
        (another_player, "Run 1, validation-2: played by 'scripted:reference'; the card says"),
        (no_end, "Run 3, validation-4: it has no end."),
        (older_versions, "Run 1, validation-2: played under {'generator': '1'"),
    ],
)
def test_a_record_that_was_tampered_with_is_refused_by_name(
    packed: Path, tmp_path: Path, change: Callable[[Events], None], expected: str
) -> None:
    events = events_of(packed)
    change(events)
    problems = other(packed, tmp_path / "changed", events)
    assert any(each.startswith(expected) for each in problems), problems
    twice = change is a_task_twice
    assert len(problems) == (2 if twice else 1), problems  # validation-4 comes twice as well


def test_a_copied_play_is_no_second_try(packed: Path, tmp_path: Path) -> None:
    events = events_of(packed)
    a_copy(events)
    problems = other(packed, tmp_path / "copied", events, tries=2)
    assert problems[0] == "Run 4, validation-2: a copy of run 1."
    assert len(problems) == 3


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"tries": 2}, "Plays of validation-2: 1; the card says 2."),
        ({"count": 4}, "Plays of validation-5: 0; the card says 1."),
        ({"count": 2}, "validation-4 is not among the card's tasks."),
        ({"count": 99_999}, "The card asks for tasks 2 to 100000 of 2304."),
        ({"split": "valdation"}, "Unknown split 'valdation'. Did you mean 'validation'?"),
        ({"environment": "firewach"}, "Unknown environment 'firewach'. Did you mean 'firewatch'?"),
        ({"versions": {"generator": "1"}}, "The card's versions are {'generator': '1'}; these are"),
        (
            {"commitment": "ab"},
            "The card's commitment to validation is ab; that of this salt is none",
        ),
    ],
)
def test_a_card_that_says_something_else_is_refused(
    packed: Path, tmp_path: Path, card: dict[str, Any], expected: str
) -> None:
    problems = other(packed, tmp_path / "other", events_of(packed), **card)
    assert problems[0].startswith(expected)


def test_a_folder_that_is_no_submission_is_refused_in_words(packed: Path, tmp_path: Path) -> None:
    for text, expected in (
        ("player: [", "is not YAML"),
        ("player: someone", "environment: Field required"),
        ("- 1", "the card: Input should be"),
    ):
        (tmp_path / CARD).write_text(text)
        (tmp_path / RUNS).write_bytes(b"")
        with pytest.raises(ValueError, match=expected):
            read_submission(tmp_path)
    (tmp_path / CARD).write_text((packed / CARD).read_text())
    (tmp_path / RUNS).write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"runs\.jsonl\.gz"):
        read_submission(tmp_path)
    (tmp_path / RUNS).unlink()
    with pytest.raises(ValueError, match=r"has no runs\.jsonl\.gz"):
        read_submission(tmp_path)


def test_a_sealed_split_is_checked_against_its_commitment(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SALT_VARIABLE, "a salt of at least thirty-two characters")
    sealed = {"split": "sealed", "first": 0, "count": 1}
    made = FUNNEL.splits.commitment()
    nothing = "Plays of sealed-0: 0; the card says 1."
    assert other(packed, tmp_path / "right", [], **sealed, commitment=made) == [nothing]
    (problem, _) = other(packed, tmp_path / "wrong", [], **sealed, commitment="ab")
    assert problem == f"The card's commitment to sealed is ab; that of this salt is {made}."
    monkeypatch.delenv(SALT_VARIABLE)
    (problem, _) = other(packed, tmp_path / "none", [], **sealed, commitment=made)
    assert problem.startswith(f"sealed cannot be played again: {SALT_VARIABLE} is None")


@pytest.mark.slow
def test_the_command_lists_what_holds_and_refuses_the_rest(packed: Path, tmp_path: Path) -> None:
    folder = packed.parent
    site = tmp_path / "site"
    done = run("leaderboard", folder, "--site", site)
    assert done.exit_code == 0, done.output
    assert "1 submissions hold, 0 are refused." in done.output
    index = (site / "index.html").read_text()
    assert '<span class="scripted">scripted</span><br><small>by us</small></td>' in index
    assert "pass@1" in index
    assert "± s.e." in index
    assert ("± s.e." in done.output, "pass^8" in done.output) == (True, True)
    assert "pass^4" not in index  # nobody has four tries
    assert 'href="board-1.html"' in index
    assert "validation-3" in (site / "board-1.html").read_text()
    assert 'href="index.html"' in (site / "board-1.html").read_text()
    events = events_of(packed)
    a_score(events)
    assert other(packed, folder / "tampered", events)
    done = run("leaderboard", folder)
    assert done.exit_code == 1
    assert "tampered is refused:" in done.output
    assert "Run 3, validation-4: its score is 0.97" in done.output
    assert "1 submissions hold, 1 are refused." in done.output
    assert run("leaderboard", tmp_path).exit_code == 2


def test_only_runs_of_one_kind_are_packed(packed: Path, tmp_path: Path) -> None:
    runs = read_submission(packed).runs
    fields = {"by": "", "notes": "", "commitment": ""}
    assert card_of(runs, FUNNEL, **fields).count == 3
    with pytest.raises(ValueError, match="Task validation-3 has 0 runs and others have 1"):
        card_of([runs[0], runs[2]], FUNNEL, **fields)
    record(tmp_path / "other.jsonl", "null", [5])
    (other_run,) = read_runs(tmp_path / "other.jsonl")
    with pytest.raises(ValueError, match="not of one player: 'scripted:upstream_first' and 'null'"):
        card_of([*runs, other_run], FUNNEL, **fields)
    with pytest.raises(ValueError, match="holds a submission already"):
        write_submission(packed, read_submission(packed).card, "")


@pytest.mark.slow
def test_the_shipped_entries_are_scripted_and_of_these_versions() -> None:
    found = [read_submission(path.parent) for path in sorted(SHIPPED.glob(f"*/{CARD}"))]
    assert found
    for each in found:
        card = each.card
        assert card.scripted, "models' submissions are checked by hand"
        now = dict(get_environment(card.environment).versions)
        assert card.versions == now, f"run submissions/remake {each.name}"
        # Playing all of them again takes half a minute; one run of each tells a change of replies.
        one = card.model_copy(update={"count": 1})
        cut = type(each)(each.name, one, each.runs[: card.tries])
        assert list(problems_of(cut)) == []
