"""Every installed package is pinned, and no file names a package host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

from research.write_locks import (
    LOCK_FILES,
    SBOM_COMMAND,
    SBOM_FILE,
    SOURCE_BUILD_BACKENDS,
    list_constraints,
    replace_setting,
    strip_sbom,
    write_locks,
)
from support.paths import ROOT

UV_SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
UV = os.environ.get("UV") or shutil.which("uv")
WRITE = "run: uv run --no-project --python 3.11 python -m research.write_locks"

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


def hashes_of(text: str) -> dict[str, set[str]]:
    """Hashes of each requirement with its marker."""
    return {
        line.partition(" --hash")[0].strip(): set(HASH.findall(line)) for line in requirements(text)
    }


def run_uv(*arguments: str, folder: Path = ROOT, **variables: str) -> str:
    """Return what a uv command printed; a test without uv is skipped, or fails in CI."""
    if UV is None:
        if os.environ.get("CI"):
            pytest.fail("uv is needed in CI to tell whether the locks are in step")
        pytest.skip("uv is not installed")
    done = subprocess.run(
        [UV, *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def versions_of(lock: Path) -> dict[str, set[str]]:
    """Versions of each package of a `uv.lock` that comes from an index."""
    versions: dict[str, set[str]] = {}
    for package in tomllib.loads(lock.read_text())["package"]:
        if "registry" in package["source"]:
            versions.setdefault(package["name"], set()).add(package["version"])
    return versions


def pinned_versions(requirements: list[str]) -> dict[str, set[str]]:
    """Versions of each package of a list of exact requirements."""
    versions: dict[str, set[str]] = {}
    for requirement in requirements:
        found = REQUIREMENT.match(requirement)
        assert found is not None, f"{requirement} pins no version"
        versions.setdefault(found["name"], set()).add(found["version"])
    return versions


@pytest.mark.parametrize("name", LOCK_FILES)
def test_lock_file_of_current_project_equals_uv_export(name: str) -> None:
    committed = hashes_of((ROOT / name).read_text())
    exported = hashes_of(run_uv(*LOCK_FILES[name]))
    assert committed.keys() == exported.keys(), f"{name} is out of step; {WRITE}"
    # A wheel may be added to a release at any time, so the index may know more hashes.
    wrong = {each: found for each in committed if (found := committed[each] - exported[each])}
    assert wrong == {}, f"{name} has hashes that the index does not know; {WRITE}"


def test_constraints_pin_every_package_of_uv_lock() -> None:
    run_uv("lock", "--quiet")
    pinned = pinned_versions(UV_SETTINGS["constraint-dependencies"])
    assert versions_of(ROOT / "uv.lock") == pinned, f"the constraints are out of step; {WRITE}"


def test_build_constraints_pin_the_backends_of_the_build_lock_and_of_source_packages() -> None:
    backends = pinned_versions(requirements((ROOT / "requirements-build.lock").read_text()))
    pinned = pinned_versions(UV_SETTINGS["constraint-dependencies"])
    backends |= {name: pinned[name] for name in SOURCE_BUILD_BACKENDS}
    assert pinned_versions(UV_SETTINGS["build-constraint-dependencies"]) == backends


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Fresh clone without a `uv.lock`: the files that uv reads when it resolves the project."""
    folder = tmp_path / "clone"
    (folder / "examples").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("pipe_leak", "connect", "flights"):
        shutil.copytree(ROOT / "examples" / name, folder / "examples" / name)
    return folder


