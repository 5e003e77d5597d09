"""Recordings, and their replay."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from ipaddress import ip_address

from exavrrp import events, presence
from exavrrp.instance import Fault, Hold, Hurry
from exavrrp.presence import Handover
from exavrrp.recording import Damaged, Election, Head, Member, Team, Told, encode, lost, told
from exavrrp.replay import replay, sentences, transitions
from exavrrp.vrrp import router
from exavrrp.vrrp.packet import Advertisement
from exavrrp.vrrp.router import Why
from tests.fuzz.reader import Reader

SETTINGS = router.Settings(
    vrid=7,
    priority=150,
    interval=0.1,
    source=ip_address("192.0.2.11"),
    addresses=(ip_address("192.0.2.53"),),
    preempt=True,
    preempt_delay=0.0,
    learned_maximum=1.0,
)
PEER = ip_address("192.0.2.12")
HISTORY: tuple[tuple[events.Event, float], ...] = (
    (events.Recalled("web", 2, 1.5), 100.0),
    (events.Inherited("web", announced=True), 100.0),
    (events.Start(), 100.0),
    (events.Heard("web", PEER, Advertisement(7, 200, 10, SETTINGS.addresses), 3, (3, 4)), 100.125),
    (events.Rang(), 101.0),
    (events.Bound("web"), 101.0),
    (events.Rated("web", 90), 101.0),
    (events.Failed("web", Fault.CHECK, "no answer"), 102.0),
    (events.Withdrawn("web"), 102.0),
    (events.Recovered("web", Fault.CHECK), 103.0),
    (events.Held("web", Hold.DRAIN, "drained"), 104.0),
    (events.Released("web", Hold.DRAIN), 105.0),
    (events.Stop(Why.SHUTDOWN, "SIGTERM", Hurry(1.5)), 106.0),
    (events.Abandon(), 107.0),
    (events.Unbound("web", "lost"), 107.0),
)


def recording(data: bytes) -> None:
    """Each line is an event of the core; what comes of it is what was recorded, or a difference is told."""
    with suppress(Damaged):
        for story in replay(data.splitlines(keepends=True)):
            assert all(line.isprintable() for line in (*sentences(story), *transitions(story)))


def _recordings() -> list[bytes]:
    handover = presence.Settings(Handover.MAKE_BEFORE_BREAK, hold=1.0, linger=2.0, ceiling=30.0, stale=9.0)
    member = Member(name="web", election=Election.of(SETTINGS), handover=handover, stale_for=9.0)
    team = Team(name="web", members=(member,))
    head = encode(Head(release="1", process=9, time=datetime.fromtimestamp(9, UTC), at=100.0, teams=(team,)))
    group = team.group()
    lines = [told("web", event, now, group.handle(event, now)) for event, now in HISTORY]
    return [
        head + b"".join(lines),
        head + lines[0] + lost(3) + lines[1] + lines[2][:40] + head,
        *(head + lines[1] + line for line in lines),
    ]


def _words() -> list[bytes]:
    names = {name for kind in (Head, Told, Election, Member, Team) for name in kind.__struct_fields__}
    names.update(field.name for field in fields(presence.Settings))
    numbers = [
        "0",
        "-1",
        "1e-300",
        "1e9",
        "1e308",
        "255",
        "4095",
        "9" * 20,
        '"::1"',
        '"backup"',
        '"active"',
        "null",
        "[]",
    ]
    return [json.dumps(name).encode() for name in sorted(names)] + [one.encode() for one in numbers]


READERS: Mapping[str, Reader] = {"recording": Reader(recording, _recordings, _words)}
