"""`uv run python -m docs.generate`: writes the generated parts of committed files.

These are the tools and the sizes of splits in the funnel's manifests. Everything else is generated
by `mkdocs build`; see `hook`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from metric_tracker_rl import available_analysis_methods
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.environment import ENVIRONMENT

ROOT = Path(__file__).parents[2]


def update_manifests() -> None:
    """Write the tools and the numbers of tasks, which the framework's checks compare."""
    manifest_file, discovery_file = ROOT / "openenv.yaml", ROOT / "discovery.json"
    tool_lines = "".join(
        f"      - {name}\n" for name in ENVIRONMENT.tools.select_for_episode({}).tool_names
    )
    manifest = re.sub(r"(?<=declared_tools:\n)( {6}- .*\n)+", tool_lines, manifest_file.read_text())
    for split in ("train", "validation", "test"):
        size = rf"\g<1>{SPLITS.size(split)}"
        manifest = re.sub(rf"( {{6}}{split}: )\d+", size, manifest)
    manifest_file.write_text(manifest)
    discovery = json.loads(discovery_file.read_text())
    discovery["agent_tools"]["names"] = [method.name for method in available_analysis_methods()]
    discovery_file.write_text(json.dumps(discovery, indent=2) + "\n")


if __name__ == "__main__":
    update_manifests()
