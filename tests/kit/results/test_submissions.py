"""Submissions and the leaderboard: valid and rejected ones."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from metric_tracker_rl.environment import ENVIRONMENT as FUNNEL
from openenv_kit.environment import get_environment
from openenv_kit.recordings.format import read_runs
from openenv_kit.results import submission_folder, submissions
from openenv_kit.results.create_submission import build_submission_card
from openenv_kit.results.leaderboard_site import group_into_boards, write_leaderboard_site
from openenv_kit.results.submissions import (
    CARD_FILENAME,
    RUNS_FILENAME,
    SubmissionError,
    find_submission_problems,
    read_submission,
    replay_and_check_submission,
    write_submission,
)
from openenv_kit.sealed_split import SALT_VARIABLE
from support.command_line import run_cli
from support.paths import ROOT
from support.recorded_runs import record_split

SHIPPED = ROOT / "submissions"
Events = list[dict[str, Any]]
ALIAS_BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
"""A card of some hundred bytes that stands for gigabytes."""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission of a scripted policy, three tasks of the validation split."""
    folder = tmp_path_factory.mktemp("submissions")
    record_split(
        folder / "runs.jsonl", "upstream_first", range(2, 5), player_name="scripted:upstream_first"
    )
    done = run_cli("submit", folder / "runs.jsonl", "--out", folder / "mine", "--by", "us")
    assert done.exit_code == 0, done.output
    assert "3 runs of scripted:upstream_first on validation, tasks 2 to 4, 1 of each" in done.output
    return folder / "mine"


def events_of(folder: Path) -> Events:
    return [json.loads(line) for line in gzip.open(folder / RUNS_FILENAME, "rt")]


def other(packed: Path, folder: Path, events: Events, **card: Any) -> list[str]:
    """What is wrong with a submission that was changed."""
    folder.mkdir()
    fields = yaml.safe_load((packed / CARD_FILENAME).read_text())
    (folder / CARD_FILENAME).write_text(yaml.safe_dump({**fields, **card}))
    text = "".join(f"{json.dumps(each)}\n" for each in events)
    (folder / RUNS_FILENAME).write_bytes(gzip.compress(text.encode()))
    return list(find_submission_problems(read_submission(folder), min_tasks=1))


def an_action(events: Events) -> None:
    steps = [each for each in events if each["event"] == "step"]
    steps[4]["action"] = {"analysis_method": "list_dates"}


def a_score(events: Events) -> None:
    events[-1]["score"] = 0.97


def what_was_read(events: Events) -> None:
    events[-1]["grounded"] = 0.25


def nothing_about_what_was_read(events: Events) -> None:
    del events[-1]["grounded"]


def a_reward(events: Events) -> None:
    next(each for each in events if each["event"] == "step")["reward"] = 0.5


def a_status(events: Events) -> None:
    next(each for each in events if each["event"] == "step")["status"] = "error"


def an_early_end(events: Events) -> None:
    next(each for each in events if each["event"] == "step")["done"] = True


def a_step_after_the_end(events: Events) -> None:
    last = next(each for each in events if each["event"] == "step" and each["done"])
    events.insert(events.index(last), last)


def no_index(events: Events) -> None:
    del events[0]["reset"]["index"]


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


def copies(events: Events, count: int) -> Events:
    """Repeat runs with other times, as if each had been played `count` times."""
    return [
        {**event, "elapsed_s": 0.25 + number} if event["event"] == "step" else event
        for number in range(count)
        for event in events
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (an_action, "Run 2, validation-3: .*step 2 "),
        (a_score, "Run 3, validation-4: .*score is 0.97"),
        (what_was_read, "Run 3, validation-4: .*grounded is 0.25; .*1.0"),
        (nothing_about_what_was_read, "Run 3, validation-4: .*grounded is None"),
        (a_reward, "Run 1, validation-2: .*step 1 "),
        (a_status, "Run 1, validation-2: .*step 1 "),
        (an_early_end, "Run 1, validation-2: .*step 1 "),
        (a_step_after_the_end, "Run 1, validation-2: .*step 4 "),
        (no_index, "Run 1, validation-0: .*{'split': 'validation'}"),
        (a_task_twice, "Runs of validation-3: 2; the card says 1."),
        (another_reset, "Run 1, validation-2: .*{'max_submissions': 3}"),
        (another_player, "Run 1, validation-2: .*'scripted:reference'"),
        (no_end, "Run 3, validation-4: .*no end"),
        (older_versions, "Run 1, validation-2: .*{'generator': '1'"),
    ],
)
def test_tampered_run_is_rejected_with_run_and_task(
    packed: Path, tmp_path: Path, change: Callable[[Events], None], expected: str
) -> None:
    events = events_of(packed)
    change(events)
    problems = other(packed, tmp_path / "changed", events)
    assert any(re.match(expected, each) for each in problems), problems
    # A play that comes twice, or of another task, is also counted.
    count = 4 if change is a_task_twice else 3 if change is no_index else 1
    assert len(problems) == count, problems


