"""Episodes equal the stored golden digests."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from firewatch_env.tasks.book import find
from metric_tracker_rl.engine.certification import golden_digests
from metric_tracker_rl.engine.certification.golden_digests import (
    iter_golden_configurations,
    list_differences,
)
from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES
from research.firewatch.digests import episode_digest
from support.oldest_packages import in_oldest_environment
from support.paths import ROOT, TESTS

RUNG_DIGESTS: dict[str, str] = json.loads((TESTS / "firewatch" / "golden_rungs.json").read_text())


GOLDEN_FILE = ROOT / "tests" / "guarantees" / "golden_digests.json"
GOLDEN: dict[str, Any] = json.loads(GOLDEN_FILE.read_text())
EPISODES = len(GOLDEN["episodes"])


def test_every_golden_episode_has_its_bytes_and_labels() -> None:
    assert list_differences(GOLDEN) == []


def test_the_golden_file_covers_every_family_level_and_count_and_the_corners() -> None:
    configs = [entry["config"] for entry in GOLDEN["episodes"]]
    assert len(configs) >= 40
    assert {(c["scenario_family"], c["difficulty"]) for c in configs} == {
        *((family, level) for family in SCENARIO_FAMILIES for level in LEVELS),
        *(("mixed", rung) for rung in RUNG_LEVELS),
    }
    assert {c["anomaly_count"] for c in configs} >= {0, 1, 3, 5, 7}
    assert max(c["seed"] for c in configs) == 2**64 - 1
    assert sum(bool(c["anomalies"]) for c in configs) == 6
    assert len(configs) == len(list(iter_golden_configurations()))


def test_no_two_golden_episodes_are_the_same() -> None:
    assert len({entry["data"] for entry in GOLDEN["episodes"]}) == len(GOLDEN["episodes"])


@pytest.mark.slow
@pytest.mark.parametrize("part", ["data", "labels"])
def test_changed_digest_is_reported_with_its_configuration(part: str) -> None:
    changed = copy.deepcopy(GOLDEN)
    changed["episodes"][11][part] = "0" * 64
    [difference] = list_differences(changed)
    assert difference.startswith(f"{part} differ: EpisodeConfig(seed=105")


def test_other_generator_version_is_reported() -> None:
    [difference] = list_differences({**GOLDEN, "generator_version": "0", "episodes": []})
    assert "generator_version is '0' in the file" in difference


def test_one_event_more_in_one_hour_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    true_generate = golden_digests.generate_episode

    def one_more(config: Any) -> Any:
        draw = true_generate(config)
        draw.hourly[20, 13, 2] += 1
        return draw

    monkeypatch.setattr(golden_digests, "generate_episode", one_more)
    first = {**GOLDEN, "episodes": GOLDEN["episodes"][:1]}
    assert [difference.split(":")[0] for difference in list_differences(first)] == ["data differ"]


@pytest.mark.slow
def test_the_module_checks_the_file_and_can_write_it(tmp_path: Any) -> None:
    written = tmp_path / "golden.json"
    command = [sys.executable, "-m", golden_digests.__name__, written, "--write"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f"{EPISODES} episodes, 0 differences\n")
    assert json.loads(written.read_text()) == GOLDEN


def test_the_check_fails_on_a_file_that_differs(tmp_path: Any) -> None:
    written = tmp_path / "golden.json"
    changed = copy.deepcopy(GOLDEN)
    changed["episodes"] = changed["episodes"][:1]
    written.write_text(json.dumps(changed))
    assert golden_digests.GOLDEN_DIGESTS.check_file_and_print_differences(written) == 0
    changed["episodes"][0]["data"] = "0" * 64
    written.write_text(json.dumps(changed))
    assert golden_digests.GOLDEN_DIGESTS.check_file_and_print_differences(written) == 1


@pytest.mark.slow
@pytest.mark.network
def test_the_golden_file_holds_on_the_oldest_numpy_allowed() -> None:
    output = in_oldest_environment(
        "-m",
        "metric_tracker_rl.engine.certification.golden_digests",
        str(GOLDEN_FILE),
        packages=("numpy",),
    )
    assert re.fullmatch(rf"numpy 1\.26\.\d+: {EPISODES} episodes, 0 differences\n", output)
    assert not np.__version__.startswith("1.26"), "the locked numpy is another one"


PLAYS = """
import json
from hashlib import sha256
from openenv_kit.reply import observation_from_reply
from metric_tracker_rl.policies import POLICIES
from openenv_kit.recordings.digest import format_canonical_json_without_empty_fields
from metric_tracker_rl.engine.session.episode_session import EpisodeSession

def digest_of(seen):
    return sha256(format_canonical_json_without_empty_fields(seen).encode()).hexdigest()

results = []
for task in ("easy_single_spike", "medium_mixed_pair", "hard_mixed_multi"):
    for name in ("reference", "report_all"):
        session = EpisodeSession()
        seen = observation_from_reply(session.reset(task_id=task))
        moves = POLICIES[name].generate_actions(seen)
        action = next(moves)
        while not seen["done"]:
            results.append(digest_of(seen))
            seen = observation_from_reply(session.step(action))
            if not seen["done"]:
                action = moves.send(seen)
        results.append([digest_of(seen), seen["reward"]])
frame = session.episode.daily
results.append(int(frame.to_numpy().sum()))
print(json.dumps(results))
"""


@pytest.mark.slow
@pytest.mark.network
def test_every_reply_is_the_same_on_the_oldest_packages_the_engine_needs() -> None:
    here = subprocess.run(
        [sys.executable, "-c", PLAYS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    there = in_oldest_environment("-c", PLAYS, packages=("numpy", "pandas", "pydantic"))
    assert json.loads(here) == json.loads(there)
    assert [each[1] for each in json.loads(here) if isinstance(each, list)][::2] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("rung", RUNG_DIGESTS)
def test_incidents_of_rungs_keep_their_bytes(rung: str) -> None:
    assert episode_digest(find({"difficulty": rung, "seed": 1}), "reference") == RUNG_DIGESTS[rung]


def test_the_golden_file_has_every_rung() -> None:
    assert tuple(RUNG_DIGESTS) == RUNG_LEVEL_NAMES
