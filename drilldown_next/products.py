"""The four built-in products."""

from __future__ import annotations

from drilldown_next import log_texts
from drilldown_next.log_texts import Role
from drilldown_next.product import Dimension, Product

ORDERING_APP = Product(
    name="ordering_app",
    dimensions=(
        Dimension(
            "platform",
            (("iPhone", 0.42), ("Android", 0.45), ("iPad", 0.13)),
            "on {}",
            Role.DEVICE,
        ),
        Dimension(
            "country",
            (
                ("US", 0.26),
                ("UK", 0.20),
                ("Germany", 0.17),
                ("France", 0.14),
                ("India", 0.13),
                ("Brazil", 0.10),
            ),
            "in {}",
            Role.PLACE,
        ),
        Dimension(
            "app_version",
            (("8.4", 0.30), ("8.5", 0.34), ("8.6", 0.24), ("8.7", 0.12)),
            "on app version {}",
            Role.RELEASE,
        ),
        Dimension(
            "channel",
            (("organic search", 0.36), ("paid search", 0.26), ("social", 0.21), ("email", 0.17)),
            "via {}",
            Role.SOURCE,
        ),
    ),
    stages=("menu_opens", "cart_adds", "orders", "payments"),
    step_rates=(0.45, 0.55, 0.80),
    components=("cart", "checkout", "payments"),
    work=log_texts.ORDERING_APP,
    weekday=(0.93, 0.94, 0.96, 0.99, 1.06, 1.09, 1.03),
    extra_dimension=Dimension(
        "customer", (("new", 0.45), ("returning", 0.55)), "from {} customers", Role.PEOPLE
    ),
    rung_dimensions=("platform", "channel", "app_version"),
)

SAAS_TRIAL = Product(
    name="saas_trial",
    dimensions=(
        Dimension(
            "plan",
            (("starter", 0.46), ("team", 0.34), ("business", 0.20)),
            "on the {} plan",
            Role.PLAN,
        ),
        Dimension(
            "region",
            (("AMER", 0.36), ("EMEA", 0.30), ("APAC", 0.21), ("LATAM", 0.13)),
            "in {}",
            Role.PLACE,
        ),
        Dimension(
            "source",
            (
                ("search", 0.28),
                ("direct", 0.24),
                ("partner", 0.19),
                ("content", 0.16),
                ("event", 0.13),
            ),
            "from {} traffic",
            Role.SOURCE,
        ),
        Dimension(
            "company_size",
            (("1-9", 0.34), ("10-49", 0.28), ("50-249", 0.22), ("250+", 0.16)),
            "from companies with {} people",
            Role.PEOPLE,
        ),
    ),
    stages=("pricing_views", "signups", "activations", "subscriptions"),
    step_rates=(0.40, 0.66, 0.55),
    components=("signup", "onboarding", "billing"),
    work=log_texts.SAAS_TRIAL,
    weekday=(1.12, 1.14, 1.12, 1.08, 1.00, 0.76, 0.78),
    extra_dimension=Dimension(
        "industry",
        (("retail", 0.38), ("software", 0.34), ("finance", 0.28)),
        "in {}",
        Role.PEOPLE,
    ),
    rung_dimensions=("plan", "region", "company_size"),
)

VIDEO_STREAMING = Product(
    name="video_streaming",
    dimensions=(
        Dimension(
            "device",
            (("TV", 0.28), ("phone", 0.26), ("tablet", 0.18), ("desktop", 0.16), ("console", 0.12)),
            "on {}",
            Role.DEVICE,
        ),
        Dimension(
            "region",
            (("north", 0.32), ("south", 0.27), ("east", 0.23), ("west", 0.18)),
            "in {}",
            Role.PLACE,
        ),
        Dimension(
            "tier",
            (("ads", 0.42), ("standard", 0.36), ("premium", 0.22)),
            "on the {} tier",
            Role.PLAN,
        ),
        Dimension(
            "player",
            (("v3", 0.30), ("v4", 0.32), ("v5", 0.23), ("beta", 0.15)),
            "with player {}",
            Role.RELEASE,
        ),
    ),
    stages=("sessions", "title_views", "plays", "ten_minute_views"),
    step_rates=(0.64, 0.58, 0.70),
    components=("title_pages", "playback", "delivery"),
    work=log_texts.VIDEO_STREAMING,
    weekday=(0.92, 0.91, 0.92, 0.95, 1.06, 1.15, 1.09),
    extra_dimension=Dimension(
        "age_group",
        (("18-34", 0.38), ("35-54", 0.34), ("55+", 0.28)),
        "from people aged {}",
        Role.PEOPLE,
    ),
    rung_dimensions=("tier", "region", "player"),
)

MARKETPLACE_CHECKOUT = Product(
    name="marketplace_checkout",
    dimensions=(
        Dimension(
            "device",
            (("phone", 0.48), ("desktop", 0.36), ("tablet", 0.16)),
            "on {}",
            Role.DEVICE,
        ),
        Dimension(
            "category",
            (
                ("home", 0.23),
                ("fashion", 0.21),
                ("electronics", 0.18),
                ("sports", 0.15),
                ("toys", 0.13),
                ("garden", 0.10),
            ),
            "in category {}",
            Role.PAGE,
        ),
        Dimension(
            "buyer_country",
            (("US", 0.28), ("UK", 0.22), ("Germany", 0.19), ("Japan", 0.17), ("Australia", 0.14)),
            "in {}",
            Role.PLACE,
        ),
        Dimension(
            "buyer_type",
            (("new", 0.30), ("occasional", 0.40), ("regular", 0.30)),
            "from {} buyers",
            Role.PEOPLE,
        ),
    ),
    stages=("searches", "listing_views", "basket_adds", "checkouts"),
    step_rates=(0.65, 0.45, 0.60),
    components=("listings", "basket", "checkout"),
    work=log_texts.MARKETPLACE_CHECKOUT,
    weekday=(1.03, 1.00, 0.98, 0.98, 0.97, 1.00, 1.04),
    extra_dimension=Dimension(
        "source", (("direct", 0.55), ("web search", 0.45)), "via {}", Role.SOURCE
    ),
    rung_dimensions=("device", "buyer_country", "buyer_type"),
)

PRODUCTS: dict[str, Product] = {
    product.name: product
    for product in (ORDERING_APP, SAAS_TRIAL, VIDEO_STREAMING, MARKETPLACE_CHECKOUT)
}
"""Every built-in product by name."""
