"""The control protocol, from both ends, and the state files that an agent leaves for the next one."""

import asyncio
import functools
import json
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import get_args

import msgspec
from msgspec import Raw

from exavrrp import chronicle, control
from exavrrp.cli.reasons import reasons
from exavrrp.cli.telling import sentence
from exavrrp.control import Misunderstood
from exavrrp.routes import Attributes, Level
from exavrrp.system import client
from exavrrp.system.control import Control
from exavrrp.system.state import DrainFile, ReplayCounterFile, State
from exavrrp.takeover import RouteContext, RoutePolicy, Takeover
from exavrrp.view import Moment, Outcome, RouterView, SessionView, View
from exavrrp.vrrp import auth
from tests.fuzz.choices import Choices
from tests.fuzz.reader import Reader, scratch

OURS, PEER = ip_address("2001:db8::12"), ip_address("2001:db8::11")
POLICY = RoutePolicy.derived(Attributes(), frozenset({Takeover.MED}))

CLIENTS: dict[str, Callable[[bytes], object]] = {
    "request": control.request,
    "answer": control.answer,
    "life": control.saved_state,
    "drains": control.drains,
    "reverting": control.reverting,
}


def documents(data: bytes) -> None:
    """Each kind of document of the control protocol and of the notes."""
    for decoded in CLIENTS.values():
        try:
            found = decoded(data)
        except Misunderstood as error:
            assert str(error).isprintable()
            assert len(str(error)) < 8192
            continue
        assert msgspec.json.encode(found)
        if isinstance(found, control.Drain | control.Undrain):
            with suppress(Misunderstood):
                assert set(control.chosen(found.names, {"web": None, "db": "g"})) <= {"web", "db"}
        if isinstance(found, control.SavedState):
            times = [POLICY.at(Level.ACTIVE, RouteContext(since)).med for since in found.since.values()]
            assert all(med is not None and 0 <= med <= 0xFFFF_FFFF for med in times)
    control.start_time(data)


def _documents() -> list[bytes]:
    moved = control.Moved(name="web", outcome=Outcome.DRAINED, until=datetime.fromtimestamp(9, UTC))
    status = RouterView(
        name="web", vrid=7, role="active", priority=100, explanation="100", bound=True, level="active", drained=False
    )
    return [
        *map(control.encode, _requests()),
        control.encode(control.Begun(routers=(moved,), warning="no disk")),
        control.encode(control.Progress(name="web", outcome=Outcome.KEPT)),
        control.encode(control.Done(routers=(moved,))),
        control.encode(
            control.StatusAnswer(
                release="1",
                process=9,
                time=datetime.fromtimestamp(9, UTC),
                routers=(status,),
                sessions=(SessionView(peer="fe80::1", local=None, up=True, told=True, counts_for=("web",)),),
            )
        ),
        control.encode(control.EventsAnswer(entries=(Raw(b'{"event":"x"}'),), count=9)),
        control.encode(control.Error(message="no")),
        control.encode(control.Scheduled(at=datetime.fromtimestamp(9, UTC), changes=(_change(),), warnings=("a",))),
        control.encode(control.Reloaded(outcome="refused", changes=(_change(),), errors=("no",))),
        *_notes(),
        b"7 (a) b) S 1 " + b" ".join(b"%d" % one for one in range(40)),
    ]


def _change() -> control.Change:
    key = "virtual_router.web.priority"
    return control.Change(effect="speaks", key=key, detail="200 -> 150", routers=("web",), active=("web",))


def _requests() -> list[control.Request]:
    return [
        control.Drain(names=("web",), seconds=60.0, persist=False, wait=True),
        control.Undrain(names=("web", "db")),
        control.Status(),
        control.Events(after=3),
        control.Reload(dry_run=True, allow_move=True, confirm_within=60.0, at=1e9),
        control.Confirm(),
        control.Undo(allow_move=True),
    ]


def _notes() -> list[bytes]:
    life = control.SavedState(
        boot="b",
        exabgp=(1, 2),
        routers={"web": "active"},
        since={"web": 1_700_000_000},
        silences={"web": (2, 1.5)},
        addresses=("192.0.2.53", "2001:db8:53::1"),
        announcements=(
            control.Announcement(prefixes=("192.0.2.53/32",), med=5, neighbors=("::1",), next_hops={"::1": "self"}),
        ),
    )
    return [
        control.encode_file(life),
        control.encode_file(control.Drains(drained={"web": None, "db": 1e9})),
        control.encode_file(control.Reverting(fingerprint="5f" * 32, until=1e9)),
    ]


def _words() -> list[bytes]:
    asked = get_args(control.Request)
    answered = (control.Done, control.StatusAnswer, control.Reloaded, control.Change, RouterView, SessionView)
    kinds = (*asked, *answered, control.SavedState, control.Drains, control.Reverting)
    names = {field for kind in kinds for field in kind.__struct_fields__}
    tags = {kind.__struct_config__.tag for kind in (*asked, *get_args(control.Answer))}
    texts = {*names, *tags, "web", "\\ud800", "request", "answer"}
    numbers = ["-1", "1e308", "1e-9", "9" * 30, "null", "true", "[]", "{}", "[[", ":", ",", '"', "\\u0000", "\n"]
    return [json.dumps(one).encode() for one in sorted(texts)] + [one.encode() for one in numbers]