def test_problems_of_a_play_copied_with_other_times_names_the_copies(
    packed: Path, tmp_path: Path
) -> None:
    problems = other(packed, tmp_path / "copied", copies(events_of(packed), 8), tries=8)
    assert re.match("Run 4, validation-2: .*run 1", problems[0])
    assert len(problems) == 3 * 7


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"player": "scripted:gpt-9"}, "names no policy. Unknown policy 'gpt-9'."),
        ({"player": "scripted:refernce"}, "Did you mean 'reference'? Allowed: "),
        ({"player": "Scripted:upstream_first"}, "begin with 'scripted'"),
        ({"player": " [scripted] reference"}, "without spaces at the ends"),
        ({"player": "[scripted] reference"}, "begin with 'scripted'"),
        ({"player": "\u0455cripted:reference"}, "allowed: printable ASCII characters"),
        ({"player": "some\u200bmodel"}, "allowed: printable ASCII characters"),
        ({"player": "scripted:median_filter"}, "step 1 is not what the policy"),
    ],
)
def test_problems_of_a_name_like_a_scripted_policys_refuses_other_players(
    packed: Path, tmp_path: Path, card: dict[str, Any], expected: str
) -> None:
    events = [{**each, **card} if each["event"] == "start" else each for each in events_of(packed)]
    if "ASCII" in expected or "spaces" in expected:
        with pytest.raises(SubmissionError, match=re.escape(expected)):
            other(packed, tmp_path / "other", events, **card)
        return
    problems = other(packed, tmp_path / "other", events, **card)
    assert expected in problems[0]


def test_problems_of_a_scripted_run_that_stops_early_names_it(packed: Path, tmp_path: Path) -> None:
    events = [each for each in events_of(packed) if not (each["event"] == "step" and each["done"])]
    for event in events:
        if event["event"] == "end":
            event.update(score=0.0, grounded=None)
    problems = other(packed, tmp_path / "short", events)
    assert len(problems) == 3
    assert all("'scripted:upstream_first'" in problem for problem in problems)


def test_problems_of_a_player_with_another_name_accepts_the_same_runs(
    packed: Path, tmp_path: Path
) -> None:
    events = events_of(packed)
    for event in events:
        if event["event"] == "start":
            event["player"] = "some-model"
    assert other(packed, tmp_path / "model", events, player="some-model") == []


def test_problems_of_too_few_tasks_names_the_limit(packed: Path) -> None:
    submission = read_submission(packed)
    (problem,) = find_submission_problems(submission)
    assert "3 tasks" in problem
    assert "20" in problem
    assert list(find_submission_problems(submission, min_tasks=3)) == []


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"tries": 2}, "Runs of validation-2: 1; the card says 2."),
        ({"count": 4}, "Runs of validation-5: 0; the card says 1."),
        ({"count": 2}, "validation-4 is not among the card's tasks."),
        ({"count": 99_999}, "The card names tasks 2 to 100000 "),
        ({"split": "valdation"}, "Unknown split 'valdation'. Did you mean"),
        ({"environment": "firewach"}, "Unknown environment 'firewach'. Did you mean 'firewatch'?"),
        ({"versions": {"generator": "1"}}, "The card's versions are {'generator': '1'}; ins"),
        (
            {"commitment": "ab"},
            "The card's commitment to validation is ab; ",
        ),
    ],
)
def test_card_that_differs_from_its_runs_is_rejected(
    packed: Path, tmp_path: Path, card: dict[str, Any], expected: str
) -> None:
    problems = other(packed, tmp_path / "other", events_of(packed), **card)
    assert problems[0].startswith(expected)


