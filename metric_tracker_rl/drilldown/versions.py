"""Version numbers of the drill-down tier, apart from those of the funnel tiers."""

GENERATOR_VERSION = "7"
"""Bytes of an episode: domains, clean model, planning, acceptance, reference and change log.

What is drawn depends on an earlier version, which is the level's own; see `Level.stream`."""

DEFINITION_VERSION = "1"
"""Labels: which roots the definition finds in given counts."""

GRADER_VERSION = "1"
"""Scores: which rows are valid, and the formula that turns a report into a number."""

VERSIONS = {
    "tier": "drilldown",
    "generator": GENERATOR_VERSION,
    "definition": DEFINITION_VERSION,
    "grader": GRADER_VERSION,
}
"""What recordings and certificates of this tier are made under."""
