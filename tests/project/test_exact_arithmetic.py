"""The generator uses arithmetic that is exact on every machine, and no other source of chance."""

from __future__ import annotations

import ast
import builtins
import datetime
import os
import random
import time
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

import metric_tracker_rl
from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.generation.generate import generate_episode
from openenv_kit import bitstream

ENGINE = Path(metric_tracker_rl.__file__).parent / "engine"
PRODUCTS = Path(metric_tracker_rl.__file__).parent / "products"


BYTE_MAKERS = sorted(
    [
        Path(bitstream.__file__),
        ENGINE / "configuration" / "episode_config.py",
        *(ENGINE / "definitions").rglob("*.py"),
        *(ENGINE / "generation").rglob("*.py"),
        *(ENGINE / "reporting_policy").rglob("*.py"),
        PRODUCTS / "product.py",
        PRODUCTS / "spread.py",
        PRODUCTS / "twin.py",
    ]
)
"""Every module that decides a byte of an episode."""


UNSTABLE_NAMES = """
    exp exp2 expm1 log log1p log2 log10 power pow sin cos tan tanh arctan hypot cbrt dot vdot
    inner outer matmul einsum tensordot convolve interp mean std var average median percentile
    quantile nanmean cov corrcoef cumprod default_rng RandomState SeedSequence PCG64 normal
    standard_normal poisson binomial beta gamma exponential choice shuffle permutation integers
    randint now today utcnow time urandom
"""


UNSTABLE_CALLS = set(UNSTABLE_NAMES.split())


UNSTABLE_MODULES = {"random", "time", "secrets", "uuid", "os", "scipy", "statistics"}


def unstable(source: str) -> list[str]:
    """What in a module could come out otherwise on another machine or on another day."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            module = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            found += [name for name in module if name.split(".")[0] in UNSTABLE_MODULES]
            found += [name for name in names if name in UNSTABLE_CALLS]
        elif isinstance(node, ast.Attribute) and node.attr in UNSTABLE_CALLS:
            found.append(node.attr)
        elif isinstance(node, ast.Name) and node.id in {"pow", "hash"}:
            found.append(node.id)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found.append("@")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            whole = isinstance(node.left, ast.Constant) and isinstance(node.left.value, int)
            literal = all(
                isinstance(side, ast.Constant | ast.UnaryOp) for side in (node.left, node.right)
            )
            found += [] if whole or literal else ["**"]
    return found


def test_generator_uses_no_clock_and_no_other_random_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explode(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a clock or a foreign source of chance was read")

    class NoClock(datetime.date):
        today = explode  # type: ignore[assignment]

    config = EpisodeConfig(6, MIXED, "hard", "high", 7)
    before = generate_episode(config)
    with monkeypatch.context() as patch:
        for name in ("time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime"):
            patch.setattr(time, name, explode)
        for name in ("random", "randint", "choice", "getrandbits", "uniform", "gauss"):
            patch.setattr(random, name, explode)
        for name in ("rand", "randn", "random", "normal", "default_rng", "choice"):
            patch.setattr(np.random, name, explode)
        patch.setattr(os, "urandom", explode)
        patch.setattr(builtins, "hash", explode)  # of text, it differs from run to run
        patch.setattr("metric_tracker_rl.engine.generation.clean_data.dt.date", NoClock)
        after = generate_episode(config)
    assert after.hourly.tobytes() == before.hourly.tobytes()
    assert after.dates == before.dates


@pytest.mark.parametrize("path", BYTE_MAKERS, ids=lambda path: path.stem)
def test_generator_uses_exactly_rounded_arithmetic_only(path: Path) -> None:
    assert unstable(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "np.exp(x)",
        "x ** 2",
        "a @ b",
        "pow(x, 2)",
        "import random",
        "from time import time",
        "np.random.default_rng()",
        "values.mean()",
        "dt.date.today()",
    ],
)
def test_arithmetic_check_finds_inexact_functions(source: str) -> None:
    assert unstable(source)
