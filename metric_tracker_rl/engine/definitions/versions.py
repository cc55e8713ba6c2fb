"""Version numbers of everything that decides an episode's bytes, labels, scores or replies.

Recordings, results and exports state all of them. A change of behaviour raises the number, and
results of different numbers are not compared. The observation's `config` states those that decide
bytes, labels and scores.
"""

GENERATOR_VERSION = "2"
"""Bytes of an episode: the bit stream, the funnel's arithmetic, the families' parameters."""

POLICY_VERSION = "1"
"""Labels: which rows the reporting policy asks for, given the data."""

DRAWN_POLICIES_VERSION = "1"
"""Reporting policies that are drawn: which parameters, of which values, in which words."""

GRADER_VERSION = "2"
"""Scores: which rows of a report are valid, and the formula that turns it into a number."""

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
