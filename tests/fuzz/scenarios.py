"""What ``exavrrp simulate`` is to play, in words."""

from collections.abc import Mapping

from exavrrp.simulation import scenario
from exavrrp.simulation.scenario import USAGE, Known, Unreadable
from tests.fuzz.reader import Reader

KNOWN = Known(
    interfaces={"node1": ("eth0", "eth1"), "node2": ("eth0", "eth1")},
    checks={"node1": ("web",), "node2": ()},
    routers={"node1": ("web",), "node2": ("web",)},
)


def words(data: bytes) -> None:
    """A scenario with what is expected of it; what was read is read again from its own words."""
    text = data.decode("utf-8", "replace")
    try:
        read = scenario.read(text, KNOWN)
    except Unreadable as error:
        assert error.slips
        assert all(slip.message.isprintable() and len(slip.message) < 500 for slip in error.slips)
        assert [slip.line for slip in error.slips] == sorted(slip.line for slip in error.slips)
        return
    again = [f"at {scenario.shown(event.at)} {event}" for event in read.events]
    assert scenario.read("\n".join(again), KNOWN).events == read.events
    for one in read.expectations:
        assert scenario.expectation(str(one), KNOWN) == one


def _scenarios() -> list[bytes]:
    plays = [
        "at 10s kill node1; at 1m30s start node1 # and back\nexpect web: node2 within 400ms",
        "at 0.5s fail check web on node1\nat 1s pass web on node1\nexpect web: no outage after 2s",
        "at 10s cut node1 eth0\nat 11s mend node1\nat 12s drain node1 web\nexpect web: outage at most 1s",
        "at 10s partition node1 node2; at 12s rejoin node1; at 13s freeze exabgp on node2; at 1h reload node1 new.toml",
    ]
    return [play.encode() for play in plays]


def _words() -> list[bytes]:
    return [one.encode() for usage in USAGE.values() for one in usage.replace(",", "").split()]


READERS: Mapping[str, Reader] = {"scenario": Reader(words, _scenarios, _words)}
