"""Version numbers of the code that determines an episode's data, labels, scores or replies.

Recordings, results and exports contain all versions. Every change of behaviour must increase the
corresponding version, because results of different versions cannot be compared. The observation's
`config` contains the versions of data, labels and scores.
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

Rewording messages or descriptions does not increase this version.
"""

VERSIONS = {
    "generator": GENERATOR_VERSION,
    "policy": POLICY_VERSION,
    "variants": DRAWN_POLICIES_VERSION,
    "grader": GRADER_VERSION,
    "replies": REPLIES_VERSION,
}
"""All versions by name."""
