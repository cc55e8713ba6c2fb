"""Golden files, which store digests to check whether a generator still produces the same bytes.

The module depends only on the standard library, so a generator can be checked with other releases
of NumPy and without the rest of the project.
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
ExitStatus = int
"""Process exit status: 0 if all digests match, 1 if any digest differs."""


@dataclass(frozen=True)
class GoldenDigests(Generic[Config]):
    """Configurations of a golden file and the functions that compute the digests of their episodes.

    Attributes:
        versions: versions of the code that generates the episodes, by name.
        iter_configurations: returns an iterator over the configurations; every call must return the
            same ones.
        compute_digests: generates an episode and returns the digest of each of its parts, by name.
        config_to_fields: converts a configuration to JSON-serializable fields.
        config_from_fields: rebuilds a configuration from these fields.
    """

    versions: Mapping[str, str]
    iter_configurations: Callable[[], Iterable[Config]]
    compute_digests: Callable[[Config], Mapping[str, str]]
    config_to_fields: Callable[[Config], Mapping[str, Any]]
    config_from_fields: Callable[[dict[str, Any]], Config]

    def recompute_file_content(self) -> dict[str, Any]:
        """Recompute all digests and return the resulting content of the golden file."""
        episodes = [
            {"config": self.config_to_fields(config), **self.compute_digests(config)}
            for config in self.iter_configurations()
        ]
        return {**self.versions, "episodes": episodes}

    def list_differences(self, stored_content: Mapping[str, Any]) -> list[str]:
        """Compare the content of a golden file with recomputed digests and the current versions.

        The result has one line for each version or digest that differs.
        """
        differences = []
        for name, version_here in self.versions.items():
            stored_version = stored_content.get(name)
            if stored_version != version_here:
                differences.append(
                    f"{name} is {stored_version!r} in the file, {version_here!r} here"
                )
        for episode in stored_content["episodes"]:
            config = self.config_from_fields(episode["config"])
            for part, digest in self.compute_digests(config).items():
                if digest != episode[part]:
                    differences.append(f"{part} differ: {config}")
        return differences

    def write_recomputed_file(self, path: Path) -> None:
        """Recompute all digests and write them to a golden file."""
        text = json.dumps(self.recompute_file_content(), indent=1)
        path.write_text(f"{text}\n", encoding="utf-8")

    def check_file_and_print_differences(self, path: Path) -> ExitStatus:
        """Compare a golden file with recomputed digests and print every difference.

        Returns:
            The exit status of the process.
        """
        stored_content = json.loads(path.read_text(encoding="utf-8"))
        differences = self.list_differences(stored_content)
        count = len(stored_content["episodes"])
        print(f"numpy {version('numpy')}: {count} episodes, {len(differences)} differences")
        print("\n".join(differences), file=sys.stderr)
        return 1 if differences else 0
