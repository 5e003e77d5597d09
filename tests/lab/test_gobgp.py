"""GoBGP in the lab: its configuration, what it says, and the routes that the kernel gets of it."""

import json
import tomllib
from typing import Any

import pytest

from lab import gobgp
from lab.addressing import FAMILIES, SERVERS, TORS, ServerAS, site
from lab.instruments import fib
from lab.routers import sessions

VIP = "2001:db8:53::1/128"


def route(hop: str, **more: bool) -> dict[str, Any]:
    """As ``gobgp -j`` of 3.10 writes it, shortened."""
    path = {"type": 2, "as_paths": [{"segment_type": 2, "num": 2, "asns": [65010, 65010]}]}
    attributes = [{"type": 1, "value": 0}, path, {"type": 14, "nexthop": hop, "afi": 2, "safi": 1}]
    return {"nlri": {"prefix": VIP}, "best": False, "attrs": attributes, "neighbor-ip": hop} | more


@pytest.mark.parametrize(("server_as", "compares"), [("one", False), ("distinct", True), ("routers", False)])
def test_a_tor_has_a_session_to_each_neighbor_and_tells_servers_nothing(server_as: ServerAS, compares: bool) -> None:
    place = site("rack", server_as)
    found = [one for family in FAMILIES for one in sessions(place, TORS[0], family)]
    read = tomllib.loads(gobgp.configuration(place, TORS[0], found, hold=9))
    assert read["global"]["route-selection-options"]["config"]["always-compare-med"] is compares
    neighbors = {one["config"]["neighbor-address"]: one for one in read["neighbors"]}
    assert neighbors.keys() == {str(remote) for _, _, remote in found}
    servers = {str(remote) for peer, _, remote in found if peer in SERVERS}
    assert set(read["defined-sets"]["neighbor-sets"][0]["neighbor-info-list"]) == servers
    assert all(len(one["afi-safis"]) == (2 if address in servers else 1) for address, one in neighbors.items())
    assert {one["timers"]["config"]["keepalive-interval"] for one in neighbors.values()} == {3}


def test_its_answers_are_read() -> None:
    said = json.dumps([route("fe80::2"), route("fe80::1", best=True)])
    assert gobgp.path(said) == (65010, 65010)
    assert gobgp.candidates(said, {"fe80::1": "node1", "fe80::2": "node2", "fe80::3": "node3"}) == {"node1", "node2"}
    for nothing in ("", "[]", "{}"):
        assert (gobgp.path(nothing), gobgp.candidates(nothing, {})) == ((), set())


@pytest.mark.parametrize(
    ("said", "orders"),
    [
        ([route("fe80::1")], [f"replace {VIP} via fe80::1"]),
        ([route("fe80::1", withdrawal=True)], [f"del {VIP}"]),
        ([route("::")], []),
        ({VIP: [route("fe80::2"), route("fe80::1", best=True)]}, [f"replace {VIP} via fe80::1"]),
        ([], []),
    ],
    ids=["better", "gone", "its own", "at the start", "nothing"],
)
def test_the_kernel_gets_its_best_routes(said: object, orders: list[str]) -> None:
    assert list(fib.orders(json.dumps(said))) == [f"route {order} proto bgp" for order in orders]
