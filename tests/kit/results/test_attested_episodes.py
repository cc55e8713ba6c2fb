"""Submissions with a record that the server of a sealed split signed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from openenv_kit.environment import get_environment
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.results.leaderboard_site import (
    group_into_boards,
    list_rollouts_with_zero_for_missing_attested,
)
from openenv_kit.results.submission_folder import ATTESTATION_FILENAME, Submission
from openenv_kit.results.submissions import CheckedSubmission, replay_and_check_submission
from openenv_kit.rollouts.run_policy import iter_policy_steps
from openenv_kit.sealed_split import SALT_VARIABLE
from openenv_kit.trust.attestation import (
    SIGNING_KEY_VARIABLE,
    Attestation,
    AttestedEpisode,
    build_signed_attestation_token,
    compute_actions_digest,
    format_public_key,
    read_signing_key,
)
from support.command_line import run_cli

FIREWATCH = get_environment("firewatch")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PLAYER = "a-model"


@dataclass
class SealedPlays:
    """What a server would know of a player's sealed episodes, and the player's recordings.

    Two tasks may be started four times each. The reference plays the first one four times, and the
    second one once. Then a policy that does nothing plays it, a third play is not finished, and a
    fourth is never started.
    """

    recording: Path
    record: Attestation

    def token(self, key: Ed25519PrivateKey = KEY, **changes: Any) -> str:
        """Sign the record, with other values of some fields."""
        return build_signed_attestation_token(Attestation(**{**dict(self.record), **changes}), key)


def play(path: Path, policy: str, number: int, index: int) -> AttestedEpisode:
    """Play and record a policy, and return what the server records of the play."""
    session, reset = FIREWATCH.create_session(), {"split": "sealed", "index": index}
    opening = session.reset(**reset)
    actions = []
    with path.open("a", encoding="utf-8") as stream:
        recorder = RunRecorder(stream, PLAYER, reset, observation_from_reply(opening), FIREWATCH)
        for action, reply in iter_policy_steps(session, FIREWATCH.policies[policy], opening):
            recorder.record_step(action, observation_from_reply(reply))
            actions.append(action)
        score = reply.reward or 0.0
        recorder.record_end(score, observation_from_reply(reply))
    return AttestedEpisode(
        number=number,
        index=index,
        is_finished=True,
        score=score,
        steps=len(actions),
        actions_digest=compute_actions_digest(actions),
    )


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedPlays]:
    path = tmp_path_factory.mktemp("sealed") / "runs.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SALT_VARIABLE, "a salt of at least thirty-two characters")
        plays = [play(path, "reference", number, 0) for number in range(1, 5)]
        plays.append(play(path, "reference", 5, 1))
        plays.append(play(path, "declare_at_once", 6, 1))
        unfinished = AttestedEpisode(
            number=7, index=1, is_finished=False, score=0.0, steps=0, actions_digest="0" * 64
        )
        record = Attestation(
            player="team-7",
            environment="firewatch",
            split="sealed",
            versions=dict(FIREWATCH.versions),
            commitment=FIREWATCH.splits.compute_sealed_commitment(),
            task_count=2,
            plays_per_task=4,
            issued_at_s=1_700_000_000,
            plays=[*plays, unfinished],
        )
        yield SealedPlays(path, record)


def pack(sealed: SealedPlays, folder: Path, token: str = "") -> Path:
    """Make a submission with `submit`, and put another token into it if one is given."""
    folder.mkdir(exist_ok=True)
    (folder / "record.txt").write_text(sealed.token())
    done = run_cli(
        *("submit", sealed.recording, "--out", folder / "all" / "mine"),
        *("--environment", "firewatch", "--attestation", folder / "record.txt"),
        *("--public-key", format_public_key(KEY.public_key())),
    )
    assert done.exit_code == 0, done.output
    assert "tasks 0 to 1, 4 of each" in done.output
    if token:
        (folder / "all" / "mine" / ATTESTATION_FILENAME).write_text(token)
    return folder / "all" / "mine"


def check(folder: Path) -> CheckedSubmission:
    return replay_and_check_submission(folder, KEY.public_key(), min_tasks=1)


def submission_of(checked: CheckedSubmission) -> Submission:
    assert checked.problems == []
    assert checked.submission is not None
    return checked.submission


def test_check_submission_of_a_complete_record_attests_it_with_zeros_for_what_is_missing(
    sealed: SealedPlays, tmp_path: Path
) -> None:
    submission = submission_of(check(pack(sealed, tmp_path)))
    (board,) = group_into_boards([submission])
    ((_, summary),) = board.entries
    assert submission.evidence_label == "attested"
    assert [each.score for each in list_rollouts_with_zero_for_missing_attested(submission)] == [
        1.0
    ] * 5 + [0.0] * 3
    assert summary.mean == fmean([1.0, 0.25])
    assert dict(summary.pass_rates)[4] == 0.5  # the same actions four times, which the server saw
    assert board.pass_k_values == [1, 4]


def without_last_run(sealed: SealedPlays, folder: Path) -> SealedPlays:
    """The same plays, with a recording that lacks the last one."""
    lines = sealed.recording.read_text().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if '"event":"start"' in line)
    shorter = folder / "shorter.jsonl"
    shorter.write_text("".join(lines[:last]))
    return replace(sealed, recording=shorter)


def test_check_submission_without_a_finished_play_names_it(
    sealed: SealedPlays, tmp_path: Path
) -> None:
    (problem,) = check(pack(without_last_run(sealed, tmp_path), tmp_path)).problems
    assert problem.startswith("Play 6 of 'team-7', sealed-1 with score 0.0,")


def test_check_submission_of_a_record_from_before_bad_plays_scores_them_zero(
    sealed: SealedPlays, tmp_path: Path
) -> None:
    early = sealed.token(plays=sealed.record.plays[:5])
    submission = submission_of(check(pack(without_last_run(sealed, tmp_path), tmp_path, early)))
    assert [each.score for each in list_rollouts_with_zero_for_missing_attested(submission)] == [
        1.0
    ] * 5 + [0.0] * 3
    (problem,) = check(pack(sealed, tmp_path / "complete", early)).problems
    assert problem.startswith("Run 6, sealed-1: ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"task_count": 3}, "The card's count is 2; "),
        ({"plays_per_task": 5}, "The card's tries is 4; "),
        ({"commitment": "ab"}, "The card's commitment is '"),
        ({"versions": {"tasks": "0"}}, "The card's versions is {"),
        ({"environment": "drilldown"}, "The card's environment is 'firewatch'; "),
    ],
)
def test_check_submission_with_a_record_of_something_else_names_the_difference(
    sealed: SealedPlays, tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    problems = check(pack(sealed, tmp_path, sealed.token(**change))).problems
    assert problems[0].startswith(expected)


@pytest.mark.parametrize(
    "change", [{"score": 0.5}, {"steps": 99}, {"actions_digest": "1" * 64}, {"reset": {"a": 1}}]
)
def test_check_submission_with_a_play_that_differs_from_the_record_names_both(
    sealed: SealedPlays, tmp_path: Path, change: dict[str, Any]
) -> None:
    first, *others = sealed.record.plays
    token = sealed.token(plays=[first.model_copy(update=change), *others])
    problems = check(pack(sealed, tmp_path, token)).problems
    assert [each.partition(",")[0] for each in problems] == ["Play 1 of 'team-7'", "Run 4"]


def test_check_submission_with_a_record_that_was_not_verified_is_refused(
    sealed: SealedPlays, tmp_path: Path
) -> None:
    folder = pack(sealed, tmp_path)
    (problem,) = replay_and_check_submission(folder, None, min_tasks=1).problems
    assert "cannot be checked: set OPENENV_KIT_ATTESTATION_PUBLIC_KEY" in problem
    own_key = Ed25519PrivateKey.generate()
    (folder / ATTESTATION_FILENAME).write_text(sealed.token(own_key))
    (problem,) = check(folder).problems
    assert "was not signed with the key" in problem
    (folder / ATTESTATION_FILENAME).write_text("no token")
    (problem,) = check(folder).problems
    assert "is not a token" in problem


def test_check_submission_without_its_record_is_self_reported_and_must_be_complete(
    sealed: SealedPlays, tmp_path: Path
) -> None:
    folder = pack(sealed, tmp_path)
    (folder / ATTESTATION_FILENAME).unlink()
    checked = check(folder)
    assert checked.submission is not None
    assert checked.submission.evidence_label == "self-reported"
    assert "Runs of sealed-1: 2; the card says 4." in checked.problems


def test_leaderboard_labels_attested_rows_on_the_page_and_in_the_table(
    sealed: SealedPlays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a signing secret of more than thirty-two characters"
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, secret)
    pack(sealed, tmp_path, sealed.token(read_signing_key()))
    printed = run_cli("attestation-key")
    assert printed.exit_code == 0
    done = run_cli(
        *("leaderboard", tmp_path / "all", "--min-tasks", "1", "--site", tmp_path / "site"),
        *("--public-key", printed.output.strip()),
    )
    assert done.exit_code == 0, done.output
    assert re.search(r"│ attested +│", done.output)
    page = (tmp_path / "site" / "index.html").read_text()
    assert '<span class="label">attested</span><br><small>player team-7 of the server' in page
    assert secret not in done.output + page
    assert run_cli("submit", sealed.recording, "--out", tmp_path / "x").exit_code == 2
