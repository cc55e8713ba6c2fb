"""The products as pure data.

The generator, the tools, the players and the grader read names, sizes and rates from here. Another
product is another value.
"""

from __future__ import annotations

from dataclasses import replace

from drilldown_env import work
from drilldown_env.domain import Dimension, Domain
from drilldown_env.work import DEVICE, PAGE, PEOPLE, PLACE, PLAN, RELEASE, SOURCE

ORDERING_APP = Domain(
    name="ordering_app",
    dims=(
        Dimension(
            "platform",
            (("iPhone", 0.42), ("Android", 0.45), ("iPad", 0.13)),
            0.06,
            "on {}",
            DEVICE,
        ),
        Dimension(
            "country",
            (
                *(("US", 0.26), ("UK", 0.20), ("Germany", 0.17)),
                *(("France", 0.14), ("India", 0.13), ("Brazil", 0.10)),
            ),
            0.08,
            "in {}",
            PLACE,
        ),
        Dimension(
            "app_version",
            (("8.4", 0.30), ("8.5", 0.34), ("8.6", 0.24), ("8.7", 0.12)),
            0.04,
            "on app version {}",
            RELEASE,
        ),
        Dimension(
            "channel",
            (("organic search", 0.36), ("paid search", 0.26), ("social", 0.21), ("email", 0.17)),
            0.10,
            "via {}",
            SOURCE,
        ),
    ),
    stages=(
        "app_opens",
        "menu_opens",
        "cart_adds",
        "orders",
        "payments",
    ),
    base_rates=(0.60, 0.41, 0.52, 0.88),
    components=("marketing", "menu", "cart", "checkout", "payments"),
    weekday=(0.93, 0.94, 0.96, 0.99, 1.06, 1.09, 1.03),
    weekly_dim=3,
    noisy_dim=1,
    work=work.ORDERING_APP,
)

SAAS_TRIAL = Domain(
    name="saas_trial",
    dims=(
        Dimension(
            "plan",
            (("starter", 0.46), ("team", 0.34), ("business", 0.20)),
            0.08,
            "on the {} plan",
            PLAN,
        ),
        Dimension(
            "region",
            (("AMER", 0.36), ("EMEA", 0.30), ("APAC", 0.21), ("LATAM", 0.13)),
            0.06,
            "in {}",
            PLACE,
        ),
        Dimension(
            "source",
            (
                *(("search", 0.28), ("direct", 0.24), ("partner", 0.19)),
                *(("content", 0.16), ("event", 0.13)),
            ),
            0.10,
            "from {} traffic",
            SOURCE,
        ),
        Dimension(
            "company_size",
            (("1-9", 0.34), ("10-49", 0.28), ("50-249", 0.22), ("250+", 0.16)),
            0.06,
            "from companies with {} people",
            PEOPLE,
        ),
    ),
    stages=(
        "pricing_views",
        "signups",
        "activations",
        "invites",
        "subscriptions",
    ),
    base_rates=(0.34, 0.66, 0.55, 0.62),
    components=("marketing", "signup", "onboarding", "collaboration", "billing"),
    weekday=(1.12, 1.14, 1.12, 1.08, 1.00, 0.76, 0.78),
    weekly_dim=2,
    noisy_dim=1,
    volume=1.15,
    work=work.SAAS_TRIAL,
)

VIDEO_STREAMING = Domain(
    name="video_streaming",
    dims=(
        Dimension(
            "device",
            (("TV", 0.28), ("phone", 0.26), ("tablet", 0.18), ("desktop", 0.16), ("console", 0.12)),
            0.08,
            "on {}",
            DEVICE,
        ),
        Dimension(
            "region",
            (("north", 0.32), ("south", 0.27), ("east", 0.23), ("west", 0.18)),
            0.05,
            "in {}",
            PLACE,
        ),
        Dimension(
            "tier",
            (("ads", 0.42), ("standard", 0.36), ("premium", 0.22)),
            0.08,
            "on the {} tier",
            PLAN,
        ),
        Dimension(
            "player",
            (("v3", 0.30), ("v4", 0.32), ("v5", 0.23), ("beta", 0.15)),
            0.05,
            "with player {}",
            RELEASE,
        ),
    ),
    stages=(
        "sessions",
        "title_views",
        "plays",
        "ten_minute_views",
        "finishes",
    ),
    base_rates=(0.64, 0.58, 0.70, 0.52),
    components=("marketing", "title_pages", "playback", "delivery", "recommendations"),
    weekday=(0.92, 0.91, 0.92, 0.95, 1.06, 1.15, 1.09),
    weekly_dim=0,
    noisy_dim=1,
    work=work.VIDEO_STREAMING,
)

MARKETPLACE_CHECKOUT = Domain(
    name="marketplace_checkout",
    dims=(
        Dimension(
            "device",
            (("phone", 0.48), ("desktop", 0.36), ("tablet", 0.16)),
            0.08,
            "on {}",
            DEVICE,
        ),
        Dimension(
            "category",
            (
                *(("home", 0.23), ("fashion", 0.21), ("electronics", 0.18)),
                *(("sports", 0.15), ("toys", 0.13), ("garden", 0.10)),
            ),
            0.08,
            "in category {}",
            PAGE,
        ),
        Dimension(
            "buyer_country",
            (
                *(("US", 0.28), ("UK", 0.22), ("Germany", 0.19)),
                *(("Japan", 0.17), ("Australia", 0.14)),
            ),
            0.06,
            "in {}",
            PLACE,
        ),
        Dimension(
            "buyer_type",
            (("new", 0.30), ("occasional", 0.40), ("regular", 0.30)),
            0.06,
            "from {} buyers",
            PEOPLE,
        ),
    ),
    stages=("searches", "listing_views", "basket_adds", "checkouts", "payments"),
    base_rates=(0.58, 0.36, 0.56, 0.84),
    components=("marketing", "listings", "basket", "checkout", "payments"),
    weekday=(1.03, 1.00, 0.98, 0.98, 0.97, 1.00, 1.04),
    weekly_dim=1,
    noisy_dim=2,
    volume=1.35,
    work=work.MARKETPLACE_CHECKOUT,
)

DOMAINS: dict[str, Domain] = {
    domain.name: domain
    for domain in (ORDERING_APP, SAAS_TRIAL, VIDEO_STREAMING, MARKETPLACE_CHECKOUT)
}
"""Every product by name."""

_FIFTH = {
    "ordering_app": Dimension(
        "customer",
        (("new", 0.30), ("occasional", 0.27), ("regular", 0.24), ("returning", 0.19)),
        0.06,
        "from {} customers",
        PEOPLE,
    ),
    "saas_trial": Dimension(
        "industry",
        (("retail", 0.29), ("software", 0.27), ("finance", 0.24), ("education", 0.20)),
        0.06,
        "in {}",
        PEOPLE,
    ),
    "video_streaming": Dimension(
        "age_group",
        (("18-29", 0.30), ("30-44", 0.27), ("45-59", 0.23), ("60+", 0.20)),
        0.06,
        "from people aged {}",
        PEOPLE,
    ),
    "marketplace_checkout": Dimension(
        "source",
        (("direct", 0.31), ("web search", 0.27), ("newsletter", 0.23), ("social", 0.19)),
        0.06,
        "via {}",
        SOURCE,
    ),
}
WIDE_DOMAINS: dict[str, Domain] = {
    name: replace(
        domain, dims=(*domain.dims, _FIFTH[name]), volume=3.5 * domain.volume, affinity=0.2
    )
    for name, domain in DOMAINS.items()
}
"""The same with a fifth attribute and more people, for the level that is read by SQL."""
