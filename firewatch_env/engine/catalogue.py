"""The services that incidents are made of, and who calls whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

Kind = Literal["proxy", "app", "store", "cache", "job"]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What a service is on an ordinary day.

    Attributes:
        base: seconds a request spends here without using a CPU.
        cpu: CPU seconds a request costs.
        memory: megabytes of a pod in use.
        calls: callees with the calls per request.
    """

    name: str
    kind: Kind
    base: float
    cpu: float
    memory: int
    calls: tuple[tuple[str, float], ...]


def _parse(line: str) -> Blueprint:
    name, kind, base, cpu, memory, *calls = line.split()
    pairs = [each.removeprefix("?").split(":") for each in calls]
    return Blueprint(
        name,
        cast("Kind", kind),
        int(base) / 1000,
        int(cpu) / 1000,
        int(memory),
        tuple((callee, float(rate)) for callee, rate in pairs),
    )


# name kind base(ms) cpu(ms) memory(MB) callee:calls-per-request …, with "?" where the caller can do
# without the callee
_TABLE = """
web-gateway proxy 2 2 300 storefront-api:0.8 session-api:0.5 ?banner-api:0.3
mobile-gateway proxy 2 2 300 mobile-bff:1 session-api:0.6
partner-gateway proxy 2 2 280 partner-api:1 ?audit-api:0.05
storefront-api app 6 5 700 edge-mesh:1 search-api:0.5 ?recommend-api:0.4 ?audit-api:0.05
mobile-bff app 5 5 650 edge-mesh:1 profile-api:0.7 ?recommend-api:0.3 ?banner-api:0.2
partner-api app 6 5 600 edge-mesh:1 catalog-api:0.6 quota-api:1
edge-mesh proxy 1 1 250 checkout-api:0.35 cart-api:0.6 catalog-api:0.8
session-api app 4 3 500 session-cache:1 auth-api:0.3
auth-api app 5 4 520 identity-db:0.6 token-cache:1 key-service:0.2
key-service app 4 3 380 secrets-store:0.5
checkout-api app 8 6 800 service-mesh:1 cart-api:0.5 payment-api:0.6
service-mesh proxy 1 1 250 order-api:0.9 pricing-api:1 inventory-api:0.8
cart-api app 5 4 600 cart-cache:1 cart-db:0.3 pricing-api:0.4
order-api app 7 6 760 order-db:1.2 order-queue:0.5 ?notify-api:0.2
payment-api app 8 5 640 payment-proxy:1 ledger-api:0.5 fraud-api:0.7
payment-proxy proxy 2 1 220 bank-adapter:1
bank-adapter app 9 4 420 bank-db:0.4 key-service:0.1
fraud-api app 7 7 900 feature-store:1 ?scoring-api:0.6
scoring-api app 9 8 1100 model-cache:1
ledger-api app 6 5 700 ledger-db:1.1 ?audit-api:0.05
inventory-api app 5 4 600 stock-proxy:1 inventory-cache:1
stock-proxy proxy 1 1 200 stock-db:0.4 warehouse-api:0.3
warehouse-api app 7 5 560 warehouse-db:0.8
pricing-api app 5 5 620 price-cache:1 price-db:0.15 ?promo-api:0.4
promo-api app 6 4 480 promo-db:0.5
catalog-api app 6 5 800 catalog-cache:1 catalog-db:0.15 media-api:0.3
media-api app 5 4 520 media-store:0.6
search-api app 8 7 1200 index-proxy:1 catalog-cache:0.4
index-proxy proxy 1 1 240 search-index:1
recommend-api app 8 7 1000 feature-store:0.8 model-cache:0.5
profile-api app 5 4 540 profile-db:0.7 session-cache:0.5
quota-api app 3 2 300 quota-cache:1
banner-api app 4 3 360 media-store:0.3
notify-api app 5 4 420 mail-queue:0.5
audit-api app 4 3 400 audit-store:0.5
order-queue job 4 3 600 order-db:0.05
mail-queue job 4 3 400
session-cache cache 1 1 2000
token-cache cache 1 1 1500
cart-cache cache 1 1 1800
price-cache cache 1 1 2200
catalog-cache cache 1 1 2600
inventory-cache cache 1 1 1700
model-cache cache 1 1 2400
quota-cache cache 1 1 900
identity-db store 4 3 3000
secrets-store store 4 3 900
cart-db store 4 3 2600
order-db store 5 3 4200
bank-db store 5 3 2400
feature-store store 4 3 3600
ledger-db store 5 3 3800
stock-db store 4 3 3000
warehouse-db store 5 3 2800
price-db store 4 3 2200
promo-db store 4 3 1600
catalog-db store 4 3 3200
media-store store 4 2 2000
search-index store 6 4 4600
profile-db store 4 3 2700
audit-store store 4 2 1500
"""