@pytest.fixture
def later_releases(tmp_path: Path) -> str:
    """Folder of wheels that adds a later minor release of every package to the index."""
    folder = tmp_path / "later"
    folder.mkdir()
    for package, versions in pinned_versions(UV_SETTINGS["constraint-dependencies"]).items():
        name = package.replace("-", "_")
        version = f"{max(versions).partition('.')[0]}.9999"
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            info = f"{name}-{version}.dist-info"
            wheel.writestr(
                f"{info}/METADATA",
                f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return str(folder)


@pytest.mark.slow
@pytest.mark.network
def test_clone_of_a_later_day_gets_the_same_versions_and_build_backend(
    clone: Path, later_releases: str, tmp_path: Path
) -> None:
    run_uv("lock", "--quiet", folder=clone, UV_FIND_LINKS=later_releases)
    pinned = pinned_versions(UV_SETTINGS["constraint-dependencies"])
    assert versions_of(clone / "uv.lock") == pinned
    # A later backend is an empty package here, with which the build would fail.
    build = ("build", "--quiet", "--wheel", "--out-dir", str(tmp_path))
    run_uv(*build, folder=clone, UV_FIND_LINKS=later_releases)


@pytest.mark.slow
@pytest.mark.network
def test_write_locks_with_a_new_dependency_pins_it_and_moves_nothing_else(clone: Path) -> None:
    project = clone / "pyproject.toml"
    project.write_text(project.read_text().replace('"rich>=13,<16",', '"rich>=13,<16",\n"toolz",'))
    before = pinned_versions(UV_SETTINGS["constraint-dependencies"])
    write_locks(clone, upgrade_all=False, upgraded=[], exclude_newer="2026-11-16T00:00:00Z")
    written = tomllib.loads(project.read_text())["tool"]["uv"]["constraint-dependencies"]
    after = pinned_versions(written)
    assert after.pop("toolz")
    assert after == before
    assert "\ntoolz==" in (clone / "requirements.lock").read_text()
    assert '"toolz"' in (clone / SBOM_FILE).read_text()


def test_write_locks_with_an_unknown_package_names_the_nearest_and_changes_nothing(
    clone: Path,
) -> None:
    before = (clone / "pyproject.toml").read_text()
    with pytest.raises(SystemExit, match=r"'fastpi'.*Did you mean 'fastapi'"):
        write_locks(clone, upgrade_all=False, upgraded=["fastpi"], exclude_newer="7 days")
    assert (clone / "pyproject.toml").read_text() == before


def test_write_locks_with_a_range_that_contradicts_a_pin_changes_nothing(clone: Path) -> None:
    project = clone / "pyproject.toml"
    project.write_text(project.read_text().replace('"rich>=13,<16"', '"rich>=13,<14"'))
    before = project.read_text()
    with pytest.raises(SystemExit, match="--upgrade-package NAME"):
        write_locks(clone, upgrade_all=False, upgraded=["ruff"], exclude_newer="7 days")
    assert project.read_text() == before


def test_list_constraints_keeps_markers_only_where_a_package_has_several_versions() -> None:
    exported = "colorama==1 ; sys_platform == 'win32'\nnumpy==1 ; a < '2'\nnumpy==2 ; a >= '2'\n"
    assert list_constraints(exported) == [
        "colorama==1",
        "numpy==1 ; a < '2'",
        "numpy==2 ; a >= '2'",
    ]


def test_replace_setting_without_the_list_is_refused() -> None:
    with pytest.raises(SystemExit, match="0 times"):
        replace_setting("constraint-dependencies = []\n", "constraint-dependencies", [])


def test_sbom_of_current_project_equals_uv_export() -> None:
    exported = strip_sbom(run_uv(*SBOM_COMMAND))
    assert (ROOT / SBOM_FILE).read_text() == exported, f"{SBOM_FILE} is out of step; {WRITE}"


def test_sbom_lists_the_components_of_requirements_lock() -> None:
    sbom = json.loads((ROOT / SBOM_FILE).read_text())
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.5")
    listed = [f"{each['name']}=={each['version']}" for each in sbom["components"]]
    assert pinned_versions(listed) == pinned_versions(
        requirements((ROOT / "requirements.lock").read_text())
    )
    assert len(listed) == len(requirements((ROOT / "requirements.lock").read_text()))
    assert {each["purl"] for each in sbom["components"]} == {
        "pkg:pypi/" + each.replace("==", "@") for each in listed
    }


def test_image_has_the_sbom_at_the_documented_path() -> None:
    final_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "WORKDIR /app\n" in final_stage
    assert f"COPY {SBOM_FILE} ./\n" in final_stage
    assert f"/app/{SBOM_FILE}" in (ROOT / "docs" / "serving.md").read_text()


def test_image_installs_each_lock_with_hashes_and_without_resolving() -> None:
    installs = re.findall(r"(--no-compile .*) -r (\S+)", (ROOT / "Dockerfile").read_text())
    assert {lock for _, lock in installs} == set(LOCK_FILES)
    assert all("--no-deps" in options and "--require-hashes" in options for options, _ in installs)


@pytest.mark.parametrize("name", LOCK_FILES)
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


@pytest.mark.parametrize("name", [*LOCK_FILES, SBOM_FILE])
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
