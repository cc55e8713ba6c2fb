"""Versions of the code that decides an episode's bytes, labels and scores.

The observation's `config` contains them. A change of behaviour raises a version; episodes, labels
and scores of different versions are not comparable.
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

VERSIONS = {
    "generator": GENERATOR_VERSION,
    "policy": POLICY_VERSION,
    "variants": DRAWN_POLICIES_VERSION,
    "grader": GRADER_VERSION,
}
"""All versions by name."""
