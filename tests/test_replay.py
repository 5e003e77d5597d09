"""Replays: the same follows from a recording; every difference is reported."""

import errno
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from exavrrp import events, ports, recording, speaker
from exavrrp.announcement import Announcer
from exavrrp.bequest import Bequest
from exavrrp.binding import OnLo
from exavrrp.care import GRACE, Caretaker
from exavrrp.chronicle import REPLACED
from exavrrp.cli import main
from exavrrp.config import Configuration
from exavrrp.elections import Elections, Team
from exavrrp.groups import Effects, Group
from exavrrp.instance import Effect, Fault, Hold, NoSuccessor, Reclaim, StopBudget
from exavrrp.leftovers import Leftovers
from exavrrp.node import TELL_TALE, Node
from exavrrp.notes import Notes
from exavrrp.ports import Forgotten
from exavrrp.presence import Step
from exavrrp.recorded import Recording
from exavrrp.recording import Damaged, Head, Lost, Told, Torn, encode, read
from exavrrp.replay import Difference, Done, Logged, Nobody, Orphan, Story, replay, sentences, transitions
from exavrrp.roster import Ports
from exavrrp.routes import Attributes, Route, host_route
from exavrrp.sessions import Sessions
from exavrrp.virtual_router import Shared
from exavrrp.vrrp.copies import PathBack, PathQuiet
from exavrrp.vrrp.packet import Advertisement, Reason
from exavrrp.vrrp.router import Advertise, Discrepancy, Notice, Role, Transition, Why
from exavrrp.ways import Ways
from tests.ports import INTERVAL, OTHER, PEER, VIP, Rig, check, given_active, recorder, router
from tests.test_elections import given_lingering
from tests.test_recorded import SIGNED
from tests.test_recording import NOON

SUPERSEDED = "web: active → backup (superseded: heard vrid 1 priority 250 every 1s from 2001:db8:ff::12)"
FOREIGN = Route(host_route(OTHER), Attributes())


def takeover() -> list[bytes]:
    """A node becomes Active, and another one takes over from it."""
    lines: list[bytes] = []
    rig = given_active(make=recorder(lines))
    rig.hear(250)
    return lines


def life(*, end: Callable[[Rig], object] = lambda rig: rig.handle(ports.End("SIGTERM")).after(3.0)) -> list[bytes]:
    """A node with events of many kinds."""
    lines: list[bytes] = []
    tables = [router(1, checks=["fit"], authentication="nodes"), router(2, group="both"), router(3, group="both")]
    rig = Rig(*tables, check("fit"), SIGNED, make=recorder(lines), forgotten=Forgotten(frozenset({OTHER}), (FOREIGN,)))
    rig.addresses.lo |= {VIP, OTHER}
    rig.memory.announced, rig.memory.times, rig.memory.silences = {"web"}, {"web": 7}, {"web2": (1, 990.0)}
    rig.addresses.others = {VIP: "eth0"}
    rig.start("web3").check("fit", passed=True, detail="all \udcff right")
    rig.session().after(1.0)
    rig.speaker.answers = False
    rig.hear(100).handle(ports.Discarded(Reason.VERSION, OTHER))
    rig.after(5 * INTERVAL)
    rig.speaker.refuse(1)
    rig.speaker.refuse(2)
    rig.after(2.0)
    rig.speaker.answers = True
    rig.speaker.answer()
    rig.handle(ports.DrainAsked("web3", undo=True)).after(5.0)
    rig.addresses.refused = {VIP}
    rig.handle(ports.AddressLost(VIP, OSError(errno.EBUSY, "busy"))).after(3.0)
    rig.addresses.refused = set()
    rig.transport.error = errno.ENETUNREACH
    rig.after(5.0)
    rig.transport.error = None
    rig.paths.links = rig.paths.links[:1]
    rig.transport.waiting = [rig.arrival(250, at=rig.clock.now + INTERVAL), rig.arrival(250, "web2", at=rig.clock.now)]
    rig.handle(ports.PathsChanged()).after(5.0).check("fit", passed=False)
    rig.speaker.impossible = ValueError("not now")
    with pytest.raises(ValueError, match="not now"):
        rig.reconfigure(*tables[:2], check("fit"), SIGNED)
    rig.speaker.impossible = None
    rig.reconfigure(*tables[:2], check("fit"), SIGNED).after(12.0)
    rig.node.count()
    end(rig)
    rig.node.close()
    rig.node.write_note()
    return lines


