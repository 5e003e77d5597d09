"""What ``exavrrp status`` prints: every line of it, from the View of a whole node."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from exavrrp import ports, speaker
from exavrrp.cli import style
from exavrrp.cli.details import details
from exavrrp.cli.overview import overview, state
from exavrrp.control import StatusAnswer
from exavrrp.findings import clock, findings
from exavrrp.ports import Link
from exavrrp.view import Lateness, Outcome, SessionView, View
from tests.beacon.nodes import active, deliver, keys, signed, standby
from tests.ports import (
    LINKS,
    OTHER,
    PEER,
    SECOND,
    SESSION,
    SOURCE,
    VIP,
    Rig,
    check,
    given_active,
    given_backup,
    router,
    table,
)

DISK = [router(checks=["disk"], priority=160), check("disk", weight=-10)]


def answer(seen: Rig | View) -> StatusAnswer:
    """What the agent would say."""
    view = seen.node.view() if isinstance(seen, Rig) else seen
    values = {name: getattr(view, name) for name in view.__struct_fields__}
    return StatusAnswer(release="0.9.0", process=1, time=datetime.now(UTC), host="node1", **values)


def whole(seen: Rig | View) -> list[str]:
    return list(overview(answer(seen)))


def one(rig: Rig, name: str = "web") -> dict[str, str]:
    """The lines of a router, each in one piece, by their headings; ``!``: what is wrong with it."""
    found = answer(rig)
    lines: dict[str, list[str]] = {}
    heading = "who"
    for line in details(found, next(one for one in found.routers if one.name == name)):
        assert len(line) <= style.WIDTH
        if line.startswith(" !") or (line.startswith("  ") and line[:13].strip()):
            heading = line[:13].strip() if line.startswith("  ") else "!"
        lines.setdefault(heading, []).append(line[3:] if heading == "!" else line[13:] if heading != "who" else line)
    return {heading: " ".join(map(str.strip, some)) for heading, some in lines.items()}


def wrong(rig: Rig) -> list[tuple[str, str]]:
    """Codes and sentences."""
    return [(finding.code, str(finding)) for finding in findings(rig.node.view())]


@pytest.fixture
def backup() -> Rig:
    """A Backup whose Active is heard on both paths, with ExaBGP 5.0.15."""
    rig = given_backup(*DISK, checks=["disk"], heard=None)
    rig.handle(speaker.Greeted("5.0.15", known=True))
    rig.speaker.answer_seconds = 0.0011
    for _ in range(600):
        rig.hear(200, interface=2).hear(200, interface=1).after(1.0)
    return rig.hear(200, interface=2).after(0.012).hear(200, interface=1).after(0.012)


# The whole node


def test_the_overview_of_a_backup(backup: Rig) -> None:
    backup.check("disk", passed=False, detail="91 % used")
    backup.hear(200, interface=2).hear(200, interface=1)
    assert whole(backup) == [
        "node1  exavrrp 0.9.0, up 00:10:00; event loop at most 0.0 ms late in the last",
        "  hour",
        "ExaBGP 5.0.15 answers in 1.1 ms; 1 of 1 sessions up; uplinks eth0, eth1",
        "",
        "ROUTER  VRID      STATE   SINCE     PRIORITY  ACTIVE               LO  BGP",
        "web       1 IPv6  BACKUP  00:10:00  150       2001:db8:ff::12 200  no  -",
        " ! web: check disk failing since 08:26:40: 91 % used",
    ]


def test_the_overview_of_an_active() -> None:
    rig = given_active(router(), router(2, standby="announce"))
    rig.addresses.unreadable = OSError(5, "no table")
    assert whole(rig)[-2:] == [
        "web       1 IPv6  ACTIVE  00:00:00  200       here    ?   active med 50",
        "web2      2 IPv6  ACTIVE  00:00:00  200       here    ?   active med 50",
    ]


def test_nothing_is_wrong_with_good_nodes(backup: Rig) -> None:
    assert wrong(backup) == wrong(given_active()) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"role": "active", "faults": ("x",)}, "ACTIVE"),
        ({"role": "initialize", "faults": ("x",), "outcome": Outcome.DRAINED}, "FAULT"),
        ({"role": "initialize", "outcome": Outcome.DRAINING}, "DRAINING"),
        ({"role": "initialize", "holds": ("waiting for x",)}, "WAITING"),
        ({"role": "initialize"}, "INIT"),
    ],
)
def test_the_state_in_a_word(changes: dict[str, Any], word: str) -> None:
    assert state(replace(given_backup().node.view().routers[0], **changes)) == word


def test_a_line_is_never_longer_than_80_columns() -> None:
    rig = given_active(router(), router(2)).hear(100)
    view = rig.node.view()
    first, second = view.routers
    long = "2001:db8:1234:5678:9abc:def0:1234:5678"
    peers = tuple(replace(peer, address=long, priority=254) for peer in first.peers)
    router_ = replace(
        first, name="a-name-of-a-router-that-is-as-long-as-names-go", role="backup", active=long, peers=peers
    )
    lines = whole(replace(view, routers=(router_, second)))
    assert max(map(len, lines)) <= style.WIDTH
    (row,) = [line for line in lines if line.startswith("~")]
    assert row.split()[4:] == ["00:00:00", "200", "~34:5678", "254", "yes", "active", "med", "50"]


def test_addresses_some_of_which_are_on_lo() -> None:
    rig = given_active(router(addresses=[str(VIP), "2001:db8:53::9"]))
    rig.addresses.lo = {VIP}
    assert whole(rig)[-2].split()[-4:] == ["some", "active", "med", "50"]
    assert wrong(rig) == [("address-unverified", "web: 2001:db8:53::9 is to be on lo, and does not accept packets")]


def test_sessions_and_an_exabgp_that_does_not_answer(backup: Rig) -> None:
    backup.handle(speaker.Stalled(2.0))
    assert whole(backup)[2] == "ExaBGP 5.0.15 does not answer; 1 sessions, not known whether up; uplinks eth0,"
    assert wrong(backup)[0][0] == "exabgp-stalled"
    assert "FAULT" in whole(backup)[-4] + whole(backup)[-3]


def test_a_router_that_binds_and_announces_nothing() -> None:
    view = given_active().node.view()
    (seen,) = view.routers
    elsewhere = replace(view, routers=(replace(seen, binds=False, announces=False, on_lo=(), routes=(), level=None),))
    assert whole(elsewhere)[-1].split()[-2:] == ["n/a", "n/a"]
    told = answer(elsewhere)
    lines = list(details(told, told.routers[0]))
    assert "  addresses  2001:db8:53::1 left to others (bind = false); announces nothing" in lines


# What is wrong


def test_a_session_that_is_down_and_the_fault_that_it_is(backup: Rig) -> None:
    backup.session(SESSION, up=False)
    assert wrong(backup) == [
        ("session-down", "session 2001:db8:0:1::1 from 2001:db8:0:1::2 down since 08:26:40"),
        ("router-fault", "web: fault: web's BGP sessions failing (0 up, 1 needed)"),
    ]
    assert whole(backup)[5].split()[2:] == ["IPv6", "FAULT", "00:00:00", "0", "of", "160", str(PEER), "200", "no", "-"]


def test_a_session_that_is_not_told() -> None:
    rig = given_backup().session(SECOND, listed=False)
    assert ("neighbor-unlisted", f"web: not told of its routes: {SECOND}") in wrong(rig)


def test_a_route_that_cannot_be_withdrawn_from_a_neighbor() -> None:
    view = given_backup().node.view()
    kept = replace(view, routers=(replace(view.routers[0], kept_by=("fd00::1", "fd00::2")),))
    assert "web: cannot be withdrawn from: fd00::1, fd00::2" in [str(finding) for finding in findings(kept)]


@pytest.mark.parametrize(
    ("session", "carries"),
    [
        (SessionView(peer="10.0.0.1", local=None, up=True, told=True, families=(4,)), "IPv4"),
        (SessionView(peer="10.0.0.1", local=None, up=True, told=True, families=()), "neither IPv4 nor IPv6"),
        (SessionView(peer="10.0.0.1", local=None, up=True, told=True, families=(4, 6)), None),
        (SessionView(peer="10.0.0.1", local=None, up=True, told=True), None),
        (SessionView(peer="10.0.0.1", local=None, up=True), None),
        (SessionView(peer="10.0.0.1", local=None, up=None), None),
    ],
)
def test_a_session_that_carries_no_family_of_the_addresses(session: SessionView, carries: str | None) -> None:
    view = replace(given_backup().node.view(), sessions=(session,))
    told = [] if carries is None else [f"session 10.0.0.1 up, counts for no virtual router, carries {carries}"]
    assert [str(finding) for finding in findings(view)] == told
    (seen,) = view.routers
    assert findings(replace(view, routers=(replace(seen, announces=False),))) == []


@pytest.mark.parametrize(
    "left_out",
    [
        {"min_sessions": 0},
        {"sessions_neighbors": [str(SESSION.peer)], "min_sessions": 1},
        {"bgp": {"neighbors": [str(SESSION.peer)]}, "min_sessions": 1},
    ],
)
def test_a_session_that_the_configuration_leaves_out_is_no_finding(left_out: dict[str, Any]) -> None:
    rig = given_backup(router(**left_out)).session(SECOND)
    rig.handle(speaker.Configured({SESSION: frozenset({6}), SECOND: frozenset({6})}, {}))
    assert "web" not in rig.node.view().sessions[1].counts_for
    assert wrong(rig) == []


def test_a_check_that_is_a_fault_is_named_once() -> None:
    rig = given_backup(router(checks=["fit"]), router(2, checks=["fit"]), check("fit"), checks=["fit"])
    rig.check("fit", passed=False)
    assert wrong(rig) == [("check-failing", "web, web2: check fit failing since 08:16:40")]


def test_a_fault_of_another_kind_is_named() -> None:
    rig = given_active()
    rig.paths.sourceless = True
    rig.handle(ports.PathsChanged()).after(3)
    ((code, text),) = wrong(rig)
    assert code == "router-fault"
    assert text.startswith("web: fault: the source 2001:db8:ff::11 is no address of this host any more")


def test_a_router_that_waits_and_one_that_is_drained() -> None:
    rig = Rig(router(checks=["slow"]), router(2), check("slow", initial="wait")).start("web2")
    assert wrong(rig)[:2] == [
        ("router-held", "web: held: waiting for slow, web's BGP sessions"),
        ("router-held", "web2: held: waiting for web2's BGP sessions"),
    ]
    assert wrong(rig)[2] == ("router-drained", "web2: drained until a restart")


def test_a_path_that_is_quiet(backup: Rig) -> None:
    for _ in range(6):
        backup.after(1.0).hear(200)
    assert wrong(backup) == [("path-quiet", f"web: path eth1 from {PEER} quiet since 08:26:40 (eth0 fine)")]
    rig = given_backup(heard=None).follow(10)
    assert wrong(rig) == [("path-quiet", f"web: path eth1 from {PEER} has delivered nothing yet (eth0 fine)")]


def test_two_actives_and_a_peer_with_another_interval() -> None:
    rig = given_active().hear(100, centiseconds=200)
    assert wrong(rig) == [
        ("two-actives", f"web: two Actives: {PEER} says 100, we 200"),
        ("interval-differs", f"web: {PEER} advertises every 2 s, we every 1 s"),
    ]


def test_an_active_that_does_not_hear_a_better_one() -> None:
    later = {"takeover": ["med"], "med": None}
    for bgp, how in ((later, "traffic reclaimed 2 times"), ({}, "takeover is off: no traffic reclaimed")):
        rig = given_active(router(bgp=bgp))
        for _ in range(4):
            rig.hear(100).after(1.0)
        assert wrong(rig) == [
            ("peer-deaf", f"web: {PEER} goes on as Active with 100, and does not hear a better one; {how}")
        ]
        assert wrong(rig.after(3.0)) == []


def test_a_clock_that_differs(backup: Rig) -> None:
    view = backup.node.view()
    (seen,) = view.routers
    for skew, how in ((3.0, "3 s ahead of"), (-2.0, "2 s behind")):
        peers = tuple(replace(peer, skew=skew) for peer in seen.peers)
        (finding,) = findings(replace(view, routers=(replace(seen, peers=peers),)))
        assert (finding.code, finding.text) == ("clock-skew", f"the clock of {PEER} is {how} ours")


def test_a_backup_without_an_active_and_a_slow_machine() -> None:
    rig = given_backup().hear(0)
    assert wrong(rig) == [("no-active", "web: no advert of an Active arrives")]
    view = replace(rig.node.view(), lateness=Lateness(alarms=999, late=1, maximum=0.05))
    assert findings(view)[0].text == "the machine is too slow: 1 of 999 alarms were late in the last hour"
    assert whole(view)[0].endswith("event loop at most 50 ms late in the last")
    assert findings(replace(view, lateness=Lateness(alarms=1000, late=1)))[0].code == "no-active"


def test_what_exabgp_has_not_confirmed() -> None:
    rig = given_backup()
    rig.speaker.answers = False
    rig.after(10)
    assert ("route-unconfirmed", "web: to be announced as active, and ExaBGP has not confirmed it") in wrong(rig)
    assert whole(rig)[5].endswith("yes  - > active")
    assert one(rig)["addresses"] == "2001:db8:53::1 on lo; ExaBGP has not confirmed: - > active"
    rig.speaker.answer()
    rig.node.commands.drain("web")
    rig.follow(60)
    assert ("route-unconfirmed", "web: to be withdrawn, and ExaBGP has not confirmed it") in wrong(rig)


def test_a_remark_and_a_drain_that_was_undone() -> None:
    rig = given_active()
    rig.addresses.others = {VIP: "eth0"}
    rig.node.commands.drain("web")
    rig.after(60)
    assert [code for code, _ in wrong(rig)] == ["drain-cancelled", "router-remark"]


# One router


def test_all_about_a_backup(backup: Rig) -> None:
    backup.check("disk", passed=False, detail="91 % used", seconds=0.012)
    backup.hear(200, interface=2).hear(200, interface=1).after(0.4)
    assert one(backup) == {
        "who": f"web, VRID 1 IPv6: BACKUP of {PEER} since 2027-01-15 08:16:40 UTC (00:10:00)",
        "priority": "150 = 160 configured - 10 (disk failing)",
        "would move": f"if {PEER} is silent for 3.41 s, or says less than 150 (now 200)",
        "addresses": '2001:db8:53::1 not on lo; not announced (standby = "withdraw")',
        "Active": f"{PEER}, priority 200, every 1 s; its addresses: the same as ours",
        "heard": "eth0 0.4 s ago, lost 0 of 600; eth1 0.4 s ago, lost 0 of 600",
        "sessions": f"{SESSION} up 600 s; needed 1".replace("600 s", "10 min"),
        "checks": "disk failing since 08:26:40: 91 % used, 0.4 s ago, adds -10",
        "last": "08:16:40 initialize -> backup (startup), priority 160",
    }


def told(times: int = 6, *tables: str, over: Sequence[Link] = LINKS) -> tuple[Rig, Rig]:
    """An Active and its standby, after so many seconds in which beacons have come in, those of the Active ``over``
    these."""
    ours, theirs = active(), standby(*tables)
    for _ in range(times):
        deliver(ours.after(1), theirs, over)
        deliver(theirs, ours, LINKS[:1])
    return ours, theirs


def test_an_active_knows_its_standby_by_beacons() -> None:
    ours, theirs = told()
    assert one(ours)["peers"] == f"{PEER} ready, backup with 100, 0 ms ago, eth0 both ways, eth1 only to it"
    assert wrong(ours) == []
    theirs.node.commands.drain("web")
    theirs.clock.run()
    deliver(theirs, ours)
    assert one(ours)["peers"].startswith(f"{PEER} drained, initialize with 100, ")
    assert wrong(ours) == [("no-ready-standby", f"web: no peer is ready to take over: {PEER} drained")]
    ours.after(60)
    assert one(ours)["peers"] == f"{PEER} silent for 60 s"
    assert wrong(ours) == [("no-ready-standby", f"web: no peer is ready to take over: {PEER} silent for 60 s")]


def test_a_backup_shows_beacons_too_and_who_sends_none() -> None:
    ours, theirs = given_active(signed(), keys("permissive")), standby(signed(priority=100), keys("permissive"))
    assert one(ours)["peers"].startswith("unknown")
    deliver(theirs, ours)
    ready = f"{PEER} ready, backup with 100, 0 ms ago, eth0 from it, eth1 from it"
    assert one(ours)["peers"] == f"{ready}; {OTHER} unknown, as it sends no beacons"
    deliver(ours, theirs)
    assert one(theirs)["peers"] == f"{SOURCE} ready, active with 200, 0 ms ago, eth0 both ways, eth1 both ways"


def test_beacons_tell_what_differs() -> None:
    ours, _ = told(6, signed(addresses=["2001:db8:53::9"], advert_interval=2), keys(), over=LINKS[1:])
    assert wrong(ours) == [
        ("addresses-differ", f"web: {PEER} has other addresses than we, by its beacon"),
        ("interval-differs", f"web: {PEER} is to advertise every 2 s, we every 1 s"),
        ("priority-tie", f"web: {PEER} has priority 200, too"),
        ("beacon-unheard", f"web: {PEER} does not hear our beacons over eth0; over eth1 it does"),
    ]
    assert one(ours)["peers"].endswith("eth0 only from it, eth1 only to it")
    deaf, _ = told(over=())
    assert wrong(deaf) == [
        ("beacon-unheard", f"web: {PEER} does not hear our beacons over eth0; nor over any other path"),
        ("beacon-unheard", f"web: {PEER} does not hear our beacons over eth1; nor over any other path"),
    ]


def test_all_about_an_active() -> None:
    rig = given_active(
        router(checks=["fit", "slow"]), check("fit", fall=2), check("slow", initial="pass"), checks=["fit"]
    )
    rig.check("fit", passed=False, seconds=0.02).after(1)
    found = one(rig)
    assert found["who"].startswith("web, VRID 1 IPv6: ACTIVE since ")
    assert found["priority"] == "200, as configured"
    assert found["would move"] == "if a peer says more than 200, or this node fails or is drained"
    assert found["addresses"] == "2001:db8:53::1 on lo; announced as active med 50"
    assert found["peers"] == "unknown: Backups send nothing that an Active could hear"
    assert found["checks"] == "fit ok in 20 ms, 1.0 s ago, 1 of 2 against it; slow without a result yet"
    assert found["last"].startswith(
        "08:16:43 backup -> active (active-down-timeout: nothing heard from anybody for 3.2"
    )
    assert found["last"].endswith("priority 200, bound +0.0 ms, announced +0.0 ms, confirmed +0.0 ms")
    assert found.keys().isdisjoint({"Active", "heard", "!"})


def test_what_would_move_a_backup_with_a_delay_or_without_preemption() -> None:
    rig = given_backup(router(preempt_delay=30))
    assert one(rig)["would move"].endswith("or says less than 200 for 30 s (now 250)")
    rig = given_backup(router(preempt=False))
    assert one(rig)["would move"].endswith("or leaves; preempt = false: its priority does not count")
    rig.hear(0)
    assert one(rig)["would move"] == "to this node 3.22 s after the last advert"
    assert one(rig)["heard"] == "no advert of an Active"


def test_what_would_move_a_router_that_is_out_of_the_election() -> None:
    rig = given_active()
    rig.node.commands.drain("web")
    assert one(rig.follow(60))["would move"] == "into the election when this ends: the drain"
    rig = given_backup(router(checks=["fit"]), check("fit"), checks=["fit"]).check("fit", passed=False, detail="full")
    assert one(rig)["would move"] == "into the election when this ends: fit failing (full)"
    assert one(rig)["priority"] == "0 of 200, as configured"
    assert one(Rig())["would move"] == "into the election at its start"
    assert "last" not in one(Rig())


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ({"addresses": ["2001:db8:53::1", "2001:db8:53::2"]}, ("2001:db8:53::2", "2001:db8:53::1"), "the same as ours"),
        ({"addresses": ["2001:db8:53::1", "2001:db8:53::2"]}, ("2001:db8:53::1",), "2001:db8:53::1"),
        ({"unlisted_addresses": ["2001:db8:53::2"]}, ("2001:db8:53::1",), "the same as ours"),
        (
            {"unlisted_addresses": ["2001:db8:53::2"]},
            ("2001:db8:53::1", "2001:db8:53::2"),
            "2001:db8:53::1, 2001:db8:53::2",
        ),
    ],
)
def test_addresses_of_the_active_are_compared_with_those_that_our_adverts_list(
    ours: dict[str, Any], theirs: tuple[str, ...], told: str
) -> None:
    found = answer(given_backup(router(**ours)))
    (seen,) = found.routers
    active = replace(next(one for one in seen.peers if one.active), addresses=theirs)
    text = " ".join(" ".join(details(found, replace(seen, peers=(active,)))).split())
    assert f"; its addresses: {told} heard" in text


def test_paths_and_addresses_that_are_not_as_they_should_be() -> None:
    rig = given_backup(router(standby="announce"), heard=None).hear(250)
    rig.paths.links = rig.paths.links[1:]
    rig.handle(ports.PathsChanged())
    found = one(rig)
    told = answer(rig)
    (seen,) = told.routers
    peers = tuple(replace(peer, addresses=(str(OTHER),)) for peer in seen.peers)
    assert f"its addresses: {OTHER}" in " ".join(" ".join(details(told, replace(seen, peers=peers))).split())
    assert found["heard"] == "eth1 never; eth0 0 ms ago, lost 0 of 1, leads there no more"
    assert found["addresses"] == '2001:db8:53::1 on lo; announced as standby med 4294967094 (standby = "announce")'
    rig.addresses.unreadable = OSError(5, "no table")
    assert one(rig)["addresses"].startswith("2001:db8:53::1 lo is unknown;")


def test_what_is_wrong_stands_below_a_router_it_concerns() -> None:
    rig = given_active(router(), router(2)).hear(100)
    assert one(rig)["!"] == f"two Actives: {PEER} says 100, we 200"
    assert "!" not in one(rig, "web2")


def test_a_session_that_does_not_count_and_an_address_that_is_not_usable_yet() -> None:
    rig = given_backup().session(SECOND, listed=False)
    assert one(rig)["sessions"] == f"{SESSION} up 0 ms, {SECOND} up 0 ms (does not count); needed 1".replace(
        f"{SESSION} up 0 ms", f"{SESSION} up {style.short(rig.clock.now - 1000.0)}"
    )
    rig.addresses.slow = {VIP}
    rig.after(10)
    assert "2001:db8:53::1 on lo, not usable yet;" in one(rig)["addresses"]


def test_signed_adverts(backup: Rig) -> None:
    found = answer(backup)
    (seen,) = found.routers
    for key, skew, words in (
        (7, 2.0, "signed by key 7, clock +2 s"),
        (7, None, "signed by key 7, clock +0 s"),
        (None, 2.0, "not signed"),
    ):
        peers = tuple(replace(peer, signed=5, key=key, skew=skew) for peer in seen.peers)
        text = " ".join(" ".join(details(found, replace(seen, peers=peers))).split())
        assert f"{words};" in text, text


# Words


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (datetime(2026, 11, 30, 9, tzinfo=UTC), "09:00:00"),
        (datetime(2026, 11, 21, 18, 21, 7, tzinfo=UTC), "11-21 18:21:07"),
        (datetime(2025, 11, 30, 9, tzinfo=UTC), "2025-11-30 09:00:00"),
    ],
)
def test_a_time_is_as_short_as_it_is_clear(at: datetime, words: str) -> None:
    assert clock(at, datetime(2026, 11, 30, 12, tzinfo=UTC)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.012, "12 ms"), (0.4, "0.4 s"), (9.94, "9.9 s"), (41, "41 s"), (360, "6 min"), (7300, "2 h"),
        (12 * 86400.0, "12 d"),
    ],
)  # fmt: skip
def test_a_short_age(seconds: float, words: str) -> None:
    assert style.short(seconds) == words


def printed(capsys: pytest.CaptureFixture[str], *lines: str) -> str:
    style.say(lines)
    return capsys.readouterr().out


def test_colour_is_for_terminals_that_want_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, bool]] = []
    monkeypatch.setattr("click.echo", lambda text: shown.append((text, "\x1b" in text)))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    style.say(["web  ACTIVE  200"])
    monkeypatch.setenv("NO_COLOR", "1")
    style.say(["web  ACTIVE  200"])
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    style.say(["web  ACTIVE  200"])
    assert [coloured for _, coloured in shown] == [True, False, False]
    assert shown[0][0] == "web  \x1b[32mACTIVE\x1b[0m  200"


def test_no_control_character_reaches_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "check said \x1b[2J\x07é") == "check said ?[2J?é\n"


def test_what_an_encoding_lacks_is_replaced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ascii:
        encoding = "ascii"
        isatty = staticmethod(lambda: False)

    shown: list[str] = []
    monkeypatch.setattr("click.echo", shown.append)
    monkeypatch.setattr("sys.stdout", Ascii())
    style.say(["café 你"])
    assert shown == ["caf? ?"]


# The guide


def site() -> Rig:
    """The guide's example: one router that is Active, one Backup that hears a path no more, and one in fault."""
    web, dns, mail = (
        table(f"virtual_router.{name}", vrid=vrid, addresses=[f"2001:db8:{vrid}::{vrid}"], **more)
        for name, vrid, more in (
            ("web", 7, {"priority": 200, "bgp.med": 50}),
            ("dns", 53, {"priority": 160, "checks": ["disk"]}),
            ("mail", 25, {"priority": 120, "checks": ["smtp"]}),
        )
    )
    rig = Rig(web.replace('"bgp.med"', "bgp.med"), dns, mail, check("disk", weight=-10), check("smtp"))
    rig.handle(speaker.Greeted("5.0.15", known=True))
    rig.speaker.answer_seconds = 0.0011
    rig.start().session().check("disk", passed=True).check("smtp", passed=True)
    for second in range(700):
        for name in ("dns", "mail"):
            rig.hear(200, name, interface=1)
            if second < 640:
                rig.hear(200, name, interface=2)
        rig.after(1.0)
        if second == 690:
            rig.check("smtp", passed=False, detail="Connection refused")
            rig.check("disk", passed=False, detail="91 % used", seconds=0.012)
    return rig.hear(200, "dns").hear(200, "mail").after(0.25)


def test_the_guide_shows_what_is_printed() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "reference" / "operation.md").read_text(encoding="utf-8")
    found = answer(site())
    dns = next(router for router in found.routers if router.name == "dns")
    for command, lines in (("status", overview(found)), ("status dns", details(found, dns))):
        assert "\n".join([f"$ exavrrp {command}", *lines]) in guide


def test_the_guide_shows_an_active_that_knows_its_standby() -> None:
    ours, _ = told()
    found = answer(ours.after(0.2))
    guide = (Path(__file__).parents[1] / "docs" / "reference" / "beacon.md").read_text(encoding="utf-8")
    assert "\n".join(["$ exavrrp status web", *details(found, found.routers[0])]) in guide
