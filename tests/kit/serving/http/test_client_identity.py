"""Client addresses."""

from __future__ import annotations

from typing import Any

import pytest

from openenv_kit.serving.http.client_identity import get_client_address_or_ipv6_network


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        (("203.0.113.7", 4711), "203.0.113.7"),
        (("::ffff:203.0.113.7", 1), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::", 1), "2001:db8:1:2::/64"),
        (("testclient", 1), "testclient"),
        (("", 0), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(peer: Any, key: str) -> None:
    assert get_client_address_or_ipv6_network(peer) == key
