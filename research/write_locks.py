"""`python -m research.write_locks`: writes every pinned version of the project.

The pinned versions are in the constraints of `pyproject.toml`, the lock files and the image's SBOM.

`uv.lock` names package indexes and is not committed. A fresh clone resolves it again, under
constraints that name one version of every package, development packages and extras included.
Without an option every package keeps its version, and a new dependency gets the newest one that its
range allows. The module imports the standard library only, because the project may not be
installable when it runs.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COOLDOWN = "7 days"
"""Minimum age of a release. Some indexes show a release days after its upload, so a newer one could
not be installed everywhere. A malicious release is usually withdrawn by then."""

# Headers and annotations change with the version of uv and with the dependents of a package.
EXPORT_COMMAND = ("export", "--quiet", "--no-header", "--no-annotate")
EVERY_PACKAGE_OPTIONS = ("--all-extras", "--all-groups", "--no-emit-local")
"""Options of `uv export` that select every package of the lock."""
IMAGE_OPTIONS = ("--no-dev", "--no-emit-project")
"""Options of `uv export` that select what the image installs."""
BUILD_BACKEND_OPTIONS = ("--only-group", "build")
"""Options of `uv export` that select the build backend."""
SOURCE_BUILD_BACKENDS = ("setuptools",)
"""Backends of packages that are published as source only. uv builds such a package to read its
requirements. The only one is func-timeout, a requirement of skyrl-gym."""
LOCK_FILES = {
    "requirements.lock": (*EXPORT_COMMAND, *IMAGE_OPTIONS),
    "requirements-build.lock": (*EXPORT_COMMAND, *BUILD_BACKEND_OPTIONS),
}
SBOM_FILE = "sbom.cdx.json"
SBOM_COMMAND = ("export", "--quiet", "--format", "cyclonedx1.5", *IMAGE_OPTIONS)


def run_uv(*arguments: str, folder: Path) -> str:
    """Return the output of a uv command.

    Raises:
        SystemExit: the command failed; the message has uv's output.
    """
    completed = subprocess.run(
        [os.environ.get("UV", "uv"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode:
        raise SystemExit(
            f"uv {arguments[0]} failed. If a changed range contradicts a pinned version, let that "
            f"package change with --upgrade-package NAME.\n{completed.stderr}"
        )
    return completed.stdout


def list_constraints(exported: str) -> list[str]:
    """Return the constraint for each requirement of an export without hashes.

    A marker is kept only if a package has several versions. Other markers would split the
    resolution into one part for each combination of markers.
    """
    requirements = [line.strip() for line in exported.splitlines() if line.strip()]
    names = [requirement.partition("==")[0] for requirement in requirements]
    return [
        requirement if names.count(name) > 1 else requirement.partition(" ;")[0]
        for name, requirement in zip(names, requirements, strict=True)
    ]


def replace_setting(project: str, setting: str, requirements: list[str]) -> str:
    """Return the text of a `pyproject.toml` with another list for a setting of `tool.uv`.

    Raises:
        SystemExit: the setting does not occur exactly once, as a list with its brackets on
            separate lines.
    """
    lines = "".join(f"    {json.dumps(requirement)},\n" for requirement in requirements)
    replaced, count = re.subn(
        rf"^{re.escape(setting)} = \[\n(?:    .*\n)*\]$",
        lambda _: f"{setting} = [\n{lines}]",
        project,
        flags=re.MULTILINE,
    )
    if count != 1:
        raise SystemExit(
            f"pyproject.toml contains the list '{setting} = [' {count} times; expected: once."
        )
    return replaced


def strip_sbom(exported: str) -> str:
    """Return an SBOM of uv without index addresses and without fields that every export changes."""
    sbom = json.loads(exported)
    del sbom["serialNumber"], sbom["metadata"]["timestamp"]
    for tool in sbom["metadata"]["tools"]:
        del tool["version"]
    for component in sbom["components"]:
        # Addresses of the files. Their hashes are in requirements.lock.
        del component["externalReferences"]
    return json.dumps(sbom, indent=2) + "\n"


def write_locks(
    folder: Path, *, upgrade_all: bool, upgraded: list[str], exclude_newer: str
) -> None:
    """Resolve the project in a folder, and write the constraints and every generated file.

    Args:
        folder: the checkout.
        upgrade_all: whether every package may change its version.
        upgraded: packages that may change their version.
        exclude_newer: a date, or an age such as "7 days". No package gets a release that was
            uploaded later; pinned releases are kept.

    Raises:
        SystemExit: uv failed, or a name is unknown. `pyproject.toml` is then unchanged.
    """
    project_file = folder / "pyproject.toml"
    before = project_file.read_text()
    pinned = tomllib.loads(before)["tool"]["uv"]["constraint-dependencies"]
    names = sorted({constraint.partition("==")[0] for constraint in pinned})
    for name in upgraded:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, 1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise SystemExit(
                f"--upgrade-package is {name!r}; allowed: a package that is pinned in "
                f"pyproject.toml.{hint}"
            )
    kept_names = [] if upgrade_all else [name for name in names if name not in upgraded]
    options = ["--exclude-newer", exclude_newer]
    options += [
        part for name in kept_names for part in ("--exclude-newer-package", f"{name}=false")
    ]
    options += ["--upgrade"] if upgrade_all else []
    options += [part for name in upgraded for part in ("--upgrade-package", name)]
    try:
        kept_constraints = [
            constraint for constraint in pinned if constraint.partition("==")[0] in kept_names
        ]
        project_file.write_text(
            replace_setting(before, "constraint-dependencies", kept_constraints)
        )
        run_uv("lock", *options, folder=folder)
        versions = (*EXPORT_COMMAND, "--frozen", "--no-hashes")
        every_package = list_constraints(run_uv(*versions, *EVERY_PACKAGE_OPTIONS, folder=folder))
        build_backend = list_constraints(run_uv(*versions, *BUILD_BACKEND_OPTIONS, folder=folder))
        build_backend += [
            constraint
            for constraint in every_package
            if constraint.partition("==")[0] in SOURCE_BUILD_BACKENDS
        ]
        after = replace_setting(before, "constraint-dependencies", every_package)
        after = replace_setting(after, "build-constraint-dependencies", sorted(build_backend))
        project_file.write_text(after)
        # Resolve again without a date, as a fresh clone does.
        run_uv("lock", folder=folder)
    except BaseException:
        project_file.write_text(before)
        raise
    for lock_file, export in LOCK_FILES.items():
        (folder / lock_file).write_text(run_uv(*export, "--frozen", folder=folder))
    (folder / SBOM_FILE).write_text(strip_sbom(run_uv(*SBOM_COMMAND, "--frozen", folder=folder)))


def main() -> None:
    """Parse the command line and write the files."""
    parser = argparse.ArgumentParser(
        prog="python -m research.write_locks",
        description="Write the constraints in pyproject.toml, "
        f"{', '.join(LOCK_FILES)} and {SBOM_FILE}.",
    )
    parser.add_argument("--upgrade", action="store_true", help="upgrade every package")
    parser.add_argument(
        "--upgrade-package",
        action="append",
        default=[],
        metavar="NAME",
        help="upgrade this package; may be repeated",
    )
    parser.add_argument(
        "--exclude-newer",
        default=COOLDOWN,
        metavar="DATE",
        help=f"ignore releases uploaded after this date, or within this time (default: {COOLDOWN})",
    )
    options = parser.parse_args()
    write_locks(
        ROOT,
        upgrade_all=options.upgrade,
        upgraded=options.upgrade_package,
        exclude_newer=options.exclude_newer,
    )


if __name__ == "__main__":
    main()
