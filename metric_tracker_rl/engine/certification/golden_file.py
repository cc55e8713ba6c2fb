"""Golden digests: the promise that an episode keeps its bytes, in a form to check.

The module needs the standard library alone, so that a generator can be checked beside other
releases of NumPy and nothing else of this project.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar

Config = TypeVar("Config")


@dataclass(frozen=True)
class GoldenDigests(Generic[Config]):
    """The configurations that stand for all of a generator's, and what their episodes come to.

    Attributes:
        versions: of the code that makes the episodes.
        iter_configurations: gives them, the same each time.
        compute_digests: digests of an episode's parts, by name.
        config_to_fields, config_from_fields: a configuration as JSON-ready fields, and back.
    """

    versions: Mapping[str, str]
    iter_configurations: Callable[[], Iterable[Config]]
    compute_digests: Callable[[Config], Mapping[str, str]]
    config_to_fields: Callable[[Config], Mapping[str, Any]]
    config_from_fields: Callable[[dict[str, Any]], Config]

    def compute_file_content(self) -> dict[str, Any]:
        """What the golden file holds, computed afresh."""
        episodes = [
            {"config": self.config_to_fields(config), **self.compute_digests(config)}
            for config in self.iter_configurations()
        ]
        return {**self.versions, "episodes": episodes}

    def list_differences(self, stored_content: Mapping[str, Any]) -> list[str]:
        """What a golden file says otherwise than this machine; empty where all is well."""
        found = [
            f"{name} is {stored_content.get(name)!r} in the file and {value!r} here"
            for name, value in self.versions.items()
            if stored_content.get(name) != value
        ]
        for entry in stored_content["episodes"]:
            config = self.config_from_fields(entry["config"])
            made = self.compute_digests(config)
            found += [f"{part} differ: {config}" for part in made if made[part] != entry[part]]
        return found

    def print_file_differences(self, path: Path) -> int:
        """Check a golden file and print what differs; 0 where nothing does, else 1."""
        golden = json.loads(path.read_text(encoding="utf-8"))
        found = self.list_differences(golden)
        count = len(golden["episodes"])
        print(f"numpy {version('numpy')}: {count} episodes, {len(found)} differences")
        print("\n".join(found), file=sys.stderr)
        return 1 if found else 0
