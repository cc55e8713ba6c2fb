"""The error messages of each package are committed, so that a review shows every change."""

from __future__ import annotations

import pytest

from support.error_messages import PACKAGES, list_error_messages, snapshot_path

WRITE_AGAIN = "(cd tests && uv run python -m support.error_messages)"


@pytest.mark.parametrize("package", PACKAGES)
def test_committed_error_messages_equal_those_of_the_package(package: str) -> None:
    committed = snapshot_path(package).read_text("utf-8").splitlines()
    current = list_error_messages(package).splitlines()
    changed = sorted({*committed} ^ {*current})
    if committed != current:
        examples = "\n".join(changed[:6])
        pytest.fail(f"{len(changed)} lines differ:\n{examples}\nReview them, then: {WRITE_AGAIN}")


@pytest.mark.parametrize("package", PACKAGES)
def test_list_of_error_messages_holds_messages_of_many_modules(package: str) -> None:
    lines = list_error_messages(package).splitlines()
    assert sum(line.startswith("# ") for line in lines) > 10
    assert any("{}" in line for line in lines)
