"""The products in five dimensions, for the level whose counts are read by SQL.

Stages, rates and components are those of the four products; attributes are finer and traffic is
larger, so that a segment of three values is still judged.
"""

from __future__ import annotations

from dataclasses import replace

from metric_tracker_rl.drilldown.domains import (
    MARKETPLACE_CHECKOUT,
    ORDERING_APP,
    SAAS_TRIAL,
    VIDEO_STREAMING,
    Dimension,
    Domain,
)

_ORDERING_APP = replace(
    ORDERING_APP,
    dims=(
        Dimension(
            "platform", (("ios", 0.31), ("android", 0.33), ("web", 0.20), ("tablet", 0.16)), 0.06
        ),
        Dimension(
            "country",
            (
                *(("us", 0.20), ("uk", 0.18), ("de", 0.17)),
                *(("fr", 0.16), ("in", 0.15), ("br", 0.14)),
            ),
            0.08,
        ),
        Dimension(
            "app_version",
            (("8.3", 0.18), ("8.4", 0.21), ("8.5", 0.24), ("8.6", 0.21), ("8.7", 0.16)),
            0.04,
        ),
        Dimension(
            "channel",
            (
                *(("organic", 0.24), ("paid_search", 0.21), ("social", 0.20)),
                *(("email", 0.18), ("partner", 0.17)),
            ),
            0.10,
        ),
        Dimension(
            "cuisine",
            (
                *(("pizza", 0.23), ("burgers", 0.21), ("asian", 0.20)),
                *(("indian", 0.19), ("salads", 0.17)),
            ),
            0.06,
        ),
    ),
    volume=5.0,
    affinity=0.15,
)

_SAAS_TRIAL = replace(
    SAAS_TRIAL,
    dims=(
        Dimension(
            "plan",
            (("free", 0.28), ("starter", 0.28), ("team", 0.24), ("business", 0.20)),
            0.08,
        ),
        Dimension(
            "region",
            (
                *(("north_america", 0.22), ("europe", 0.21), ("asia", 0.20)),
                *(("latin_america", 0.19), ("oceania", 0.18)),
            ),
            0.06,
        ),
        Dimension(
            "source",
            (
                *(("search", 0.19), ("direct", 0.18), ("partner", 0.17)),
                *(("content", 0.16), ("events", 0.15), ("social", 0.15)),
            ),
            0.10,
        ),
        Dimension(
            "company_size",
            (("1-9", 0.23), ("10-49", 0.21), ("50-249", 0.20), ("250-999", 0.19), ("1000+", 0.17)),
            0.06,
        ),
        Dimension(
            "industry",
            (
                *(("retail", 0.22), ("software", 0.21), ("finance", 0.20)),
                *(("health", 0.19), ("education", 0.18)),
            ),
            0.06,
        ),
    ),
    volume=5.5,
    affinity=0.15,
)

_VIDEO_STREAMING = replace(
    VIDEO_STREAMING,
    dims=(
        Dimension(
            "device",
            (
                *(("tv", 0.23), ("phone", 0.22), ("tablet", 0.19)),
                *(("desktop", 0.19), ("console", 0.17)),
            ),
            0.08,
        ),
        Dimension(
            "region",
            (
                *(("north", 0.22), ("south", 0.21), ("east", 0.20)),
                *(("west", 0.19), ("central", 0.18)),
            ),
            0.05,
        ),
        Dimension(
            "tier", (("ads", 0.29), ("basic", 0.26), ("standard", 0.25), ("premium", 0.20)), 0.08
        ),
        Dimension(
            "player",
            (("v2", 0.19), ("v3", 0.21), ("v4", 0.23), ("v5", 0.20), ("beta", 0.17)),
            0.05,
        ),
        Dimension(
            "genre",
            (
                *(("drama", 0.19), ("comedy", 0.18), ("documentary", 0.16)),
                *(("sports", 0.17), ("kids", 0.15), ("news", 0.15)),
            ),
            0.06,
        ),
    ),
    volume=4.5,
    affinity=0.15,
)

_MARKETPLACE_CHECKOUT = replace(
    MARKETPLACE_CHECKOUT,
    dims=(
        Dimension(
            "device", (("phone", 0.30), ("desktop", 0.27), ("tablet", 0.21), ("app", 0.22)), 0.08
        ),
        Dimension(
            "category",
            (
                *(("home", 0.19), ("fashion", 0.18), ("electronics", 0.17)),
                *(("sports", 0.16), ("toys", 0.15), ("garden", 0.15)),
            ),
            0.08,
        ),
        Dimension(
            "buyer_country",
            (("us", 0.23), ("uk", 0.21), ("de", 0.20), ("jp", 0.19), ("au", 0.17)),
            0.06,
        ),
        Dimension(
            "seller_tier",
            (("new", 0.20), ("rated", 0.23), ("top", 0.22), ("pro", 0.18), ("brand", 0.17)),
            0.06,
        ),
        Dimension(
            "payment",
            (
                *(("card", 0.24), ("wallet", 0.22), ("invoice", 0.19)),
                *(("transfer", 0.18), ("instalments", 0.17)),
            ),
            0.06,
        ),
    ),
    volume=5.5,
    affinity=0.15,
)

WIDE_DOMAINS: dict[str, Domain] = {
    domain.name: domain
    for domain in (_ORDERING_APP, _SAAS_TRIAL, _VIDEO_STREAMING, _MARKETPLACE_CHECKOUT)
}
"""Every product in five dimensions, by name."""
