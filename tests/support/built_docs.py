"""Builds the documentation once for all tests."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from docs.generate.hook import SMALL_GALLERY_VARIABLE
from support.paths import ROOT


def build_site(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site in strict mode."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", site],
        cwd=config.parent,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", SMALL_GALLERY_VARIABLE: "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def built_once(folder: Path) -> tuple[Path, str]:
    """Return the site's folder, which all workers of a run share, and the build's output."""
    site, said = folder / "docs", folder / "docs.log"
    with (folder / "docs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            done = build_site(ROOT / "mkdocs.yml", site)
            assert done.returncode == 0, done.stderr
            said.write_text(done.stderr)
    return site, said.read_text()
