"""What a request's body may be: how long, how slow, and of how many values."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from openenv_kit.serving import frames, metrics


class BodyError(HTTPException):
    """A body that is refused while it is read.

    Of the framework's own kind, because whoever reads the body turns any other into a 400. The
    rest of the body is never read, so the connection ends with the answer.
    """

    def __init__(self, kind: str, status: int, detail: str) -> None:
        metrics.ERRORS.labels(kind).inc()
        super().__init__(status, detail, {"connection": "close"})


def too_big(limit: int) -> BodyError:
    """The refusal of a body longer than allowed."""
    return BodyError("too_big", 413, f"A request body may have {limit} bytes.")


def limited(receive: Receive, max_bytes: int, timeout_s: float, *, is_json: bool) -> Receive:
    """The same channel, on which reading a body stops at its limits.

    Args:
        receive: the server's channel.
        max_bytes: longest body.
        timeout_s: seconds from the first read to the body's end.
        is_json: whether the number of values is limited too.
    """
    size = commas = 0
    complete = False
    deadline: float | None = None

    async def receiving() -> Message:
        nonlocal size, commas, complete, deadline
        if complete:
            return await receive()
        deadline = deadline or asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            told = f"A request body must arrive within {timeout_s:g} seconds."
            raise BodyError("too_slow", 408, told) from None
        complete = not message.get("more_body", False)
        piece = message.get("body", b"")
        size += len(piece)
        if size > max_bytes:
            raise too_big(max_bytes)
        if is_json:
            commas += piece.count(b",")
            if commas > frames.MAX_COMMAS:
                told = f"The body has {frames.TOO_MANY_VALUES}."
                raise BodyError("too_many_values", 413, told)
        return message

    return receiving
