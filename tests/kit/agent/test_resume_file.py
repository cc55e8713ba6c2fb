"""Resumed runs, on one machine and on a Ray cluster."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from openenv_kit.recordings.format import read_runs
from support.agent_runs import Play, Ran
from support.fake_model import SCRIPTS, FakeModel, refusal
from support.forked_python import warm_python
from support.paths import ROOT

pytestmark = pytest.mark.slow

PROGRAM = ROOT / "inference.py"
EPISODES = 500 if os.environ.get("METRIC_TRACKER_FULL") else 24
KEPT = Path("played.jsonl")
ASKED = ("--policy", "upstream_first", "--tasks", f"train:0-{EPISODES}")


def kept() -> list[dict[str, Any]]:
    return [json.loads(line) for line in KEPT.read_text().splitlines()]


def rows(ran: Ran) -> list[dict[str, Any]]:
    """The results of each episode, without what the clock and the network had a part in."""
    ignored = ("seconds", "reconnects")
    return [{name: each[name] for name in each if name not in ignored} for each in ran.tasks]


def wait_for_lines(count: int) -> None:
    for _ in range(1200):
        if KEPT.exists() and KEPT.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.05)
    raise TimeoutError(f"{KEPT} never held {count} episodes")


def test_killed_run_resumes_to_the_same_results(play: Play, server_url: str) -> None:
    arguments = (*ASKED, "--concurrency", "4", "--resume", str(KEPT), "--base-url", server_url)
    run = warm_python(str(PROGRAM), *arguments, cwd=Path.cwd())
    wait_for_lines(EPISODES // 4)
    run.send_signal(signal.SIGKILL)
    run.wait(20)
    before = KEPT.read_bytes().count(b"\n")
    assert before < EPISODES
    went_on = play(*arguments)
    labels = [each["episode"]["planned"]["task_id"] for each in kept()]
    assert len(labels) == len(set(labels)) == EPISODES
    assert len(went_on.blocks) == EPISODES - before  # none was played again
    assert rows(went_on) == rows(play(*ASKED, "--concurrency", "4"))
    again = play(*arguments)
    assert again.blocks == []
    assert again.tasks == went_on.tasks  # times included: nothing was measured anew


@pytest.mark.network
@pytest.mark.skipif(not find_spec("ray"), reason="Ray, an extra, is not installed")
def test_killed_run_resumes_on_two_ray_workers(play: Play, server_url: str) -> None:
    from ray.cluster_utils import Cluster

    usual = play(*ASKED, "--record", "usual")
    KEPT.write_text("")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        asked = (*ASKED, "--concurrency", "2", "--resume", str(KEPT), "--record", "runs")
        on_ray = (*asked, "--engine", "ray", "--base-url", server_url)
        address = {**os.environ, "RAY_ADDRESS": cluster.address}
        run = warm_python(str(PROGRAM), *on_ray, env=address, cwd=Path.cwd())
        wait_for_lines(EPISODES // 4)
        run.send_signal(signal.SIGKILL)
        run.wait(20)
        before = KEPT.read_bytes().count(b"\n")
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("RAY_ADDRESS", cluster.address)
            went_on = play(*on_ray)
    finally:
        cluster.shutdown()
    assert 0 < before < EPISODES
    assert len(went_on.blocks) == EPISODES - before
    assert len({each["episode"]["planned"]["task_id"] for each in kept()}) == EPISODES
    assert rows(went_on) == rows(usual)
    assert "2 workers of a Ray cluster" in went_on.results["server"]
    for name in ("train-0.jsonl", f"train-{EPISODES - 1}.jsonl"):
        (mine,), (theirs,) = read_runs(Path("runs") / name), read_runs(Path("usual") / name)
        assert [step.digest for step in mine.steps] == [step.digest for step in theirs.steps]


def test_an_unfinished_last_line_is_dropped_and_named(play: Play) -> None:
    asked = ("--policy", "null", "--tasks", "train:0-3", "--resume", str(KEPT))
    play(*asked)
    whole = KEPT.read_bytes()
    KEPT.write_bytes(whole[:-40])
    ran = play(*asked)
    assert "played.jsonl, line 3: " in ran.err
    assert [block.task for block in ran.blocks] == ["train-2"]
    assert KEPT.read_bytes().count(b"\n") == 3
    # A whole line that only lost its end of line is as good as any.
    KEPT.write_bytes(whole[:-1])
    assert play(*asked).blocks == []
    assert KEPT.read_bytes() == whole


def changed(line: dict[str, Any], **others: Any) -> str:
    return json.dumps({**line, **others})


def test_a_file_of_another_run_is_refused_by_line(play: Play) -> None:
    asked = ("--policy", "null", "--tasks", "train:0-1", "--resume", str(KEPT))
    play(*asked)
    (line,) = kept()
    planned = {"task_id": "train-0", "episode": 0, "reset": {"split": "train", "index": 7}}
    cases = {
        changed(line, player="scripted:other"): "line 1: player is 'scripted:other'",
        changed(line, versions={"grader": "0"}): "line 1: versions is {'grader': '0'}",
        changed(line, terms={"temperature": 1}): "line 1: terms is {'temperature': 1}",
        changed(line, format="other/1"): "line 1: format is 'other/1'",
        changed(line, episode={**line["episode"], "planned": planned}): "train-0 was played with",
        f"{json.dumps(line)}\n{json.dumps(line)}": "line 2: train-0 is already in line 1",
        f"[]\n{json.dumps(line)}": "line 1: '[]' is not an episode",
        f'{{"torn\n{json.dumps(line)}': "line 1: '{\"torn' is not an episode",
    }
    for text, expected in cases.items():
        KEPT.write_text(f"{text}\n")
        ran = play(*asked)
        assert ran.code == 2, text
        assert expected in " ".join(ran.err.split())
        assert KEPT.read_text() == f"{text}\n"


def test_two_runs_do_not_write_one_file(play: Play) -> None:
    with KEPT.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ran = play("--policy", "null", "--resume", str(KEPT))
    assert ran.code == 2
    assert "another run is writing this file" in " ".join(ran.err.split())


def test_resume_repeats_failed_episodes_and_rejects_other_settings(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--tasks", "easy_single_spike,medium_mixed_pair", "--resume", str(KEPT))
    answers = SCRIPTS["good"]

    def fails_first(server: FakeModel, request: Any) -> Any:
        return refusal(400, "no") if len(server.requests) == 1 else answers(server, request)

    monkeypatch.setitem(SCRIPTS, "good", fails_first)
    first = play(*asked, model="good", server=model)
    assert [each["status"] for each in first.tasks] == ["failed", "evaluated"]
    second = play(*asked, model="good", server=model)
    assert [block.task for block in second.blocks] == ["easy_single_spike"]
    assert [each["score"] for each in second.tasks] == [1.0, 1.0]
    monkeypatch.setenv("TEMPERATURE", "0.7")
    ran = play(*asked, model="good", server=model)
    assert ran.code == 2
    assert "terms is" in " ".join(ran.err.split())
