"""The counters of a node as lines of its log: everything that its View has counted, and nothing else."""

from typing import Any

from exavrrp import ports
from exavrrp.counters import events
from exavrrp.vrrp.packet import Reason
from tests.ports import LINKS, OTHER, PEER, SOURCE, Rig, given_active, given_backup, router
from tests.test_reception import Peer as SigningPeer
from tests.test_reception import guarded


def lines(rig: Rig, event: str) -> list[dict[str, Any]]:
    return [fields for name, fields in events(rig.node.view()) if name == event]


def test_the_line_of_the_node_is_the_last() -> None:
    rig = given_active(router(), router(2))
    assert [name for name, _ in events(rig.node.view())] == [
        "counters-wire",
        "counters-router",
        "counters-router",
        "counters-notify",
        "counters",
    ]


def test_a_router_counts_its_adverts_and_the_copies_on_each_path() -> None:
    rig = given_backup()
    rig.hear(250, interface=2).hear(0, interface=2)
    assert lines(rig, "counters-router") == [
        {
            "router": "web",
            "role": "backup",
            "adverts": {"received": 3, "received-priority-zero": 1},
            "copies": {f"{PEER} eth0": 1, f"{PEER} eth1": 2},
            "authentication": {},
        }
    ]
    rig.after(10)
    (line,) = lines(rig, "counters-router")
    assert (line["role"], line["adverts"]["sent"]) == ("active", rig.done.count("send web 200"))


def test_an_interface_that_was_made_anew_counts_as_one() -> None:
    rig = given_backup()
    rig.paths.links = (ports.Link(7, "eth0"), *LINKS[1:])
    rig.handle(ports.PathsChanged()).hear(250, interface=7)
    (line,) = lines(rig, "counters-router")
    assert line["copies"] == {f"{PEER} eth0": 2}


def test_what_was_verified_and_refused_is_counted_by_peer() -> None:
    rig = Rig(*guarded()).start()
    rig.hear(250)
    SigningPeer(rig).speaks()
    web, web2 = lines(rig, "counters-router")
    assert (web["authentication"], web2["authentication"]) == ({str(PEER): {"signed": 1, "unsigned": 0}}, {})
    assert lines(rig, "counters") == [{"rejected": {"auth-missing": 1}}]
    assert rig.node.view().refused == {str(PEER): {"auth-missing": 1}}
    rig.handle(ports.Discarded(Reason.LENGTH, PEER))
    assert rig.node.view().refused == {str(PEER): {"auth-missing": 1}}


def test_the_wires_count_by_peer_and_interface() -> None:
    rig = Rig()
    counters = rig.transport.counters
    counters.sent.update({(PEER, "eth0"): 3, (OTHER, ""): 2})
    counters.failed.update({(PEER, "eth0", "ENETDOWN"): 1, (OTHER, "eth1", "ENODEV"): 4, (OTHER, "eth1", "EPERM"): 5})
    counters.overflowed, counters.unread = 6, 7
    counters.received.update({1: 8, 2: 9})
    counters.receive_errors["ENOMEM"] = 1
    assert lines(rig, "counters-wire") == [
        {
            "source": str(SOURCE),
            "overflowed": 6,
            "unread": 7,
            "sent": {f"{PEER} eth0": 3, str(OTHER): 2},
            "failed": {f"{PEER} eth0 ENETDOWN": 1, f"{OTHER} eth1 ENODEV": 4, f"{OTHER} eth1 EPERM": 5},
        }
    ]
    (source,) = rig.node.view().sources
    assert (source.received, source.receive_errors) == (17, {"ENOMEM": 1})
    assert [(one.peer, one.interface, one.sent) for one in source.links] == [
        (str(PEER), "eth0", 3),
        (str(OTHER), "", 2),
        (str(OTHER), "eth1", 0),
    ]


def test_notify_programs_count_their_notifications() -> None:
    rig = Rig()
    rig.notifier.counted = {"web": {"done": 2}, "/run/fifo": {"dropped": 1}}
    assert lines(rig, "counters-notify") == [{"notify": {"web": {"done": 2}, "/run/fifo": {"dropped": 1}}}]