def stories(lines: Iterable[bytes]) -> list[Story]:
    return list(replay(lines))


def differences(lines: Iterable[bytes]) -> list[Difference]:
    return [one for one in replay(lines) if isinstance(one, Difference)]


def test_a_takeover_is_printed_in_order() -> None:
    told_as = [line.partition("Z ")[2] or line for story in replay(takeover()) for line in sentences(story)]
    assert told_as[0] == "exavrrp 1.0 began as process 4711"
    assert told_as[told_as.index("web: the alarm rang") :] == [
        "web: the alarm rang",
        "    web: advertise priority 200",
        "    web: backup → active (active-down-timeout: nothing heard from anybody for 3.219s)",
        "    web: bind",
        "address-bound: router web, addresses 2001:db8:53::1",
        "web: is bound",
        "    web: announce",
        "route-announced: router web, prefixes 2001:db8:53::1/128, state active",
        "web: heard vrid 1 priority 250 every 1s from 2001:db8:ff::12 over interface 1",
        f"    {SUPERSEDED}",
        "    web: announce",
        "route-announced: router web, prefixes 2001:db8:53::1/128, state leaving",
    ]


def test_or_only_its_transitions() -> None:
    assert [line for story in replay(takeover()) for line in transitions(story)] == [
        "2027-01-15T08:16:40.000Z exavrrp 1.0 began as process 4711",
        "2027-01-15T08:16:40.000Z web: initialize → backup (startup)",
        "2027-01-15T08:16:43.218Z web: backup → active (active-down-timeout: nothing heard from anybody for 3.219s)",
        f"2027-01-15T08:16:44.000Z {SUPERSEDED}",
    ]


def test_a_whole_life_is_decided_again() -> None:
    lines = life()
    found = stories([*lines, *lines])
    assert not [sentences(one) for one in found if isinstance(one, Difference)]
    told = {one.event for one in found if isinstance(one, Logged)}
    assert told >= {
        "leftovers-found",
        "address-elsewhere",
        "check-changed",
        "bind-failed",
        "counters",
        "agent-stopping",
    }
    assert all(line.isprintable() for one in found for line in (*sentences(one), *transitions(one)))


def _nothing(*_: object, **__: object) -> None:
    """A planted mistake: the method does nothing."""


