"""What is done to each component, in the words of a change log.

A catalogue is a text: a paragraph for each component, whose lines say whom work can be limited to,
which way it moves what the component is for (+ up, - down, ~ either), and what was done. Nobody
shows an ad to one release, and no campaign is rolled back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

ROLES = ("place", "device", "release", "source", "people", "plan", "page")
"""What an attribute of people can be about; a plan is what they have bought."""
PLACE, DEVICE, RELEASE, SOURCE, PEOPLE, PLAN, PAGE = ROLES
AUDIENCES = {
    "anyone": {"", *ROLES},
    "advertised": {"", PLACE, DEVICE, SOURCE, PEOPLE, PLAN, PAGE},
    "written": {"", PLACE, PEOPLE, PLAN},
    "offered": {"", PLACE, SOURCE, PEOPLE, PLAN, PAGE},
    "built": {"", PLACE, DEVICE, RELEASE, PLAN},
}
"""Whom work can be limited to, by the attributes: whom advertising reaches, mailings are written
to, prices and conditions are for, software and the events that it sends are rolled out to."""
_DIRECTIONS = {"~": None, "+": True, "-": False}


@dataclass(frozen=True)
class Work:
    """Something that is done to a component.

    Attributes:
        words: what the log says; {} stands for the stage whose events are meant.
        rises: whether what the component is for rises by it; None where it may do either.
        audience: whom it can be limited to, one of `AUDIENCES`.
    """

    words: str
    rises: bool | None
    audience: str

    @property
    def final(self) -> bool:
        """Whether it cannot be rolled back."""
        return self.audience in ("advertised", "written")

    def suits(self, roles: Sequence[str], directions: Collection[bool] = ()) -> bool:
        """Whether it can be for such people, and move them in these directions.

        Args:
            roles: of the attributes that the people share; "" suits anything.
            directions: of what it is to blame for.
        """
        able = self.rises is None or all(rises == self.rises for rises in directions)
        return able and AUDIENCES[self.audience].issuperset(roles)


def _works(catalogue: str) -> tuple[tuple[Work, ...], ...]:
    """What a catalogue lists for each component."""
    return tuple(
        tuple(
            Work(words, _DIRECTIONS[direction], audience)
            for audience, direction, text in (line.split(" ", 2) for line in lines.splitlines())
            for words in text.split("; ")
        )
        for lines in catalogue.strip().split("\n\n")
    )


(ANYTHING,) = _works(
    "anyone ~ A/B test started; new layout tested; new defaults tested; texts rewritten"
)
"""What may be done to any component."""
(TRACKING_WORK,) = _works("""
built ~ event schema of {} migrated; {} recorded by the server; {} recorded in batches
built ~ double {} filtered out; recording of {} rewritten
""")
_MARKETING = """
advertised ~ media mix rebalanced; campaigns retargeted
advertised + marketing budget raised; brand campaign started
advertised - marketing budget cut; brand campaign ended
written + newsletter sent; reminders sent
written - newsletter paused
"""
_CHECKOUT = """
anyone ~ one-page checkout tested; order of delivery options tested
offered + delivery fee waived
offered - service fee added; minimum order raised
built ~ address form rebuilt
built + guest checkout turned on
built - phone number asked for
"""
_PAYMENTS = """
anyone ~ payment page tested; order of payment methods tested
built ~ payment provider switched
built + failed payments retried; saved cards turned on
built - fraud threshold lowered; 3-D Secure asked for more often
"""

ORDERING_APP = _works(
    _MARKETING
    + """
anyone ~ order of dishes tested; larger dish photos tested
built ~ menu search rebuilt
built + menu opened at start; menus loaded ahead
built - sign-in asked for before the menu; menu cache turned off

anyone ~ dish page tested; extras dialog tested
offered + free dessert offered
offered - delivery fee shown earlier; item limits lowered
built + one-tap add button added
built - extras asked for before adding
"""
    + _CHECKOUT
    + _PAYMENTS
)

SAAS_TRIAL = _works(
    _MARKETING
    + """
anyone ~ signup form tested; signup texts tested
offered + trial lengthened
offered - credit card asked for
built ~ sign-in page rebuilt
built + signup form shortened
built - company name made mandatory

anyone ~ welcome tour tested; setup checklist tested
offered + onboarding calls offered
offered - onboarding calls limited
built + sample project preloaded
built - email confirmation required

anyone ~ invite dialog tested; default roles tested
offered + free guest seats added
offered - guest seats limited
built + contact import added
built - invites limited to administrators

anyone ~ prices tested; plan comparison tested
offered + annual discount offered
offered - list price raised
built ~ card form rebuilt
built + end-of-trial reminder added
built - tax shown earlier
"""
)

VIDEO_STREAMING = _works(
    _MARKETING
    + """
anyone ~ order of home rows tested; larger artwork tested
built ~ search rebuilt
built + previews played automatically
built - synopses hidden; rows shortened

anyone ~ title page tested; trailer shown first
built + resume prompt added; play button enlarged
built - profile lock enforced
offered + free episodes offered
offered - ad break added before the play

anyone ~ bitrate ladder tested; buffer target tested
offered + ad breaks shortened
offered - ad breaks added
built ~ CDN weights changed; edge cache keys changed
built + first segments preloaded
built - starting bitrate lowered

anyone ~ end cards tested; skipping of credits tested
offered + late ad breaks dropped
offered - mid-roll ads added
built + resume reminders added
built - next-episode countdown shortened
"""
)

MARKETPLACE_CHECKOUT = _works(
    _MARKETING
    + """
anyone ~ new ranking model tested; filters tested
offered + price labels added
offered - sponsored results added
built ~ result list rebuilt
built + spelling correction added
built - result pages shortened

anyone ~ listing page tested; review summary tested
offered + bundle offers added
offered - shipping fee shown earlier; quantities limited
built + delivery time shown
built - sign-in asked for before the basket
"""
    + _CHECKOUT
    + _PAYMENTS
)
