"""`openenv push` and the framework's catalogue, run offline on a copy of the checkout."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub.utils import filter_repo_objects
from openenv.cli.commands import push as push_module
from openenv.discovery import build_catalog, search_catalog
from typer.testing import CliRunner

from support.paths import ROOT

ENVIRONMENT = "envs/metric_tracker_rl"
pytestmark = pytest.mark.slow  # each copies the checkout
Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    """Bytes of every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Paths of the tracked files."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout, so nothing says which files are tracked")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def copy_into(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture
def tree(tracked: list[str], tmp_path: Path) -> Path:
    """A copy of the tracked files."""
    return copy_into(tmp_path / "tree", tracked)


class FakeHub:
    """Stands in for the hub: keeps what would be uploaded, filtered as the hub's client does it."""

    def __init__(self) -> None:
        self.uploaded: Files = {}
        self.spaces: list[dict[str, Any]] = []

    def create_repo(self, **settings: Any) -> None:
        self.spaces.append(settings)

    def upload_folder(self, folder_path: str, ignore_patterns: list[str], **settings: Any) -> None:
        staged = files_of(Path(folder_path))
        kept = filter_repo_objects(staged, ignore_patterns=ignore_patterns)
        self.uploaded = {name: staged[name] for name in kept}


@pytest.fixture
def push(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeHub]:
    """Runs `openenv push` on a folder, offline, and gives what the hub was sent."""

    def run(folder: Path, *options: str) -> FakeHub:
        hub = FakeHub()
        monkeypatch.setattr(push_module, "HfApi", lambda: hub)
        monkeypatch.setattr(push_module, "whoami", lambda: {"name": "somebody"})
        done = CliRunner().invoke(push_module.app, [str(folder), *options])
        assert done.exit_code == 0, done.output
        return hub

    return run


def test_a_push_uploads_the_tracked_files_unchanged(
    tree: Path, tracked: list[str], push: Callable[..., FakeHub]
) -> None:
    hub = push(tree, "--exclude", ".spaceignore")
    # The push leaves out every dot file; none of them is needed to build the image.
    expected = {name for name in tracked if not re.search(r"(^|/)\.", name)}
    assert set(hub.uploaded) == expected
    changed = {name for name in expected if hub.uploaded[name] != (tree / name).read_bytes()}
    assert changed == set()
    assert [space["repo_id"] for space in hub.spaces] == ["somebody/metric_tracker_rl"]
    assert hub.spaces[0]["space_sdk"] == "docker"


@pytest.mark.slow
def test_a_push_leaves_the_tree_as_it_was(tree: Path, push: Callable[..., FakeHub]) -> None:
    before = files_of(tree)
    push(tree, "--exclude", ".spaceignore")
    assert files_of(tree) == before


def leftovers() -> list[str]:
    """A file for each thing that a working copy is known to hold besides the tracked files."""
    found = []
    for line in (ROOT / ".gitignore").read_text().splitlines():
        pattern = line.strip().removeprefix("/")
        if pattern and not pattern.startswith("#"):
            name = pattern.replace("[cod]", "c").replace("*", "leftover")
            found.append(f"{name}file" if name.endswith("/") else name)
    return found


def test_a_push_uploads_no_leftovers(tree: Path, push: Callable[..., FakeHub]) -> None:
    added = leftovers()
    assert {"resultsleftover.json", ".env.inference"} <= set(added)
    for name in [*added, "metric_tracker_rl/__pycache__/play.cpython-311.pyc", "server/run.log"]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("left over")
    hub = push(tree, "--exclude", ".spaceignore")
    assert {name for name, text in hub.uploaded.items() if text == b"left over"} == set()


def test_without_the_exclude_file_leftovers_would_be_uploaded(
    tree: Path, push: Callable[..., FakeHub]
) -> None:
    (tree / "results.json").write_text("left over")
    assert "results.json" in push(tree).uploaded


def test_the_frontmatter_is_what_a_space_needs() -> None:
    _, front, _ = (ROOT / "README.md").read_text().split("---\n", 2)
    settings = yaml.safe_load(front)
    assert {
        "title": "Metric Tracker RL",
        "sdk": "docker",
        "app_port": 8000,
        "base_path": "/web",
        "pinned": False,
    }.items() <= settings.items()
    assert {"emoji", "colorFrom", "colorTo"} <= set(settings)
    tags = {"openenv", "reinforcement-learning", "analytics", "anomaly-detection"}
    assert tags <= set(settings["tags"])


def test_a_readme_without_frontmatter_would_be_changed_by_the_push(
    tree: Path, push: Callable[..., FakeHub]
) -> None:
    (tree / "README.md").write_text("# Metric Tracker RL\n")
    hub = push(tree, "--exclude", ".spaceignore")
    assert hub.uploaded["README.md"] != b"# Metric Tracker RL\n"


def commit(folder: Path) -> None:
    """Make a folder a git repository with one commit."""
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    for words in (["init", "-q"], ["add", "-A", "-f"], ["commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def catalogue(folder: Path) -> Any:
    commit(folder)
    return build_catalog(
        folder, repository_uri="https://github.com/somebody/envs.git", publisher="example.org"
    )


@pytest.mark.slow
def test_framework_catalogue_accepts_the_environment(tracked: list[str], tmp_path: Path) -> None:
    from metric_tracker_rl import available_analysis_methods

    copy_into(tmp_path / ENVIRONMENT, tracked)
    snapshot = catalogue(tmp_path)
    assert (snapshot.complete, snapshot.issues) == (True, [])
    (entry,) = snapshot.entries
    assert entry.data.license == "BSD-3-Clause"
    assert entry.data.framework_requirement.startswith("openenv")
    assert sorted(entry.capabilities) == sorted(m.name for m in available_analysis_methods())
    (match,) = search_catalog(snapshot, "find the root cause of a conversion drop")
    assert match.entry.identifier == entry.identifier


@pytest.mark.slow
def test_framework_catalogue_rejects_simulation_controls_as_tools(
    tracked: list[str], tmp_path: Path
) -> None:
    folder = copy_into(tmp_path / ENVIRONMENT, tracked)
    declared = json.loads((folder / "discovery.json").read_text())
    declared["agent_tools"]["names"].append("reset")
    (folder / "discovery.json").write_text(json.dumps(declared))
    snapshot = catalogue(tmp_path)
    assert not snapshot.complete
    assert snapshot.entries == []
