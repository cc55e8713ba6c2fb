"""`metric-tracker sealed-record`: saves the server's signed record of your sealed rollouts."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from openenv_kit.sealed_split import SEALED_SPLIT
from openenv_kit.variables import SERVER_TOKEN_VARIABLE

SERVER_TIMEOUT_S = 60.0
"""Maximum time to wait for the server, which may have to replay episodes to create the record."""

MAX_SHOWN_CHARACTERS = 500
"""Maximum number of characters of an error response that are shown."""


def sealed_record(
    base_url: Annotated[
        str, typer.Argument(help="HTTP address of the server of the sealed split.")
    ],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("attestation.txt"),
    split: Annotated[str, typer.Option(help="Name of the sealed split.")] = SEALED_SPLIT,
) -> None:
    """Save the signed record of all your rollouts of sealed tasks, for `submit --attestation`.

    The token in OPENENV_KIT_TOKEN identifies you. Unfinished episodes score 0 in the record.
    """
    record = fetch_sealed_record(base_url, split, os.environ.get(SERVER_TOKEN_VARIABLE, ""))
    out.write_text(record["attestation"], encoding="utf-8")
    typer.echo(
        f"{out}: sealed rollouts of {record['player']}: {record['plays']}. "
        f"The server's public key is {record['public_key']}; compare it with the published one."
    )


class SealedRecordReply(TypedDict):
    """Reply of GET /sealed-record.

    Attributes:
        player: name of the player who played the rollouts.
        plays: number of rollouts.
        attestation: the signed record.
        public_key: public key that verifies the record.
    """

    player: str
    plays: int
    attestation: str
    public_key: str


def fetch_sealed_record(base_url: str, split: str, token: str) -> SealedRecordReply:
    """Request the signed record of a player's sealed rollouts from a server.

    Args:
        base_url: HTTP address of the server.
        split: name of the sealed split.
        token: access token of the player; empty if the server requires none.

    Raises:
        typer.BadParameter: the server cannot be reached or returned an error.
    """
    address = f"{base_url.rstrip('/')}/sealed-record?{urllib.parse.urlencode({'split': split})}"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.urlopen(request, timeout=SERVER_TIMEOUT_S) as response:
            reply: SealedRecordReply = json.load(response)
            return reply
    except urllib.error.HTTPError as problem:
        detail = problem.read().decode(errors="replace")[:MAX_SHOWN_CHARACTERS]
        raise typer.BadParameter(f"{base_url} returned {problem.code}: {detail}") from None
    except (OSError, ValueError) as problem:
        raise typer.BadParameter(f"{base_url} cannot be used: {problem}") from None
