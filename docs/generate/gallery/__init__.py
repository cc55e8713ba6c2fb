"""The gallery: a page for each anomaly family of an environment, with a section for each level."""
