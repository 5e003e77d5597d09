"""Recording: events, and calls of every port with their answers, without secrets."""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp import ports, speaker
from exavrrp.config import Configuration, Key, KeyFile
from exavrrp.neighbors import Session
from exavrrp.node import ENTRANCES, Node
from exavrrp.ports import AddressError
from exavrrp.recorded import WHOLE, stand_in
from exavrrp.roster import Ports
from exavrrp.routes import Attributes, Route, host_route
from exavrrp.spelling import MOST_KNOWN, Lexicon, Pen
from exavrrp.view import View
from exavrrp.vrrp.packet import Datagram, Reason
from tests.ports import INTERVAL, SOURCE, Rig, given_active, recorder, router, table

PORTS = ("log", "transports", "paths", "addresses", "speaker", "notifier", "memory", "marks", "checks", "authenticator")
KEY = bytes(range(32, 64))
SIGNED = (
    table("authentication.nodes", mode="permissive", active_key=1) + f'keys = {{ 1 = {{ hex = "{KEY.hex()}" }} }}\n'
)

addresses = st.ip_addresses()
sessions = st.builds(Session, addresses, st.none() | addresses)
datagrams = st.builds(Datagram, addresses, addresses, st.integers(0, 255), st.binary(max_size=9))
arrivals = st.builds(
    ports.Arrival, datagrams, st.integers(0, 9), st.floats(0, 1e9), st.none() | st.floats(0, allow_infinity=True)
)
networks = addresses.map(host_route)
routes = st.builds(
    Route,
    networks,
    st.builds(Attributes, st.none() | st.integers(0, 9), neighbors=st.lists(sessions, max_size=2).map(tuple)),
)
texts = st.text(st.characters(codec="utf-8"), max_size=9)
EVENTS: dict[type[Any], st.SearchStrategy[Any]] = {
    ports.Arrived: st.builds(ports.Arrived, addresses, st.lists(arrivals, max_size=3).map(tuple)),
    ports.Discarded: st.builds(ports.Discarded, st.sampled_from(Reason), st.none() | addresses),
    ports.PathsChanged: st.builds(ports.PathsChanged),
    ports.AddressesChanged: st.builds(ports.AddressesChanged),
    ports.AddressRepaired: st.builds(ports.AddressRepaired, addresses),
    ports.Checked: st.builds(
        ports.Checked, texts, st.booleans(), texts, st.floats(0, 9), st.none() | st.integers(-9, 9)
    ),
    ports.Distrusted: st.builds(ports.Distrusted, texts, texts, st.floats(0, 9)),
    ports.DrainAsked: st.builds(ports.DrainAsked, texts, st.booleans()),
    ports.Terminated: st.builds(ports.Terminated),
    ports.Succession: st.builds(ports.Succession),
    ports.End: st.builds(ports.End, texts),
    speaker.Greeted: st.builds(speaker.Greeted, texts, st.booleans()),
    speaker.Neighbor: st.builds(speaker.Neighbor, sessions, st.booleans()),
    speaker.Listed: st.builds(speaker.Listed, sessions, st.booleans()),
    speaker.Configured: st.builds(
        speaker.Configured, st.dictionaries(sessions, st.none() | st.frozensets(st.sampled_from([4, 6])), max_size=2)
    ),
    speaker.Reconfigured: st.builds(speaker.Reconfigured),
    speaker.Answered: st.builds(speaker.Answered, networks, st.none() | routes),
    speaker.Kept: st.builds(speaker.Kept, networks, st.lists(addresses).map(tuple)),
    speaker.Doubted: st.builds(speaker.Doubted, networks),
    speaker.Refused: st.builds(speaker.Refused, networks, texts, st.integers(0, 9)),
    speaker.Silent: st.builds(speaker.Silent, networks, texts, st.integers(0, 9)),
    speaker.Stalled: st.builds(speaker.Stalled, st.floats(0, 9)),
    speaker.Resumed: st.builds(speaker.Resumed),
    speaker.Anomaly: st.builds(speaker.Anomaly, texts),
    speaker.Stopping: st.builds(speaker.Stopping),
    speaker.Disconnected: st.builds(speaker.Disconnected, texts),
}
ALL = ports.Event | speaker.Event


def again(document: Any) -> Any:
    """The value as it is read back from a file."""
    return msgspec.json.decode(msgspec.json.encode(document))


def test_every_event_has_a_strategy() -> None:
    assert EVENTS.keys() | {ports.AddressLost} == set(get_args(ports.Event) + get_args(speaker.Event))


@given(st.lists(st.one_of(*EVENTS.values()), min_size=1, max_size=3))
def test_every_event_comes_back_as_it_was(events: list[Any]) -> None:
    pen, lexicon = Pen(), Lexicon()
    assert [lexicon.read(ALL, again(pen.spelled(one))) for one in (*events, *events)] == [*events, *events]


def test_errors_come_back_as_they_were() -> None:
    pen, lexicon = Pen(), Lexicon()
    lost = ports.AddressLost(SOURCE, AddressError({SOURCE: OSError(16, "busy"), ip_address("192.0.2.1"): OSError("x")}))
    read = lexicon.read(ALL, again(pen.spelled(lost)))
    assert str(read.error) == str(lost.error)
    assert [str(one) for one in read.error.failures.values()] == ["[Errno 16] busy", "x"]
    for error in (ValueError("no\udcff"), KeyError("what"), OSError(1, "not\udcff")):
        back = lexicon.error(again(pen.spelled(error)))
        assert type(back).__name__ == type(error).__name__
        assert str(back) == str(error).replace("\udcff", "\\udcff").replace("\\\\", "\\")


