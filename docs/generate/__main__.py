"""`uv run python -m docs.generate`: writes the one generated file that is committed.

It is the picture of a shared link. Everything else is made by `mkdocs build`; see `hook`.
"""

from __future__ import annotations

from docs.generate.charts import png
from docs.generate.share_card import PATH, share_card


def main() -> None:
    """Write the picture."""
    PATH.write_bytes(png(share_card()))


if __name__ == "__main__":
    main()
