"""What change-log entries say: the work on each component, by whom it can be limited to.

A catalogue is a text with one paragraph for each step of a product. Each line names an audience and
lists kinds of work: a price can be changed for a region, but a release goes to a platform or an app
version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a dimension is about."""

    PLACE = "place"
    DEVICE = "device"
    RELEASE = "release"
    SOURCE = "source"
    PEOPLE = "people"
    PLAN = "plan"
    PAGE = "page"


AUDIENCES: dict[str, frozenset[Role]] = {
    "anyone": frozenset(Role),
    "offered": frozenset({Role.PLACE, Role.SOURCE, Role.PEOPLE, Role.PLAN, Role.PAGE}),
    "built": frozenset({Role.PLACE, Role.DEVICE, Role.RELEASE, Role.PLAN}),
}
"""Roles of the dimensions by which work can be limited. Work for everybody suits any audience."""


@dataclass(frozen=True)
class Work:
    """One kind of work on a component.

    Attributes:
        text: what the change log says.
        audience: whom the work can be limited to, a key of `AUDIENCES`.
    """

    text: str
    audience: str

    def suits(self, roles: Iterable[Role]) -> bool:
        """Return whether the work can be limited by dimensions with these roles."""
        return AUDIENCES[self.audience].issuperset(roles)


def parse_catalogue(catalogue: str) -> tuple[tuple[Work, ...], ...]:
    """Return the work on each step's component."""
    return tuple(
        tuple(
            Work(text, audience)
            for audience, _, texts in (line.partition(" ") for line in paragraph.splitlines())
            for text in texts.split("; ")
        )
        for paragraph in catalogue.strip().split("\n\n")
    )


_CHECKOUT = """
anyone one-page checkout tested; order of delivery options tested; checkout texts rewritten
offered service fee added; minimum order raised; delivery fee changed
built address form rebuilt; phone number made mandatory; guest checkout turned off
"""

ORDERING_APP = parse_catalogue(
    """
anyone dish page tested; extras dialog tested; order of dishes tested
offered delivery fee shown earlier; item limits lowered; free dessert ended
built extras asked for before adding; menu search rebuilt; sign-in asked for before the cart
"""
    + _CHECKOUT
    + """
anyone payment page tested; order of payment methods tested; receipt texts rewritten
offered cash payment ended; tip suggested; card surcharge added
built payment provider switched; fraud threshold lowered; 3-D Secure asked for more often
"""
)

SAAS_TRIAL = parse_catalogue("""
anyone signup form tested; signup texts tested; pricing page tested
offered trial shortened; credit card asked for; list price shown first
built sign-in page rebuilt; company name made mandatory; single sign-on enforced

anyone welcome tour tested; setup checklist tested; default roles tested
offered onboarding calls limited; sample project removed; guest seats limited
built email confirmation required; contact import rebuilt; setup steps reordered

anyone prices tested; plan comparison tested; upgrade page tested
offered list price raised; annual discount ended; seat minimum raised
built card form rebuilt; tax shown earlier; invoice address made mandatory
""")

VIDEO_STREAMING = parse_catalogue("""
anyone order of home rows tested; larger artwork tested; row titles rewritten
offered trailers removed; catalogue reduced; ads shown on the home page
built search rebuilt; synopses hidden; home rows shortened

anyone title page tested; trailer shown first; play button moved
offered ad break added before the play; profile choice asked for; free episodes ended
built profile lock enforced; sign-in page rebuilt; device limit checked

anyone bitrate ladder tested; buffer target tested; subtitle defaults tested
offered ad breaks added; mid-roll ads lengthened; picture quality limited
built CDN weights changed; edge cache keys changed; starting bitrate lowered
""")

MARKETPLACE_CHECKOUT = parse_catalogue(
    """
anyone new ranking model tested; filters tested; result cards tested
offered sponsored results added; price labels removed; shipping costs shown in results
built result list rebuilt; result pages shortened; image sizes changed

anyone listing page tested; review summary tested; basket button moved
offered shipping fee shown earlier; quantities limited; bundle offers ended
built sign-in asked for before the basket; delivery time hidden; listing page rebuilt
"""
    + _CHECKOUT
)