def test_a_value_recorded_twice_is_recorded_by_its_name() -> None:
    pen = Pen()
    [first, second] = [Datagram(SOURCE, SOURCE, 255, payload) for payload in (b"a", b"b")]
    assert pen.spelled(first) == {"Datagram:0": ["2001:db8:ff::11", "2001:db8:ff::11", 255, "61"]}
    assert [pen.spelled(one) for one in (first, Datagram(SOURCE, SOURCE, 255, b"a"))] == ["Datagram:0"] * 2
    assert list(pen.spelled(second)) == ["Datagram:1"]
    for number in range(MOST_KNOWN):
        pen.spelled(Datagram(SOURCE, SOURCE, 255, b"%d" % number))
    assert list(pen.spelled(first)) == ["Datagram:2"], "nobody remembers everything"


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (int, True), (int, "1"), (float, "much"), (str, None), (bytes, "0g"), (ports.Link, ["eth0"]),
        (ports.Link, {"Link": [1]}), (ports.Link, {"Link": {"index": 1}}),
        (ports.Link, {"Sent": [1, "eth0"]}), (ports.Link, "Link:1"),
        (ports.Event, {"Dreamt": []}), (ports.Event, {"End": [7]}), (OSError, {"OSError": [None]}),
        (OSError, {"AddressError": {}}), (tuple[int, int], [1]), (dict[str, int], 7), (int | None, "none"),
        (Reason, "unreasonable"), (ports.Forgotten, {"Forgotten": [[], 7]}),
    ],
)  # fmt: skip
def test_what_is_no_document_of_a_value_is_refused(kind: Any, document: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Lexicon().read(kind, document)
    with pytest.raises(TypeError):
        Lexicon().read(memoryview, document)


# Ports


def methods(contract: Any) -> set[str]:
    """What a port has to have, from its ``Protocol`` as the interpreter sees it."""
    usual = set(dir(Callable)) | {"__parameters__", "__protocol_attrs__", "__subclasshook__", "__annotations__"}
    return {one for one in dir(contract) if not one.startswith("_")} | (
        {"__getitem__", "__setitem__"} & set(dir(contract)) - usual
    )


def test_every_method_of_every_port_is_recorded() -> None:
    hints = get_type_hints(Ports)
    unrecorded = {"clock", "realtime", "forgotten", "changed", "record", "entrance", "enter", "beacons"}
    assert {*unrecorded, *PORTS} == {one.name for one in fields(Ports)}
    contracts = {name: hints[name] for name in PORTS} | {"transport": ports.Transport, "path": ports.Paths}
    for name, contract in contracts.items():
        assert methods(contract) <= set(vars(stand_in(contract, name))), name
    known = {f"{name}.{method.strip('_')}" for name, contract in contracts.items() for method in methods(contract)}
    assert known >= WHOLE


def test_every_entrance_can_be_read_again() -> None:
    assert ENTRANCES.keys() == {"handle", "start", "reconfigure", "count", "write_note", "clear", "close"}


# Secrets


def test_no_key_is_in_a_recording() -> None:
    lines: list[bytes] = []
    rig = given_active(router(authentication="nodes"), SIGNED, make=recorder(lines))
    rig.reconfigure(router(authentication="nodes", priority=100), SIGNED)
    rig.hear(250).after(3.0)
    found = b"".join(lines)
    assert b"authentication" in found
    for spelled in (KEY, KEY.hex().encode(), b64encode(KEY), json.dumps(KEY.decode("latin-1")).encode()[1:-1]):
        for part in (spelled, spelled[: len(spelled) // 2], spelled.upper()):
            assert part not in found


def test_the_same_secret_is_the_same_stand_in() -> None:
    pen, lexicon = Pen(), Lexicon()
    other = SIGNED.replace(KEY.hex(), "77" * 32)
    configurations = [Rig(router(authentication="nodes"), one).configuration for one in (SIGNED, other, SIGNED)]
    read = [lexicon.read(Configuration, again(pen.spelled(one))) for one in configurations]
    assert read[0] == read[2] != read[1]
    for number in (0, -1, 1 << 40, True, "7"):
        document = again(pen.spelled(configurations[0]))
        [authentication] = document["Configuration"]["authentications"]
        authentication["Authentication"]["keys"][0]["Key"][2] = number
        with pytest.raises(ValueError, match="belong"):
            lexicon.read(Configuration, document)


def test_a_key_that_was_not_read_stays_so() -> None:
    key = Key(1, KeyFile("/run/key"), None)
    assert Lexicon().read(Key, again(Pen().spelled(key))) == key


def test_a_set_is_recorded_in_one_order() -> None:
    names = [f"web{number}" for number in range(10, 40)]
    assert Pen().spelled(frozenset(names)) == names


def test_what_has_no_spelling_is_spelled_as_its_text() -> None:
    assert Pen().spelled(Path("/run/key")) == "/run/key"


# What is not noted


def test_what_a_view_asks_is_not_noted() -> None:
    lines: list[bytes] = []
    rig = given_active(make=recorder(lines))
    before = len(lines)
    assert rig.node.view().routers[0].role == "active"
    assert len(lines) == before


def test_what_is_looked_at_when_something_has_changed_is_not_noted() -> None:
    """The control socket asks for a View then, which asks the ports."""
    plain: list[bytes] = []
    given_active(make=recorder(plain)).hear(250).after(1.0)
    looked: list[bytes] = []
    views: list[View] = []

    def make(configuration: Configuration, given: Ports) -> Node:
        return recorder(looked)(configuration, replace(given, changed=lambda: views.append(rig.node.view())))

    rig = Rig(make=make)
    rig.start().session().after(4 * INTERVAL).hear(250).after(1.0)
    assert views
    assert looked == plain
