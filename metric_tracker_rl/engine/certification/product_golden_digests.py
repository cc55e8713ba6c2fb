"""Golden digests of episodes of products. The golden file contains the products themselves.

The module depends only on the generator and NumPy. The following command checks a golden file:

    python -m metric_tracker_rl.engine.certification.product_golden_digests FILE [--write]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from metric_tracker_rl.engine.certification.golden_digests import (
    DIGEST_VERSIONS,
    compute_data_and_label_digests,
)
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.product_policy import (
    build_product_level,
    list_product_families,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.products.parse_product import parse_product
from metric_tracker_rl.products.product import PRODUCT_FORMAT, Product
from metric_tracker_rl.products.twin import TWIN_VERSION

VERSIONS = {**DIGEST_VERSIONS, "product_format": PRODUCT_FORMAT, "twin_version": TWIN_VERSION}
RUNGS = ("rung_1", "rung_2")
"""Curriculum levels that are covered for a product if all of its named levels are enabled."""
EpisodeFields = dict[str, Any]
"""Product, seed, family, level and anomaly count of an episode, and its two digests."""


def iter_golden_configurations(product: Product) -> Iterator[EpisodeConfig]:
    """Yield the configurations of a product whose digests the golden file contains.

    There is one for each enabled named level and each of its scenario families, including `mixed`.
    If all named levels are enabled, the curriculum levels in `RUNGS` are added with the `mixed`
    family.
    """
    number = 0
    levels = [name for name, level in product.levels.items() if level.is_on]
    for level in (*levels, *(RUNGS if len(levels) == len(product.levels) else ())):
        families = () if level in RUNGS else list_product_families(product, level)
        for family in (*families, MIXED):
            count = number % (1 + min(5, build_product_level(product, level).max_anomalies))
            yield EpisodeConfig(500 + number, family, level, "low", count, product=product)
            number += 1


def recompute_episodes(products: Mapping[str, Any]) -> list[EpisodeFields]:
    """Generate the episodes of all products and return the fields of each, including its digests.

    Args:
        products: mappings of product files, by the product's name.
    """
    return [
        {
            "product": name,
            "seed": config.seed,
            "scenario_family": config.scenario_family,
            "difficulty": config.difficulty,
            "anomaly_count": config.anomaly_count,
            **compute_data_and_label_digests(config),
        }
        for name, mapping in products.items()
        for config in iter_golden_configurations(parse_product(mapping))
    ]


def list_product_differences(stored_content: Mapping[str, Any]) -> list[str]:
    """Compare the content of a golden file with recomputed digests and the current versions.

    The result has one line for each version that differs, and for each episode that only one side
    contains.
    """
    differences = [
        f"{name} is {stored_content[name]!r} in the file, {version_here!r} here"
        for name, version_here in VERSIONS.items()
        if stored_content[name] != version_here
    ]
    here = recompute_episodes(stored_content["products"])
    stored = stored_content["episodes"]
    differences += [f"not in the file: {episode}" for episode in here if episode not in stored]
    differences += [f"only in the file: {episode}" for episode in stored if episode not in here]
    return differences


def main(path: Path, *, should_write: bool) -> int:
    """Rewrite the golden file if requested, then print how it differs from recomputed digests.

    The function returns the exit status of the process, which is 1 if there is a difference and 0
    otherwise.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if should_write:
        content = {**VERSIONS, "products": content["products"]}
        content["episodes"] = recompute_episodes(content["products"])
        path.write_text(f"{json.dumps(content, indent=1)}\n", encoding="utf-8")
    differences = list_product_differences(content)
    count = len(content["episodes"])
    print(f"numpy {version('numpy')}: {count} episodes, {len(differences)} differences")
    print("\n".join(differences), file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), should_write="--write" in sys.argv[2:]))
