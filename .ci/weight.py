"""Print the size of the project and its change since another commit. Never fails.

    python .ci/weight.py [--base REV]

For each package it prints lines of Python, Python tokens without comments and docstrings, and the
share of lines that are docstrings. Further rows count tracked files, words of documentation, lines
of the README, lines of research and benchmarks, and bytes of package data.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("openenv_kit", "metric_tracker_rl", "drilldown_env", "firewatch_env")
BENCH_FOLDERS = ("research/", "benchmarks/", "docs/generate/")
CODE_SUFFIXES = (".py", ".js", ".css", ".sql", ".typed", ".html", ".md", ".toml")
LAYOUT_TOKENS = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@dataclass
class SourceSize:
    """Size of some Python source; sizes can be added."""

    lines: int = 0
    tokens: int = 0
    docstring_lines: int = 0

    def __add__(self, other: SourceSize) -> SourceSize:
        return SourceSize(
            self.lines + other.lines,
            self.tokens + other.tokens,
            self.docstring_lines + other.docstring_lines,
        )


def measure_source(source: str) -> SourceSize:
    """Return the size of one module; only its lines if it cannot be parsed."""
    try:
        docstrings = find_docstrings(ast.parse(source))
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, tokenize.TokenError):
        return SourceSize(lines=source.count("\n"))
    counted = [
        token
        for token in tokens
        if token.type not in LAYOUT_TOKENS and token.start not in docstrings
    ]
    return SourceSize(source.count("\n"), len(counted), sum(docstrings.values()))


def find_docstrings(tree: ast.AST) -> dict[tuple[int, int], int]:
    """Return the number of lines of each docstring, by its position (line, column)."""
    lines_by_position = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
            continue
        text = first.value
        if isinstance(text.value, str):
            lines_by_position[text.lineno, text.col_offset] = (
                (text.end_lineno or text.lineno) - text.lineno + 1
            )
    return lines_by_position


def run_git(*arguments: str) -> bytes:
    """Return the output of a git command; no bytes if it fails."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True).stdout


def read_working_tree() -> dict[str, bytes]:
    """Return the content of every tracked file, by name."""
    names = run_git("ls-files", "-z").decode().split("\0")
    return {name: (ROOT / name).read_bytes() for name in names if name and (ROOT / name).is_file()}


def read_commit(revision: str) -> dict[str, bytes]:
    """Return the content of every file of a commit, by name; nothing for an unknown commit."""
    objects: dict[str, str] = {}
    for entry in run_git("ls-tree", "-r", "-z", revision).decode().split("\0"):
        if entry:
            details, name = entry.split("\t", 1)
            objects[name] = details.split(" ")[2]
    process = subprocess.run(
        ["git", "cat-file", "--batch"],
        cwd=ROOT,
        input="\n".join(objects.values()).encode(),
        capture_output=True,
    )
    output, contents, position = process.stdout, {}, 0
    for name in objects:
        header_end = output.index(b"\n", position)
        size = int(output[position:header_end].split(b" ")[2])
        contents[name] = output[header_end + 1 : header_end + 1 + size]
        position = header_end + size + 2
    return contents


def measure_tree(files: dict[str, bytes]) -> dict[str, float]:
    """Return the rows of the report by title, in the order in which they are printed."""
    rows: dict[str, float] = {}
    total = SourceSize()
    for package in PACKAGES:
        sources = [
            content.decode("utf-8")
            for name, content in files.items()
            if name.startswith(f"{package}/") and name.endswith(".py")
        ]
        size = sum(map(measure_source, sources), SourceSize())
        total += size
        rows[f"lines of {package}"] = size.lines
        rows[f"tokens of {package}"] = size.tokens
        rows[f"docstrings of {package}"] = size.docstring_lines / max(size.lines, 1)
    rows["lines in the wheel"] = total.lines
    rows["tokens in the wheel"] = total.tokens
    rows["docstrings in the wheel"] = total.docstring_lines / max(total.lines, 1)
    package_folders = tuple(f"{package}/" for package in PACKAGES)
    rows["bytes of package data"] = sum(
        len(content)
        for name, content in files.items()
        if name.startswith(package_folders) and not name.endswith(CODE_SUFFIXES)
    )
    rows["lines of research and benchmarks"] = sum(
        content.count(b"\n")
        for name, content in files.items()
        if name.startswith(BENCH_FOLDERS) and name.endswith(".py")
    )
    rows["tracked files"] = len(files)
    rows["words of docs"] = sum(
        len(content.decode("utf-8").split())
        for name, content in files.items()
        if name.startswith("docs/") and name.endswith(".md")
    )
    rows["lines of README"] = files.get("README.md", b"").count(b"\n")
    return rows


def format_change(value: float, before: float | None) -> str:
    """Return a row's change since the other commit; empty if the earlier value is unknown."""
    if before is None:
        return ""
    change = value - before
    return f"{change:>+10.3f}" if isinstance(value, float) else f"{change:>+10,d}"


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description="Print the size of the project.")
    parser.add_argument(
        "--base", default="HEAD~1", help="commit to compare with (default: the previous one)"
    )
    base = parser.parse_args().base
    rows, rows_before = measure_tree(read_working_tree()), {}
    if files_before := read_commit(base):
        rows_before = measure_tree(files_before)
    for title, value in rows.items():
        figure = f"{value:>10.3f}" if isinstance(value, float) else f"{value:>10,d}"
        print(f"{title:34}{figure}{format_change(value, rows_before.get(title))}")


if __name__ == "__main__":
    main()
