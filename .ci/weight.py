"""What the project weighs, beside what it may weigh; ends with 1 where it is too much.

    python .ci/weight.py

Counted are Python tokens without comments and docstrings, the share of lines that are docstrings,
bytes of data that is not code, lines of research and tools, tracked files and words of docs.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "openenv_kit": 95_000,
    "metric_tracker_rl": 68_000,
    "drilldown_env": 48_000,
    "firewatch_env": 50_000,
}
"""Most tokens of each package of the wheel."""
TOGETHER = 257_000
LEAST_DOCSTRINGS = 0.13
"""Share of the packages' lines; what it was before the house was made smaller."""
MOST_DATA = 200_000
"""Bytes of files of the packages that are not code."""
BENCH = ("research", "benchmarks", "docs/generate")
MOST_BENCH_LINES = 8_000
MOST_FILES = 720
MOST_WORDS = 18_000
MOST_README_LINES = 120
CODE = {".py", ".js", ".css", ".sql", ".typed", ".html", ".md", ".toml"}
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def docstrings(tree: ast.AST) -> dict[tuple[int, int], int]:
    """Lines of each docstring, by where it begins."""
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            text = first.value
            if isinstance(text.value, str):
                lines = (text.end_lineno or text.lineno) - text.lineno + 1
                found[text.lineno, text.col_offset] = lines
    return found


def weigh(source: str) -> tuple[int, int, int]:
    """Tokens, lines, and lines that are docstrings."""
    lines = docstrings(ast.parse(source))
    tokens = sum(
        each.type not in LAYOUT and each.start not in lines
        for each in tokenize.generate_tokens(io.StringIO(source).readline)
    )
    return tokens, source.count("\n"), sum(lines.values())


def main() -> int:
    """Print the table; 1 where anything is over its limit."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    tracked = [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    rows: list[tuple[str, float, float, bool]] = []

    def most(what: str, measured: float, limit: float) -> None:
        rows.append((what, measured, limit, measured <= limit))

    total, lines, documented, data = 0, 0, 0, 0
    for package, limit in PACKAGES.items():
        files = [ROOT / name for name in tracked if name.startswith(f"{package}/")]
        weighed = [weigh(each.read_text("utf-8")) for each in files if each.suffix == ".py"]
        tokens = sum(each[0] for each in weighed)
        lines, documented = (
            lines + sum(e[1] for e in weighed),
            documented + sum(e[2] for e in weighed),
        )
        data += sum(each.stat().st_size for each in files if each.suffix not in CODE)
        total += tokens
        most(f"tokens of {package}", tokens, limit)
    most("tokens in the wheel", total, TOGETHER)
    share = documented / lines
    rows.append(("docstrings, least share", share, LEAST_DOCSTRINGS, share >= LEAST_DOCSTRINGS))
    most("bytes of data", data, MOST_DATA)
    bench = [name for name in tracked if name.startswith(BENCH) and name.endswith(".py")]
    most("lines of research and tools", sum(_lines(name) for name in bench), MOST_BENCH_LINES)
    most("tracked files", len(tracked), MOST_FILES)
    pages = [name for name in tracked if name.startswith("docs/") and name.endswith(".md")]
    words = sum(len((ROOT / name).read_text("utf-8").split()) for name in pages)
    most("words of docs", words, MOST_WORDS)
    most("lines of README", _lines("README.md"), MOST_README_LINES)
    for what, measured, limit, holds in rows:
        shown = (f"{each:>10,.2f}" if each < 1 else f"{each:>10,.0f}" for each in (measured, limit))
        print(f"{what:32}{' of '.join(shown)}{'' if holds else '  OVER'}")
    return int(not all(holds for *_, holds in rows))


def _lines(name: str) -> int:
    return (ROOT / name).read_text("utf-8").count("\n")


if __name__ == "__main__":
    sys.exit(main())
