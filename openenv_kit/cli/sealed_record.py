"""`metric-tracker sealed-record`: the server's signed record of your plays of sealed tasks."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from openenv_kit.sealed_split import SEALED_SPLIT
from openenv_kit.variables import SERVER_TOKEN_VARIABLE

SERVER_TIMEOUT_S = 60.0
"""Longest wait for the server, in seconds; it may have to replay episodes for the record."""


def sealed_record(
    base_url: Annotated[
        str, typer.Argument(help="http address of the server that plays the sealed tasks.")
    ],
    out: Annotated[Path, typer.Option(help="File for the record.")] = Path("attestation.txt"),
    split: Annotated[str, typer.Option(help="The sealed split.")] = SEALED_SPLIT,
) -> None:
    """Save the signed record of all your plays of sealed tasks, for `submit --attestation`.

    The token in OPENENV_KIT_TOKEN says whose plays they are. Open episodes score 0 in the record.
    """
    found = fetch_sealed_record(base_url, split, os.environ.get(SERVER_TOKEN_VARIABLE, ""))
    out.write_text(found["attestation"], encoding="utf-8")
    typer.echo(
        f"{out}: sealed plays of {found['player']}: {found['plays']}. "
        f"The server's public key is {found['public_key']}; compare it with the published one."
    )


def fetch_sealed_record(base_url: str, split: str, token: str) -> dict[str, Any]:
    """Return the server's answer to GET /sealed-record.

    Raises:
        typer.BadParameter: the server cannot be reached, or refused; has its reason.
    """
    address = f"{base_url.rstrip('/')}/sealed-record?{urllib.parse.urlencode({'split': split})}"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.urlopen(request, timeout=SERVER_TIMEOUT_S) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as problem:
        detail = problem.read().decode(errors="replace")[:500]
        raise typer.BadParameter(f"{base_url} answered {problem.code}: {detail}") from None
    except (OSError, ValueError) as problem:
        raise typer.BadParameter(f"{base_url} cannot be used: {problem}") from None
