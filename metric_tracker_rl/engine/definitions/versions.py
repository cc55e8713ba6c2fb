"""Version numbers of the code that determines an episode's data, labels, scores or replies.

Recordings, results and exports contain all versions. Every change of behaviour must increase the
corresponding version, because results of different versions cannot be compared. The observation's
`config` contains the versions of data, labels and scores.
"""

from __future__ import annotations

GENERATOR_VERSION = "2"
"""Version of the generated data: random stream, funnel arithmetic and family parameters."""

POLICY_VERSION = "1"
"""Version of the labels, which are the rows that the reporting policy requires for the data."""

DRAWN_POLICIES_VERSION = "1"
"""Version of the drawn reporting policies: their parameters, possible values and wordings."""

GRADER_VERSION = "2"
"""Version of the scores: the validation of report rows and the score formula."""

REPLIES_VERSION = "2"
"""Version of the replies: tools, their schemas and results, and all other data for players.

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
