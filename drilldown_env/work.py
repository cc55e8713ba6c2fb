"""What is done to each component of the four products, in the words of a change log."""

from __future__ import annotations

_PAYMENTS = (
    "payment provider switched",
    "saved cards turned on",
    "3-D Secure rules tightened",
    "wallet button added",
    "failed payments retried",
    "fraud threshold lowered",
)

ORDERING_APP = (
    (
        "install banner shown",
        "push campaign started",
        "ad spend raised",
        "deep links changed",
        "referral bonus raised",
        "home screen widget released",
    ),
    (
        "menu search rebuilt",
        "larger dish photos",
        "menu sorted by popularity",
        "allergen filter added",
        "menus loaded lazily",
        "opening hours shown first",
    ),
    (
        "one-tap add button",
        "minimum order waived",
        "extras offered in the cart",
        "cart drawer redesigned",
        "delivery fee shown earlier",
        "item limits raised",
    ),
    (
        "one-page checkout",
        "address autocomplete replaced",
        "guest checkout turned on",
        "tip screen added",
        "delivery slots recalculated",
        "voucher field moved",
    ),
    _PAYMENTS,
)

SAAS_TRIAL = (
    (
        "pricing page headline tested",
        "annual discount banner added",
        "landing page replaced",
        "site navigation simplified",
        "partner links renewed",
        "ad spend raised",
    ),
    (
        "shorter signup form",
        "single sign-on offered",
        "email verification required",
        "captcha replaced",
        "password rules relaxed",
        "company name made mandatory",
    ),
    (
        "setup checklist added",
        "sample project preloaded",
        "welcome tour shortened",
        "import wizard rebuilt",
        "template gallery opened",
        "activation mail rewritten",
    ),
    (
        "invite dialog redesigned",
        "invite reminders turned on",
        "guest seats limited",
        "share links turned on",
        "contact import added",
        "default roles changed",
    ),
    (
        "price test started",
        "card form rebuilt",
        "payment by invoice offered",
        "tax calculation updated",
        "end-of-trial notice moved",
        "plan comparison reworked",
    ),
)

VIDEO_STREAMING = (
    (
        "home rows reordered",
        "push notifications tuned",
        "ad campaign started",
        "previews played automatically",
        "search results reordered",
        "newsletter links changed",
    ),
    (
        "trailer shown first",
        "larger artwork",
        "shorter synopses",
        "cast row added",
        "episode list collapsed",
        "watchlist button moved",
    ),
    (
        "new player start-up",
        "DRM licence check moved",
        "resume prompt added",
        "profile lock enforced",
        "ad break added before the play",
        "codec list updated",
    ),
    (
        "CDN weights changed",
        "bitrate ladder updated",
        "segment length halved",
        "buffer target raised",
        "edge cache keys changed",
        "regional failover tested",
    ),
    (
        "next-episode countdown shortened",
        "credits skipped by default",
        "new recommendation model",
        "mid-roll ads moved",
        "end cards redesigned",
        "continue-watching row rebuilt",
    ),
)

MARKETPLACE_CHECKOUT = (
    (
        "search box moved",
        "ad campaign started",
        "category pages replaced",
        "push campaign started",
        "landing page tested",
        "new search suggestions",
    ),
    (
        "larger listing photos",
        "new ranking model",
        "sponsored listings added",
        "delivery time shown",
        "review summary added",
        "filters collapsed",
    ),
    (
        "basket button moved",
        "quantity limits added",
        "shipping estimate in the basket",
        "bundle offers added",
        "stock held for less time",
        "coupon field hidden",
    ),
    (
        "one-page checkout",
        "address form rebuilt",
        "guest checkout turned on",
        "delivery options reordered",
        "tax shown earlier",
        "terms box added",
    ),
    _PAYMENTS,
)
