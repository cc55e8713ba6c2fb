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
class Golden(Generic[Config]):
    """The configurations that stand for all of a generator's, and what their episodes come to.

    Attributes:
        versions: of the code that makes the episodes.
        configurations: gives them, the same each time.
        digests_of: digests of an episode's parts, by name.
        fields_of, config_from: a configuration as JSON-ready fields, and back.
    """

    versions: Mapping[str, str]
    configurations: Callable[[], Iterable[Config]]
    digests_of: Callable[[Config], Mapping[str, str]]
    fields_of: Callable[[Config], Mapping[str, Any]]
    config_from: Callable[[dict[str, Any]], Config]

    def table(self) -> dict[str, Any]:
        """What the golden file holds, computed afresh."""
        episodes = [
            {"config": self.fields_of(config), **self.digests_of(config)}
            for config in self.configurations()
        ]
        return {**self.versions, "episodes": episodes}

    def differences(self, golden: Mapping[str, Any]) -> list[str]:
        """What a golden file says otherwise than this machine; empty where all is well."""
        found = [
            f"{name} is {golden.get(name)!r} in the file and {value!r} here"
            for name, value in self.versions.items()
            if golden.get(name) != value
        ]
        for entry in golden["episodes"]:
            config = self.config_from(entry["config"])
            made = self.digests_of(config)
            found += [f"{part} differ: {config}" for part in made if made[part] != entry[part]]
        return found

    def check_file(self, path: Path) -> int:
        """Check a golden file and print what differs; 0 where nothing does, else 1."""
        golden = json.loads(path.read_text(encoding="utf-8"))
        found = self.differences(golden)
        count = len(golden["episodes"])
        print(f"numpy {version('numpy')}: {count} episodes, {len(found)} differences")
        print("\n".join(found), file=sys.stderr)
        return 1 if found else 0