def test_folder_without_a_submission_is_rejected(packed: Path, tmp_path: Path) -> None:
    player = "player: a\nenvironment: b\nsplit: c\ncount: 1\nversions: {}\nreset: {}\n"
    for text, expected in (
        ("player: [", "is not YAML"),
        ("player: someone", "environment: Field required"),
        ("- 1", "the card: Input should be"),
        (ALIAS_BOMB, r"aliases \(\*name\) are not allowed"),
        ("reset: " + "[" * 20_000, "is nested too deeply"),
        ("count: " + "9" * 5000, "is not YAML"),
        ("by: 2025-99-99", "is not YAML"),
        ("#" * (submission_folder.MAX_CARD_BYTES + 1), "larger than 64 KiB"),
        (player.replace("reset: {}", "reset: {seed: 5}"), "reset: .*seed would select"),
    ):
        (tmp_path / CARD_FILENAME).write_text(text)
        (tmp_path / RUNS_FILENAME).write_bytes(b"")
        with pytest.raises(ValueError, match=expected):
            read_submission(tmp_path)
    (tmp_path / CARD_FILENAME).write_text((packed / CARD_FILENAME).read_text())
    (tmp_path / RUNS_FILENAME).write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"runs\.jsonl\.gz"):
        read_submission(tmp_path)
    (tmp_path / RUNS_FILENAME).unlink()
    with pytest.raises(ValueError, match=r"has no runs\.jsonl\.gz"):
        read_submission(tmp_path)