_LINES = _TABLE.strip().splitlines()
CATALOGUE = {made.name: made for made in map(_parse, _LINES)}

ENTRIES = ("web-gateway", "mobile-gateway", "partner-gateway")
OPTIONAL_CALLS = frozenset(
    (name, call[1:].split(":")[0])
    for name, *calls in map(str.split, _LINES)
    for call in calls
    if call.startswith("?")
)
CALLERS: dict[str, tuple[str, ...]] = {
    name: tuple(
        other.name for other in CATALOGUE.values() if name in {callee for callee, _ in other.calls}
    )
    for name in CATALOGUE
}
# Stores read only on a miss of a cache that the same caller asks first.
BEHIND = {
    "cart-db": "cart-cache",
    "price-db": "price-cache",
    "catalog-db": "catalog-cache",
    "identity-db": "token-cache",
}
USUAL_HITS = 0.92
_ORDERS = (
    "gift cards", "vouchers", "bulk orders", "subscriptions", "returns", "pre-orders",
    "gift wrapping", "guest checkout", "express delivery", "store pickup", "bundles", "reviews",
    "wish lists", "price alerts",
)  # fmt: skip
_IDENTITY = (
    "password logins", "single sign-on", "guest sessions", "app tokens", "partner tokens",
    "password resets", "login codes", "social logins", "staff logins", "new accounts",
    "linked devices", "address changes", "token renewals", "log-outs",
)  # fmt: skip
_PAYMENTS = (
    "credit cards", "debit cards", "direct debits", "invoices", "instalments", "refunds",
    "gift cards", "chargebacks", "bank transfers", "wallets", "subscriptions", "pre-authorisations",
    "partner payouts", "currency exchange",
)  # fmt: skip
_PRODUCTS = (
    "books", "shoes", "toys", "groceries", "garden tools", "furniture", "laptops", "phones",
    "cosmetics", "jewellery", "sportswear", "spare parts", "bundles", "second-hand goods",
)  # fmt: skip
_FEATURES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "session-api", "session-cache", "auth-api", "identity-db", "token-cache",
            "key-service", "secrets-store", "quota-api", "quota-cache", "profile-api",
            "profile-db", "audit-api", "audit-store",
        ),
        _IDENTITY,
    ),
    **dict.fromkeys(
        (
            "payment-api", "payment-proxy", "bank-adapter", "bank-db", "fraud-api",
            "scoring-api", "ledger-api", "ledger-db",
        ),
        _PAYMENTS,
    ),
    **dict.fromkeys(
        (
            "inventory-api", "inventory-cache", "stock-proxy", "stock-db", "warehouse-api",
            "warehouse-db", "pricing-api", "price-cache", "price-db", "promo-api", "promo-db",
            "catalog-api", "catalog-cache", "catalog-db", "media-api", "media-store",
            "search-api", "index-proxy", "search-index", "recommend-api", "feature-store",
            "model-cache", "banner-api",
        ),
        _PRODUCTS,
    ),
}  # fmt: skip
"""By service; those that are not named deal with orders."""


def features_of(service: str) -> tuple[str, ...]:
    """What a request to a service can be about, always as many; it deals with four of these."""
    return _FEATURES.get(service, _ORDERS)


def ordered(names: set[str]) -> list[str]:
    """These services, every caller before its callees."""
    left, result = sorted(names), []
    while left:
        ready = [name for name in left if not any(c in left for c in CALLERS[name])]
        result += ready
        left = [name for name in left if name not in ready]
    return result
