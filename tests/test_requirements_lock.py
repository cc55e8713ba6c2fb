"""What the image installs is what the project declares, hash for hash, and no host is named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Both files are made by these commands; after a change of dependencies run them with `-o FILE`.
# No header and no annotations: those change with the version of uv and with who wants a package.
EXPORT = ["export", "--no-header", "--no-annotate", "--quiet"]
LOCKS = {
    "requirements.lock": [*EXPORT, "--no-dev", "--no-emit-project"],
    "requirements-build.lock": [*EXPORT, "--only-group", "build"],
}

REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")

# Put together from pieces, or this file would be the one that names them.
FORBIDDEN = [
    "".join(pieces)
    for pieces in (
        ("py", "pi.org"),
        ("python", "hosted"),
        ("npm", "js.org"),
        ("npm", "js.com"),
        ("deb.", "debian.org"),
        ("security.", "debian.org"),
        ("crates", ".io"),
        ("proxy.", "golang.org"),
        ("/work", "/main"),
        ("/work", "/shared"),
        ("/tmp", "/wt"),
    )
]


def requirements(text: str) -> list[str]:
    """The requirements of a lock file, each with its hashes on one line."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def unpinned(text: str) -> list[str]:
    return [
        line for line in requirements(text) if not (REQUIREMENT.match(line) and HASH.search(line))
    ]


def hosts_named(text: str) -> list[str]:
    lowered = text.lower()
    return [word for word in FORBIDDEN if word in lowered]


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout, so nothing says which files are tracked")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_what_uv_exports_from_the_project(name: str) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        if os.environ.get("CI"):
            pytest.fail(f"uv is needed in CI to tell whether {name} is in step")
        pytest.skip("uv is not installed")
    exported = subprocess.run(
        [uv, *LOCKS[name]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert exported.returncode == 0, exported.stderr
    again = " ".join(["uv", *LOCKS[name], "-o", name])
    assert exported.stdout == (ROOT / name).read_text(), f"{name} is out of step; run: {again}"


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    text = (ROOT / name).read_text()
    assert len(requirements(text)) >= 5
    assert unpinned(text) == []


@pytest.mark.parametrize(
    "line",
    [
        "plotly>=6 --hash=sha256:" + "0" * 64,
        "plotly==6.9.0",
        "plotly==6.9.0 --hash=md5:" + "0" * 32,
        "plotly @ file:///somewhere --hash=sha256:" + "0" * 64,
        "-e .",
    ],
)
def test_a_loose_requirement_would_be_seen(line: str) -> None:
    assert unpinned(line) == [line]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_address_at_all(name: str) -> None:
    assert "://" not in (ROOT / name).read_text()


def test_no_tracked_file_names_a_package_host_or_a_path_of_one_machine() -> None:
    named = {
        str(path.relative_to(ROOT)): found
        for path in tracked_files()
        if path.is_file() and (found := hosts_named(path.read_text(errors="replace")))
    }
    assert named == {}


def test_a_named_host_would_be_seen() -> None:
    assert hosts_named("see https://" + FORBIDDEN[0].upper() + "/project") == [FORBIDDEN[0]]
