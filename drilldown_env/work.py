"""What is done to each component, in the words of a change log.

Each line says which way it can move what the component is for, whom it can be limited to, and
whether it can be rolled back: nobody shows an ad to one release, and no campaign is taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

ROLES = ("place", "device", "release", "source", "people", "plan", "page")
"""What an attribute of people can be about; a plan is what they have bought."""
PLACE, DEVICE, RELEASE, SOURCE, PEOPLE, PLAN, PAGE = ROLES
ADVERTISED = (PLACE, DEVICE, SOURCE, PEOPLE, PLAN, PAGE)
"""Whom advertising reaches."""
WRITTEN_TO = (PLACE, PEOPLE, PLAN)
OFFERED = (PLACE, SOURCE, PEOPLE, PLAN, PAGE)
"""Whom prices, offers and conditions are for."""
BUILT = (PLACE, DEVICE, RELEASE, PLAN)
"""Whom software, and the events that it sends, are rolled out to."""


@dataclass(frozen=True)
class Work:
    """Something that is done to a component.

    Attributes:
        words: what the log says; {} stands for the stage whose events are meant.
        rises: whether what the component is for rises by it; None where it may do either.
        roles: of the attributes that it can be limited to.
        undone: whether it can be rolled back.
    """

    words: str
    rises: bool | None
    roles: Sequence[str]
    undone: bool

    def suits(self, roles: Sequence[str], directions: Collection[bool] = ()) -> bool:
        """Whether it can be for such people, and move them in these directions.

        Args:
            roles: of the attributes that the people share; "" suits anything.
            directions: of what it is to blame for.
        """
        able = self.rises is None or all(rises == self.rises for rises in directions)
        return able and all(role in self.roles for role in roles if role)


def _works(
    roles: Sequence[str], either: str = "", up: str = "", down: str = "", *, undone: bool = True
) -> tuple[Work, ...]:
    """Lines of a catalogue, each list divided by semicolons: what may do either, raises, lowers."""
    return tuple(
        Work(words, rises, roles, undone)
        for rises, text in ((None, either), (True, up), (False, down))
        for words in text.split("; ")
        if words
    )


ANYTHING = _works(
    ROLES, "A/B test started; new layout tested; new defaults tested; texts rewritten"
)
"""What may be done to any component."""
TRACKING_WORK = _works(
    BUILT,
    "event schema of {} migrated; {} recorded by the server; {} recorded in batches; "
    "double {} filtered out; recording of {} rewritten",
)
MARKETING = _works(
    ADVERTISED,
    "media mix rebalanced; campaigns retargeted",
    "marketing budget raised; brand campaign started",
    "marketing budget cut; brand campaign ended",
    undone=False,
) + _works(WRITTEN_TO, "", "newsletter sent; reminders sent", "newsletter paused", undone=False)
_CHECKOUT = (
    _works(ROLES, "one-page checkout tested; order of delivery options tested")
    + _works(OFFERED, "", "delivery fee waived", "service fee added; minimum order raised")
    + _works(BUILT, "address form rebuilt", "guest checkout turned on", "phone number asked for")
)
_PAYMENTS = _works(ROLES, "payment page tested; order of payment methods tested") + _works(
    BUILT,
    "payment provider switched",
    "failed payments retried; saved cards turned on",
    "fraud threshold lowered; 3-D Secure asked for more often",
)

ORDERING_APP = (
    MARKETING,
    _works(ROLES, "order of dishes tested; larger dish photos tested")
    + _works(
        BUILT,
        "menu search rebuilt",
        "menu opened at start; menus loaded ahead",
        "sign-in asked for before the menu; menu cache turned off",
    ),
    _works(ROLES, "dish page tested; extras dialog tested")
    + _works(OFFERED, "", "free dessert offered", "delivery fee shown earlier; item limits lowered")
    + _works(BUILT, "", "one-tap add button added", "extras asked for before adding"),
    _CHECKOUT,
    _PAYMENTS,
)

SAAS_TRIAL = (
    MARKETING,
    _works(ROLES, "signup form tested; signup texts tested")
    + _works(OFFERED, "", "trial lengthened", "credit card asked for")
    + _works(BUILT, "sign-in page rebuilt", "signup form shortened", "company name made mandatory"),
    _works(ROLES, "welcome tour tested; setup checklist tested")
    + _works(OFFERED, "", "onboarding calls offered", "onboarding calls limited")
    + _works(BUILT, "", "sample project preloaded", "email confirmation required"),
    _works(ROLES, "invite dialog tested; default roles tested")
    + _works(OFFERED, "", "free guest seats added", "guest seats limited")
    + _works(BUILT, "", "contact import added", "invites limited to administrators"),
    _works(ROLES, "prices tested; plan comparison tested")
    + _works(OFFERED, "", "annual discount offered", "list price raised")
    + _works(BUILT, "card form rebuilt", "end-of-trial reminder added", "tax shown earlier"),
)

VIDEO_STREAMING = (
    MARKETING,
    _works(ROLES, "order of home rows tested; larger artwork tested")
    + _works(
        BUILT, "search rebuilt", "previews played automatically", "synopses hidden; rows shortened"
    ),
    _works(ROLES, "title page tested; trailer shown first")
    + _works(BUILT, "", "resume prompt added; play button enlarged", "profile lock enforced")
    + _works(OFFERED, "", "free episodes offered", "ad break added before the play"),
    _works(ROLES, "bitrate ladder tested; buffer target tested")
    + _works(OFFERED, "", "ad breaks shortened", "ad breaks added")
    + _works(
        BUILT,
        "CDN weights changed; edge cache keys changed",
        "first segments preloaded",
        "starting bitrate lowered",
    ),
    _works(ROLES, "end cards tested; skipping of credits tested")
    + _works(OFFERED, "", "late ad breaks dropped", "mid-roll ads added")
    + _works(BUILT, "", "resume reminders added", "next-episode countdown shortened"),
)

MARKETPLACE_CHECKOUT = (
    MARKETING,
    _works(ROLES, "new ranking model tested; filters tested")
    + _works(OFFERED, "", "price labels added", "sponsored results added")
    + _works(BUILT, "result list rebuilt", "spelling correction added", "result pages shortened"),
    _works(ROLES, "listing page tested; review summary tested")
    + _works(OFFERED, "", "bundle offers added", "shipping fee shown earlier; quantities limited")
    + _works(BUILT, "", "delivery time shown", "sign-in asked for before the basket"),
    _CHECKOUT,
    _PAYMENTS,
)
