"""What is done to each component, in the words of a change log.

Each line says which way it can move what the component is for, and whom it can be limited to:
nobody shows an ad to one release, or loses events of one company size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROLES = ("place", "device", "release", "source", "people", "page")
"""What an attribute of people can be about."""
PLACE, DEVICE, RELEASE, SOURCE, PEOPLE, PAGE = ROLES
ADVERTISED = (PLACE, DEVICE, SOURCE, PEOPLE, PAGE)
"""Whom advertising reaches."""
MEASURED = (PLACE, DEVICE, RELEASE, SOURCE, PAGE)
"""Whose events can be lost: who is on the same code, under the same law, or led in alike."""
TECHNICAL = (PLACE, DEVICE, RELEASE)


@dataclass(frozen=True)
class Work:
    """Something that is done to a component.

    Attributes:
        words: what the log says.
        rises: whether what the component is for rises by it; None where it may do either.
        roles: of the attributes that it can be limited to.
    """

    words: str
    rises: bool | None
    roles: Sequence[str]

    def suits(self, roles: Sequence[str], directions: Sequence[bool] = ()) -> bool:
        """Whether it can be for such people, and move them in these directions.

        Args:
            roles: of the attributes that the people share; "" suits anything.
            directions: of what it is to blame for.
        """
        able = self.rises is None or all(rises == self.rises for rises in directions)
        return able and all(role in self.roles for role in roles if role)


def _works(
    tested: str, up: str = "", down: str = "", roles: Sequence[str] = ROLES
) -> tuple[Work, ...]:
    """Lines of a catalogue, each list divided by semicolons: what may do either, raises, lowers."""
    return tuple(
        Work(words, rises, roles)
        for rises, text in ((None, tested), (True, up), (False, down))
        for words in text.split("; ")
        if words
    )


ANYTHING = _works("A/B test started; new layout tested; new defaults tested; texts rewritten")
"""What may be done to any component."""
TRACKING_WORK = _works(
    "event schema migrated; tracking library upgraded; consent banner replaced; events sent in "
    "batches; tag manager moved; bot filter replaced",
    roles=MEASURED,
)
_ADS = _works(
    "", "marketing budget raised; brand campaign started", "marketing budget cut", ADVERTISED
)
_CHECKOUT = _works(
    "one-page checkout tested; order of delivery options tested; address form rebuilt",
    "delivery fee waived; guest checkout turned on",
    "service fee added; minimum order raised",
)
_PAYMENTS = _works(
    "payment page redesigned; order of payment methods tested",
    "failed payments retried; saved cards turned on",
    "fraud threshold lowered; wallet payment ended",
) + _works("payment provider switched", "", "3-D Secure asked for more often", TECHNICAL)

ORDERING_APP = (
    _ADS
    + _works(
        "push texts tested", "coupons sent by push; reminders turned on", "push messages paused"
    ),
    _works(
        "menu search rebuilt; order of dishes tested; larger dish photos tested",
        "menu opened at start",
        "sign-in asked for before the menu",
    )
    + _works("", "menus loaded ahead", "menu cache turned off", TECHNICAL),
    _works(
        "dish page redesigned; extras dialog tested",
        "one-tap add button; free dessert offered",
        "delivery fee shown earlier; item limits lowered",
    ),
    _CHECKOUT,
    _PAYMENTS,
)

SAAS_TRIAL = (
    _ADS
    + _works("headline tested; landing page tested", "mailing series started", "mailings paused"),
    _works(
        "signup form redesigned; signup texts tested",
        "signup form shortened; trial lengthened",
        "company name made mandatory; credit card asked for",
    ),
    _works(
        "welcome tour tested; setup checklist tested",
        "sample project preloaded; onboarding calls offered",
        "email confirmation required; setup calls ended",
    ),
    _works(
        "invite dialog redesigned; default roles tested",
        "invite reminders turned on; contact import added",
        "guest seats limited; invites need an administrator",
    ),
    _works(
        "price test started; plan comparison tested",
        "annual discount offered; end-of-trial reminder added",
        "list price raised; discount ended",
    )
    + _works("card form rebuilt", "", "value-added tax shown earlier", TECHNICAL),
)

VIDEO_STREAMING = (
    _ADS
    + _works("home rows reordered", "push messages turned on", "newsletter paused; push paused"),
    _works(
        "order of search results tested; larger artwork tested",
        "previews played automatically",
        "synopses hidden; artwork made smaller",
    ),
    _works(
        "title page redesigned; trailer shown first",
        "resume prompt added; play button enlarged",
        "ad break added before the play; profile lock enforced",
    ),
    _works(
        "bitrate ladder tested; buffer target tested",
        "first segments preloaded",
        "more ad breaks; starting bitrate lowered",
    )
    + _works("CDN weights changed; edge cache keys changed", roles=TECHNICAL),
    _works(
        "end cards redesigned; credits skipped by default",
        "reminders to finish added",
        "next-episode countdown shortened; mid-roll ads added",
    ),
)

MARKETPLACE_CHECKOUT = (
    _ADS
    + _works("search box moved", "coupons mailed; price alerts turned on", "newsletter paused"),
    _works(
        "new ranking model tested; filters redesigned",
        "larger result photos; better spelling correction",
        "sponsored results added; fewer results a page",
    ),
    _works(
        "listing page redesigned; review summary tested",
        "bundle offers added; delivery time shown",
        "shipping fee shown earlier; quantity limits added",
    ),
    _CHECKOUT,
    _PAYMENTS,
)