@pytest.mark.parametrize(
    ("where", "name", "mistake", "replayed"),
    [
        (Announcer, "flush", _nothing, "addresses set: "),
        (Leftovers, "_inherit", _nothing, "log warning: leftovers-found"),
        (Sessions, "listed", lambda *_, **__: [], "nothing more"),
        (OnLo, "unbind", _nothing, "memory note: "),
        (Notes, "write", _nothing, "nothing more"),
        (Ways, "look", _nothing, "log info: drain-completed"),
        (Node, "_followed_up", _nothing, "nothing more"),
    ],
)
def test_a_node_that_decides_otherwise_is_reported(
    where: type, name: str, mistake: Callable[..., object], replayed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = life()
    monkeypatch.setattr(where, name, mistake)
    found = stories(lines)
    assert isinstance(found[-1], Difference)
    assert len([one for one in found if isinstance(one, Difference)]) == 1
    assert sentences(found[-1])[0] == f"line {found[-1].number}: the node does something else"
    assert replayed in found[-1].replayed[0], found[-1]


def test_another_answer_of_a_port_leads_to_a_difference() -> None:
    lines = takeover()
    others = [re.sub(rb'("speaker.has_carried_out:\d+":\[\[\["[^"]+"\]\]),true', rb"\1,false", line) for line in lines]
    assert others != lines
    assert differences(others)


def test_the_same_act_with_something_else_is_a_difference() -> None:
    lines = takeover()
    [difference] = differences(line.replace(b'"address-bound"', b'"address-unbound"') for line in lines)
    assert difference.recorded[0].startswith("log info: address-unbound")
    assert difference.replayed[0].startswith("log info: address-bound")


def test_a_difference_may_be_in_the_making_of_the_node_and_in_how_an_entry_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = takeover()
    ended = [*lines[:1], lines[1].replace(b'"told"', b'"broken":"Bug: no","told"')]
    assert [one.recorded for one in differences(ended)] == [("broken: Bug: no",)]
    shared = Node._shared  # noqa: SLF001 — the planted mistake is in there

    def look(self: Node) -> Shared:
        self._ports.addresses.present()
        return shared(self)

    monkeypatch.setattr(Node, "_shared", look)
    assert [(one.number, one.replayed) for one in differences(lines)] == [(1, ("addresses present",))]


def test_a_missing_entry_is_reported() -> None:
    lines = takeover()
    alarm = next(number for number, line in enumerate(lines) if b'"alarm"' in line)
    [difference] = differences(lines[:alarm] + lines[alarm + 1 :])
    assert sentences(difference) == transitions(difference)
    [difference] = differences([*lines[:2], encode(Told(at=1000.0, told=["alarm", 99])), *lines[2:]])
    assert sentences(difference)[1:] == ["    recorded: alarm 99", "    replayed: it was not arranged"]


def test_the_clock_may_be_asked_more_often_or_less(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, handle = takeover(), Node._dispatch  # noqa: SLF001 — the planted mistake is in there

    def curious(self: Node, event: Any) -> None:
        handle(self, event)
        self._moment()

    monkeypatch.setattr(Node, "_dispatch", curious)
    assert not differences(lines)
    more = takeover()
    monkeypatch.undo()
    assert not differences(more)

    def early(self: Node, event: Any) -> None:
        self._ports.clock.time()
        handle(self, event)

    monkeypatch.setattr(Node, "_dispatch", early)
    more = takeover()
    monkeypatch.undo()
    assert not differences(more)


def test_what_a_port_has_for_a_busy_node_comes_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []
    rig = given_active(make=recorder(lines))
    tell = rig.notifier.tell

    def told(*args: Any) -> None:
        tell(*args)
        rig.node.handle(ports.PathsChanged())
        rig.node.handle(ports.AddressRepaired(VIP))

    monkeypatch.setattr(rig.notifier, "tell", told)
    rig.hear(250).after(1.0)
    assert [b'{"told":["handle",{"PathsChanged":{}}]}' in line for line in lines].count(True) == 1
    assert not differences(lines)
    assert any(isinstance(one, Logged) and one.event == "address-repaired" for one in stories(lines))


def test_answers_that_are_read_before_a_deadline_come_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def life() -> list[bytes]:
        lines: list[bytes] = []
        rig = given_lingering(given_active(make=recorder(lines)))
        rig.speaker.unread = [speaker.Kept(host_route(VIP), (OTHER,)), speaker.Answered(host_route(VIP), None)]
        rig.after(1000)
        assert sum(b'{"told":["handle",{"Kept"' in line for line in lines) == 1, "while the node was busy"
        return lines

    assert not differences(life())
    timer_fired = Elections.timer_fired

    def curious(self: Elections, team: Team, due: float) -> None:
        self._timers.time()
        timer_fired(self, team, due)

    monkeypatch.setattr(Elections, "timer_fired", curious)
    lines = life()
    monkeypatch.undo()
    assert not differences(lines), "the clock may be asked less often"


def test_a_bug_is_reproduced_or_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    without = takeover()
    lines: list[bytes] = []
    rig = given_active(make=recorder(lines))
    handle = Group.handle

    def mistaken(self: Group, event: events.Event, now: float) -> Effects:
        if isinstance(event, events.Heard):
            raise AssertionError("never")
        return handle(self, event, now)

    with monkeypatch.context() as patch:
        patch.setattr(Group, "handle", mistaken)
        with pytest.raises(AssertionError):
            rig.hear(250)
        done = stories(lines)[-1]
        assert isinstance(done, Done)
        assert sentences(done)[1:] == ["    broken: AssertionError: never"]
        assert transitions(done)[0].endswith("broken: AssertionError: never")
        assert sentences(stories(without)[-1])[-1].startswith("    replayed: nothing more")
    [difference] = differences(lines)
    assert difference.number == len(lines)


def test_after_a_gap_the_log_is_printed_until_the_next_run() -> None:
    lines = takeover()
    found = stories([*lines[:3], recording.lost(1), *lines[4:], *lines])
    gap = found.index(Lost(1))
    after = found[gap + 1 :]
    next_run = next(number for number, one in enumerate(after) if isinstance(one, Head))
    assert {type(one) for one in after[:next_run]} == {Logged}
    assert [line.partition("Z ")[2] for one in after[:next_run] for line in transitions(one)][-1] == SUPERSEDED
    assert not any(isinstance(one, Difference) for one in found)
    assert sentences(Lost(1)) == ["lines lost here: 1; of the rest of this run the log is told as it was recorded"]
    logged: list[Any] = [7, "log.info:9", {"log.info": [["plain"]]}, {"log.info": [[7]]}]
    broke = encode(Told(at=1001.0, told=["close"], did=logged, broken="Bug: no"))
    assert [one for story in stories([lines[0], recording.lost(1), broke])[2:] for one in sentences(story)] == [
        "2027-01-15T08:16:41.000Z plain",
        "2027-01-15T08:16:41.000Z internal-error: detail Bug: no",
    ]


def caretaker(bequest: Bequest | None, lines: list[bytes]) -> Callable[[Configuration, Ports], Node]:
    """How one is made that is recorded."""
    assert bequest is not None

    def make(configuration: Configuration, given: Ports) -> Node:
        recording = Recording(given, lines.append)
        care = partial(Caretaker, configuration, bequest=bequest, host=Nobody())
        return recording.make(care, configuration, release="1.0", process=4712, cares=True)

    return make


def test_a_caretaker_that_had_exabgp_reload_once_more_decides_so_again() -> None:
    lines: list[bytes] = []
    rig = given_active(make=recorder(lines)).handle(speaker.Greeted("5.0.15", known=True)).handle(ports.End(REPLACED))
    caring = Rig(make=caretaker(rig.node.bequest, lines)).start().after(GRACE + 0.01)
    caring.handle(ports.Succession(starts=True))
    assert [one.event for one in stories(lines) if isinstance(one, Logged)][-1] == "exabgp-reloaded-again"
    assert not differences(lines)


def test_a_caretaker_goes_on_with_what_its_predecessor_has_left() -> None:
    def end(rig: Rig) -> None:
        rig.handle(ports.Terminated()).after(2 * TELL_TALE)

    lines: list[bytes] = []
    rig = given_active(make=recorder(lines))
    end(rig)
    cares: list[bytes] = []
    caring = Rig(make=caretaker(rig.node.bequest, cares))
    caring.speaker.deaf = {host_route(VIP)}
    caring.addresses.lo, caring.memory.announced = {VIP}, {"web"}
    caring.start().after(5.0)
    caring.handle(ports.AddressLost(VIP, OSError(errno.EBUSY, "busy"))).after(5.0)
    assert caring.node.over
    assert not differences([*lines, *cares, *lines, *lines]), "and a successor without that"
    found = stories(cares)
    assert [type(one) for one in found[:2]] == [Head, Orphan]
    assert {type(one) for one in found[2:]} == {Logged}
    assert sentences(Orphan()) == [
        "what its predecessor left is not recorded here; of this run the log is told as it was recorded"
    ]


def test_a_truncated_line_is_reported() -> None:
    lines = takeover()
    assert stories([*lines[:3], lines[3][:-20]])[-1] == Torn()
    assert sentences(Torn()) == ["the agent ended while it wrote the next line"]


def words(event: events.Event, *happened: Effect) -> list[str]:
    return sentences(Done(NOON, "web", event, [("web", one) for one in happened], None))


def test_every_event_and_effect_has_a_sentence() -> None:
    settings = Rig().configuration.routers[0]
    advertisement = Advertisement(7, 80, 20, (VIP,))
    told: dict[events.Event, str] = {
        events.Recalled("web", 2, 20.25): "web: remembers silent failures: 2, the last one 20.250 s ago",
        events.Inherited("web", announced=True, active=True): (
            "web: has leftovers of a predecessor that was active, announced"
        ),
        events.Inherited("web", announced=False): "web: has leftovers of a predecessor, to be cleared",
        events.Failed("web", Fault.CHECK, "no\n"): "web: is in fault (check: no\N{REPLACEMENT CHARACTER})",
        events.Recovered("web", Fault.CHECK): "web: is in fault no longer (check)",
        events.Rated("web", 90): "web: is worth priority 90",
        events.Configured("web", settings.election(), settings.handover_settings(), 9.0): (
            "web: has another configuration"
        ),
        events.Held("web", Hold.WAITING, "for web"): "web: is held (waiting: for web)",
        events.Held("web", Hold.DRAIN, "drained"): "web: is drained (drained)",
        events.Released("web", Hold.WAITING): "web: is not held any longer (waiting)",
        events.Released("web", Hold.DRAIN): "web: is undrained",
        events.Heard("web", PEER, advertisement, 3, (3,)): f"web: heard {advertisement} from {PEER} over interface 3",
        events.Bound("web"): "web: is bound",
        events.Unbound("web", "lost"): "web: is not bound: lost",
        events.Withdrawn("web"): "web: is withdrawn, confirmed",
        events.Kept("web"): "web: cannot be withdrawn from every neighbor",
        events.Start(): "web: start",
        events.Stop(Why.SHUTDOWN, "SIGINT", StopBudget(1.5)): "web: stop within 1.5s (shutdown: SIGINT)",
        events.Abandon(): "web: the time for a stop is over",
        events.TimerFired(): "web: the alarm rang",
    }
    assert {type(event) for event in told} == {
        kind for part in get_args(events.Event) for kind in get_args(part) or (part,)
    }
    assert [words(event) for event in told] == [[f"2026-11-22T12:00:00.000Z {one}"] for one in told.values()]
    done: list[Effect] = [
        Transition(Role.BACKUP, Role.ACTIVE, Why.STARTUP, ""),
        Advertise(90),
        Step.BIND,
        NoSuccessor(5.0),
        Reclaim(PEER, 100, 2.0, 1),
        PathQuiet(PEER, 3),
        PathBack(PEER, 3),
        Notice(next(iter(Discrepancy)), PEER, "every 0.2s"),
    ]
    assert words(events.TimerFired(), *done)[1:] == [
        "    web: backup → active (startup)",
        "    web: advertise priority 90",
        "    web: bind",
        "    web: nobody has taken over within 5s",
        f"    web: traffic is reclaimed from {PEER}, which goes on with priority 100: 1",
        f"    web: nothing from {PEER} over interface 3 any more",
        f"    web: something from {PEER} over interface 3 again",
        f"    web: {next(iter(Discrepancy))}: every 0.2s",
    ]


# What is no recording of a node


def _told(*told: Any, did: tuple[Any, ...] = ()) -> bytes:
    return encode(Told(at=1001.0, told=list(told), did=list(did)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (_told("dream"), "is nothing that comes in"),
        (_told(), "is nothing that comes in"),
        (_told("close", 7), "close takes less"),
        (_told("handle", {"Dreamt": []}), "Dreamt"),
        (_told("handle", {"Answered": ["2001:db8::1/129", None]}), "2001:db8::1/129"),
        (_told("write_note", did=("speaker.set:99",)), "a question without arguments"),
        (_told("write_note", did=({"speaker.set": 7},)), "a question without arguments"),
        (b'{"line":"event","at":1001.0,"told":["write_note"],"did":[1' + b"0" * 400 + b"]}", "too large for a float"),
    ],
)
def test_what_is_no_entry_of_a_node_is_damage(line: bytes, message: str) -> None:
    lines = [*takeover()[:2], line]
    with pytest.raises(Damaged) as caught:
        stories(lines)
    assert caught.value.number == 3
    assert message in str(caught.value)


@pytest.mark.parametrize("answer", [b'"so"', b"null,7"])
def test_an_answer_of_another_kind_is_damage(answer: bytes) -> None:
    held = rb'("paths.holds:\d+":\[\[null,"2001:db8:ff::11"\]),true'
    with pytest.raises(Damaged):
        stories([re.sub(held, rb"\1," + answer, line) for line in takeover()])


def test_settings_that_no_configuration_has_are_damage() -> None:
    lines = takeover()
    for before, after in (
        (b'"vrid":1', b'"vrid":"one"'),
        (b'"advert_interval":1.0', b'"advert_interval":null'),
        (b'"source":"2001:db8:ff::11"', b'"source":null'),
    ):
        with pytest.raises(Damaged) as caught:
            stories([lines[0].replace(before, after), *lines[1:]])
        assert caught.value.number == 1
    [(_, head), *_] = read(lines)
    assert isinstance(head, Head)
    with pytest.raises(Damaged):
        stories([encode(replace_head(head, forgotten=7))])


def replace_head(head: Head, **values: Any) -> Head:
    return Head(**({name: getattr(head, name) for name in Head.__struct_fields__} | values))


def test_a_time_that_is_none_is_damage() -> None:
    lines = takeover()
    index = next(number for number, line in enumerate(lines) if b'"Arrived"' in line)
    changed = lines[index].replace(b",1,1004.0,null]", b",1,1e300,null]")
    assert changed != lines[index]
    with pytest.raises(Damaged):
        stories([*lines[:index], changed])


@given(garbage=st.binary(max_size=60))
def test_garbage_is_damage(garbage: bytes) -> None:
    with pytest.raises(Damaged):
        stories([garbage])


# The command


def call(path: Path, *options: str) -> Result:
    result = CliRunner().invoke(main, ["replay", str(path), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_replay_prints_and_is_content(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(b"".join(takeover()))
    result = call(path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(call(path, "--transitions").stdout.splitlines()) == 4


def test_replay_of_a_killed_agent_is_good(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(b"".join(takeover())[:-30])
    result = call(path, "--transitions")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "the agent ended while it wrote the next line"


def test_replay_ends_with_1_at_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    lines = takeover()
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    result = call(path)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0].startswith(f"error: {path}, line ")
    assert result.stderr.splitlines()[0].endswith(": the node does something else")


def test_replay_ends_with_1_when_lines_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    lines = takeover()
    path.write_bytes(b"".join([*lines[:-2], recording.lost(7), *lines[-2:]]))
    result = call(path)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {path}, lines lost here: 7; of the rest of this run the log is told as it was recorded\n"
    )
    assert result.stdout.splitlines()[-1].endswith("state leaving"), "told all the same"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read {path}: No such file or directory"),
        (b"", "{path}, line 1: there is no recording in it"),
        (
            b"\x00" * 100,
            "{path}, line 1: this is no line of a recording: JSON is malformed: invalid character (byte 0)",
        ),
    ],
)
def test_replay_reports_what_it_cannot_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "recording"
    if content is not None:
        path.write_bytes(content)
    result = call(path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {message.format(path=path)}\n"
    assert call(tmp_path).stderr == f"error: cannot read {tmp_path}: Is a directory\n"
