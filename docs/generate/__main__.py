"""`uv run python -m docs.generate`: writes the generated files that are committed.

They are tools and sizes of splits in the funnel's manifests. Everything else is made by
`mkdocs build`; see `hook`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from metric_tracker_rl import available_analysis_methods
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.environment import ENVIRONMENT

ROOT = Path(__file__).parents[2]


def fill_manifests() -> None:
    """Write the tools and the numbers of tasks that the framework's checks compare."""
    manifest, discovery = ROOT / "openenv.yaml", ROOT / "discovery.json"
    listed = "".join(f"      - {name}\n" for name in ENVIRONMENT.tools.for_episode({}).tool_names)
    named = re.sub(r"(?<=declared_tools:\n)( {6}- .*\n)+", listed, manifest.read_text())
    for split in ("train", "validation", "test"):
        counted = rf"\g<1>{SPLITS.size(split)}"
        named = re.sub(rf"( {{6}}{split}: )\d+", counted, named)
    manifest.write_text(named)
    found = json.loads(discovery.read_text())
    found["agent_tools"]["names"] = [method.name for method in available_analysis_methods()]
    discovery.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    fill_manifests()