class _Agent:
    """A service that drains and undrains at once."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(("web", "db"), Outcome.SERVING)

    def names(self) -> Sequence[str]:
        return list(self.outcomes)

    def groups(self) -> Mapping[str, str | None]:
        return dict.fromkeys(self.outcomes)

    def together(self, names: Collection[str]) -> tuple[str, ...]:
        return tuple(name for name in self.outcomes if name in names)

    def look_at_note(self) -> None:
        """There is none."""

    def unready(self, names: Collection[str]) -> Mapping[str, str]:
        return {}

    def drain(self, name: str) -> None:
        self.outcomes[name] = Outcome.DRAINED

    def undrain(self, name: str) -> None:
        self.outcomes[name] = Outcome.SERVING

    def outcome(self, name: str) -> Outcome:
        return self.outcomes[name]

    def describe(self) -> Iterator[View | None]:
        return iter([None, View(routers=())])

    def events(self, after: int, /) -> tuple[int, list[bytes]]:
        return 1, [b'{"event":"x"}'][after:]


class _Quiet:
    """A log and a store that keep nothing."""

    path = Path("/nowhere/drained.json")

    def info(self, event: str, **fields: object) -> None:
        assert str((event, fields))

    warning = info

    def open(self) -> None:
        pass

    def recall(self) -> Mapping[str, float | None]:
        return {}

    def save(self, drained: Mapping[str, float | None]) -> None:
        assert all(end is None or end >= 0 for end in drained.values())


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_broken)
    return loop


def _broken(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    raise AssertionError(context)


def server(data: bytes) -> None:
    """A client of the agent: what it sends arrives in one piece or, by the first byte, in two."""
    loop, kept = _loop(), Control(Path("/nowhere"), _Agent(), _Quiet(), _Quiet())
    kept.open(loop)  # nobody can connect there; the client below has a connection already
    choices = Choices(data)
    first = choices.take(choices.number(64))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(0)

        async def talk() -> None:
            attended = loop.create_task(kept.attend_to(ours))
            theirs.sendall(first)
            await asyncio.sleep(0)
            with suppress(OSError):
                theirs.sendall(choices.rest())
                theirs.shutdown(socket.SHUT_WR)
            await attended
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

        loop.run_until_complete(talk())
        kept.close()
        for line in _received(theirs).splitlines():
            assert isinstance(control.answer(line), control.Answer)


def _received(connection: socket.socket) -> bytes:
    received = b""
    with suppress(OSError):
        while piece := connection.recv(1 << 16):
            received += piece
    return received


def asking(data: bytes) -> None:
    """An agent that answers a command with anything."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        theirs.sendall(data)
        theirs.close()
        with suppress(client.Unanswered, Misunderstood):
            for answer in client.answers(ours, None, client.ANSWER_TIMEOUT):
                assert msgspec.json.encode(answer)


def _streams() -> list[bytes]:
    whole = _documents()
    return [*(b"\0" + one for one in whole), *(b"\x20" + one for one in whole)]


FLOWS = [auth.Flow(OURS, sender, vrid) for sender in (OURS, PEER) for vrid in (7, 8)]


def notes(data: bytes) -> None:
    """Whatever state files the last process left, this one starts."""
    directory, log = scratch(), _Quiet()
    for name in ("state.json", "drained.json", "marks"):
        (directory / name).write_bytes(data)
    state = State(directory, log)
    state.open()
    assert all(isinstance(name, str) for name in state.recall())
    assert all(isinstance(name, str) for name in DrainFile(directory, log).recall())
    marks = ReplayCounterFile(directory, log)
    try:
        known = marks.set(FLOWS)
        assert known == sum(marks.get(flow) is not None for flow in FLOWS)
        marks[FLOWS[0]] = auth.Sequence(1)
        assert marks.get(FLOWS[0]) == 1
    finally:
        marks.close()


def _left() -> list[bytes]:
    directory = scratch()
    marks = ReplayCounterFile(directory, _Quiet())
    marks.set(FLOWS)
    for number, flow in enumerate(FLOWS[:3], 1):
        marks[flow] = auth.Sequence(number << 32)
    marks.close()
    return [*_notes(), (directory / "marks").read_bytes()]


def journal(data: bytes) -> None:
    """Lines of a journal that an agent before has left: what is read of them is shown."""
    lines = chronicle.valid(data)
    entries = [entry for entry in map(chronicle.decoded, lines) if entry is not None]
    assert len(entries) == len(lines)
    assert all(isinstance(sentence(entry), str) for entry in entries)
    answer = control.StatusAnswer(release="1", process=9, time=datetime.fromtimestamp(9, UTC), routers=(_ROUTER,))
    assert list(reasons(answer, _ROUTER, entries))


_ROUTER = RouterView(
    name="web", vrid=7, role="backup", priority=1, explanation="1", bound=False, level=None, drained=False
)


def _entries() -> list[bytes]:
    written: list[bytes] = []
    kept = chronicle.Chronicle(lambda: Moment(datetime.fromtimestamp(9, UTC), 9.0), lambda: 9.0, written.append)
    kept.add("peer-advertised", "info", "web", peer="fe80::1", priority=0, before=200, silent=1.5)
    paths = (chronicle.PathSilence("eth0", 0.3, quiet=False), chronicle.PathSilence("eth1", None, quiet=True))
    for verdict in chronicle.Verdict:
        cause = chronicle.Cause(
            verdict=verdict, peer="fe80::1", ours=9, theirs=8, waited=0.3, interval=0.1, skew_time=0.1, paths=paths
        )
        kept.add("transition", "info", "web", cause, before="backup", after="active", reason="x", detail="y")
    kept.add("phase-completed", "info", "web", phase="bound", seconds=0.001)
    return [*written, b"".join(written)]


READERS: Mapping[str, Reader] = {
    "documents": Reader(documents, _documents, _words),
    "server": Reader(server, _streams, _words),
    "asking": Reader(asking, _documents, _words),
    "notes": Reader(notes, _left, _words),
    "journal": Reader(journal, _entries, _words, longest=1 << 14),
}
