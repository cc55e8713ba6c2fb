"""Version numbers of the drill-down tier, apart from those of the funnel tiers."""

GENERATOR_VERSION = "6"
"""Bytes of an episode: domains, clean model, planning, acceptance, reference and change log.

The version at which a level's episodes last changed is the level's own; see `Level.changed`."""

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
