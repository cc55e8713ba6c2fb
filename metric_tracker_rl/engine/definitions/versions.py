"""Version numbers of everything that decides bytes, labels or scores.

Each one is named in the observation's `config`. A change of behaviour bumps the number:
episodes, labels or scores made under different numbers are different things.
"""

GENERATOR_VERSION = "2"
"""Bytes of an episode: the bit stream, the funnel's arithmetic, the families' parameters."""

POLICY_VERSION = "1"
"""Labels: which rows the reporting policy asks for, given the data."""

DRAWN_POLICIES_VERSION = "1"
"""Reporting policies that are drawn: which parameters, of which values, in which words."""

GRADER_VERSION = "2"
"""Scores: which rows of a report are valid, and the formula that turns it into a number."""

VERSIONS = {
    "generator": GENERATOR_VERSION,
    "policy": POLICY_VERSION,
    "variants": DRAWN_POLICIES_VERSION,
    "grader": GRADER_VERSION,
}
"""All of them, by name."""