def test_a_sealed_split_is_checked_against_its_commitment(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SALT_VARIABLE, "a salt of at least thirty-two characters")
    sealed = {"split": "sealed", "first": 0, "count": 1}
    made = FUNNEL.splits.compute_sealed_commitment()
    nothing = "Runs of sealed-0: 0; the card says 1."
    assert other(packed, tmp_path / "right", [], **sealed, commitment=made) == [nothing]
    (problem, _) = other(packed, tmp_path / "wrong", [], **sealed, commitment="ab")
    assert problem.startswith("The card's commitment to sealed is ab; ")
    assert made in problem
    monkeypatch.delenv(SALT_VARIABLE)
    (problem, _) = other(packed, tmp_path / "none", [], **sealed, commitment=made)
    assert problem.startswith(f"sealed cannot be replayed: {SALT_VARIABLE} is None")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"elapsed_s": 0.0', '"elapsed_s": -1', "elapsed_s: "),
        ('"elapsed_s": 0.0', '"elapsed_s": "1"', "elapsed_s: "),
        ('"elapsed_s": 0.0', '"elapsed_s": NaN', "elapsed_s: "),
        ('"done": true', '"done": 1', "done: "),
        ('"score": ', '"score": [], "x": ', "score: "),
        ('"player": ', '"player": 5, "x": ', "player: "),
        ('"reset": ', '"reset": 5, "x": ', "reset: "),
        ('"reset": ', f'"reset": {"[" * 100_000}, "x": ', "nested too deeply"),
        ('"n": 1', f'"n": {"9" * 5000}', "not JSON"),
    ],
)
def test_read_submission_with_a_value_of_the_wrong_kind_names_line_and_field(
    packed: Path, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    (tmp_path / CARD_FILENAME).write_bytes((packed / CARD_FILENAME).read_bytes())
    text = "".join(f"{json.dumps(each)}\n" for each in events_of(packed))
    assert old in text
    (tmp_path / RUNS_FILENAME).write_bytes(gzip.compress(text.replace(old, new, 1).encode()))
    with pytest.raises(SubmissionError, match=rf"line \d: .*{expected}"):
        read_submission(tmp_path)


def test_read_submission_of_runs_that_expand_beyond_the_limit_is_refused(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CARD_FILENAME).write_bytes((packed / CARD_FILENAME).read_bytes())
    (tmp_path / RUNS_FILENAME).write_bytes(gzip.compress(bytes((1 << 20) + 1)))
    monkeypatch.setattr(submission_folder, "MAX_RUNS_BYTES", 1 << 20)
    with pytest.raises(SubmissionError, match="more than 1 MiB"):
        read_submission(tmp_path)


def test_check_submission_with_an_unforeseen_failure_reports_it_as_a_problem(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(submissions, "iter_replayed_steps", fails)
    checked = replay_and_check_submission(packed, min_tasks=1)
    assert checked.problems == ["The submission cannot be checked: RuntimeError."]


def test_leaderboard_lists_valid_folders_beside_malformed_ones(
    packed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "all"
    card, name = (packed / CARD_FILENAME).read_text(), "a model [/red]"
    runs = (packed / RUNS_FILENAME).read_bytes()
    text = gzip.decompress(runs).decode().replace("scripted:upstream_first", name)
    write_submission(
        folder / "[bold]", read_submission(packed).card.model_copy(update={"player": name}), text
    )
    for name, text, content in (
        ("alias-bomb", ALIAS_BOMB, runs),
        ("[italic]", card, b"no gzip"),
        ("deep", card, gzip.compress(b"[" * 100_000)),
        ("truncated", card, runs[:-20]),
        ("corrupt", card, runs[:40] + bytes(40) + runs[80:]),
        ("binary", "\x00\x01", runs),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / CARD_FILENAME).write_text(text)
        (folder / name / RUNS_FILENAME).write_bytes(content)
    (folder / "no-card").mkdir()
    (folder / "no-card" / RUNS_FILENAME).write_bytes(runs)
    done = run_cli("leaderboard", folder, "--min-tasks", "3")
    assert done.exit_code == 1
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "1 valid submissions, 7 invalid." in done.output
    assert "[italic] is invalid:" in done.output
    assert "a model [/red]" in done.output
    assert "self-reported" in done.output


def test_leaderboard_gives_self_reported_rows_no_pass_rate_of_several_plays(
    packed: Path, tmp_path: Path
) -> None:
    submission = read_submission(packed)
    plays = submission.runs * 8
    (board,) = group_into_boards([replace(submission, runs=plays)])
    assert [k for k, rate in board.entries[0].summary.pass_rates if rate is not None] == [1]
    assert board.pass_k_values == [1]
    site = write_leaderboard_site([board], tmp_path)
    assert '<span class="label">self-reported</span>' in site.read_text()
    assert '<span class="label">attested</span></td>' not in site.read_text()


@pytest.mark.slow
def test_leaderboard_command_lists_valid_and_names_invalid_submissions(
    packed: Path, tmp_path: Path
) -> None:
    folder = packed.parent
    site = tmp_path / "site"
    assert "has 3 tasks" in run_cli("leaderboard", folder).output
    done = run_cli("leaderboard", folder, "--site", site, "--min-tasks", "3")
    assert done.exit_code == 0, done.output
    assert "1 valid submissions, 0 invalid." in done.output
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
    done = run_cli("leaderboard", folder, "--min-tasks", "3")
    assert done.exit_code == 1
    assert "tampered is invalid:" in done.output
    assert "Run 3, validation-4: its score is 0.97" in done.output
    assert "1 valid submissions, 1 invalid." in done.output
    assert run_cli("leaderboard", tmp_path).exit_code == 2


def test_submission_of_mixed_runs_is_rejected(packed: Path, tmp_path: Path) -> None:
    runs = read_submission(packed).runs
    fields: dict[str, Any] = {"by": "", "notes": "", "commitment": ""}
    assert build_submission_card(runs, FUNNEL, **fields).count == 3
    with pytest.raises(ValueError, match="Task validation-3 has 0 runs"):
        build_submission_card([runs[0], runs[2]], FUNNEL, **fields)
    record_split(tmp_path / "other.jsonl", "null", [5])
    (other_run,) = read_runs(tmp_path / "other.jsonl")
    with pytest.raises(ValueError, match="'scripted:upstream_first' and 'null'"):
        build_submission_card([*runs, other_run], FUNNEL, **fields)
    with pytest.raises(ValueError, match="already contains a submission"):
        write_submission(packed, read_submission(packed).card, "")


@pytest.mark.slow
def test_the_shipped_entries_are_scripted_and_of_these_versions() -> None:
    found = [read_submission(path.parent) for path in sorted(SHIPPED.glob(f"*/{CARD_FILENAME}"))]
    assert found
    for each in found:
        card = each.card
        assert card.is_scripted, "models' submissions are checked by hand"
        now = dict(get_environment(card.environment).versions)
        assert card.versions == now, f"run submissions/remake {each.name}"
        # Playing all of them again takes half a minute; one run of each tells a change of replies.
        one = card.model_copy(update={"count": 1})
        cut = type(each)(each.name, one, each.runs[: card.tries])
        assert list(find_submission_problems(cut, min_tasks=1)) == []
