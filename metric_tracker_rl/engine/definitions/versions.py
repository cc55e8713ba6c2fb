"""Version numbers of everything that decides an episode's bytes, labels, scores or replies.

Recordings, results and exports state all of them. A change of behaviour raises the number, and
results of different numbers are not compared. The observation's `config` states those that decide
bytes, labels and scores.
"""

from __future__ import annotations

GENERATOR_VERSION = "2"
"""Bytes of an episode: random stream, arithmetic of the funnel, parameters of the families."""

POLICY_VERSION = "1"
"""Labels: which rows the reporting policy asks for, given the data."""

DRAWN_POLICIES_VERSION = "1"
"""Drawn reporting policies: which parameters are drawn, from which values, in which wordings."""

GRADER_VERSION = "2"
"""Scores: which rows of a report are valid, and the formula of the score."""

REPLIES_VERSION = "1"
"""Replies: tools, their schemas and results, and everything else that a player receives.

Rewording a text does not raise it.
"""

VERSIONS = {
    "generator": GENERATOR_VERSION,
    "policy": POLICY_VERSION,
    "variants": DRAWN_POLICIES_VERSION,
    "grader": GRADER_VERSION,
    "replies": REPLIES_VERSION,
}
"""All versions by name."""
