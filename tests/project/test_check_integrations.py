"""The command that checks the integrations with trainers."""

import re
import sys
from collections import Counter

import pytest
from typer.testing import CliRunner

from research.check_integrations import INTEGRATIONS, app
from support.documentation_blocks import blocks_of
from support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.network]


LEFT_TO = re.compile(r"check_integrations (\w+) runs it")


def trainer_names(page):
    """Return the trainer that each block of a page is left to, in order."""
    blocks = blocks_of(page, (ROOT / page).read_text(encoding="utf-8"))
    return [found[1] for block in blocks if (found := LEFT_TO.search(block.words))]


def trainers_of(page):
    """Non-blank lines of the blocks on a page that are left to a trainer's check, by trainer."""
    blocks = blocks_of(page, (ROOT / page).read_text(encoding="utf-8"))
    lines = {}
    for block in blocks:
        if found := LEFT_TO.search(block.words):
            lines[found[1]] = [line for line in block.text.splitlines() if line]
    return lines


def test_the_readme_trains_in_fifteen_lines_and_every_guide_is_run_by_its_check():
    readme, guides = trainers_of("README.md"), trainers_of("docs/training.md")
    assert set(readme) == {"trl"}
    assert len(readme["trl"]) <= 15
    assert set(guides) == set(INTEGRATIONS)
    for trainer, blocks in Counter(trainer_names("docs/training.md")).items():
        check = (ROOT / "tests" / "integrations" / f"check_{trainer}.py").read_text("utf-8")
        assert f'run_blocks("{trainer}", tmp_path) == {blocks}' in check
        assert trainer != "trl" or 'run_blocks("trl", tmp_path, page="README.md") == 1' in check


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("skyrll=python3", "Did you mean 'skyrl'"),
        ("skyrl", "a Python 3.11 or newer, as skyrl=PATH"),
        ("skyrl=/nowhere/python3", "'skyrl=/nowhere/python3'"),
        ("skyrl=/bin/false", "'skyrl=/bin/false'"),
    ],
)
def test_a_python_that_cannot_be_used_is_refused(monkeypatch, option, said):
    checks_are_not_run(monkeypatch)
    result = CliRunner().invoke(app, ["--python", option])
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", "").split())


def test_a_python_older_than_a_trainer_takes_is_refused(monkeypatch, tmp_path):
    checks_are_not_run(monkeypatch)
    older = python_of_version(tmp_path, 3, 13, 13)
    result = CliRunner().invoke(app, ["--python", f"nemo_gym={older}"])
    assert result.exit_code == 2
    assert "3.13.14 or newer" in " ".join(result.output.replace("│", "").split())


def test_a_trainers_environment_is_made_anew_with_the_python_that_was_chosen(tmp_path):
    module = sys.modules["research.check_integrations"]
    chosen = python_of_version(tmp_path, 3, 13, 14)
    assert module._parse_python_option(f"nemo_gym={chosen}") == ("nemo_gym", chosen)
    for python, wanted in ((chosen, str(chosen)), (None, ">=3.13.14,<3.15")):
        made, *_ = module._setup_commands(INTEGRATIONS["nemo_gym"], tmp_path / "n", ROOT, python)
        assert made[made.index("--python") + 1] == wanted
        assert "--clear" in made


def checks_are_not_run(monkeypatch):
    """So that a wrong option that passes installs nothing."""
    module = sys.modules["research.check_integrations"]
    monkeypatch.setattr(module, "_check_integration", lambda *_: ("not run", ""))


def python_of_version(folder, *version):
    """A program that says of itself what a Python of that version would."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\necho {' '.join(map(str, version))}\n")
    program.chmod(0o755)
    return program


def test_every_integration_has_a_check():
    checks = {path.stem.removeprefix("check_") for path in ROOT.glob("tests/integrations/check_*")}
    large_runs = {"trl_large_runs"}  # a second file, which the check of trl runs too
    assert checks - large_runs == set(INTEGRATIONS)
    assert large_runs <= checks


def test_an_unknown_integration_is_refused_with_the_nearest():
    result = CliRunner().invoke(app, ["trll"])
    assert result.exit_code == 2
    assert "Did you mean 'trl'" in " ".join(result.output.split())


def test_a_trainers_own_environment_is_made_and_its_check_passes_there(tmp_path):
    arguments = ["skyrl", "--environments", str(tmp_path)]
    result = CliRunner().invoke(app, [*arguments, "--checkout", str(ROOT)])
    assert result.exit_code == 0, result.output
    assert "passed" in result.output


def test_a_trainer_without_its_python_is_skipped_unless_asked_for_by_name(monkeypatch, tmp_path):
    # By its name in sys.modules: the package's attribute of that name is the command.
    module = sys.modules["research.check_integrations"]
    monkeypatch.setattr(module, "_is_python_available", lambda _: False)
    monkeypatch.setattr(module, "INTEGRATIONS", {"nemo_gym": INTEGRATIONS["nemo_gym"]})
    place = ["--environments", str(tmp_path)]
    everything = CliRunner().invoke(app, [*place])
    assert (everything.exit_code, "skipped" in everything.output) == (0, True)
    by_name = CliRunner().invoke(app, ["nemo_gym", *place])
    assert (by_name.exit_code, "skipped" in by_name.output) == (1, True)
    assert list(tmp_path.iterdir()) == []
