"""The pump between ExaBGP's client and two descriptors that the test controls."""

from collections import deque
from collections.abc import Callable
from errno import EPIPE
from ipaddress import ip_network
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exavrrp.pump import BATCH, LONGEST_LINE, Lines, Pump
from exavrrp.routes import Attributes, Network, Route
from exavrrp.speaker import Anomaly, Answered, Disconnected, Event, Greeted
from exavrrp.speaker.channel import PULSE
from exavrrp.speaker.dialects import V5
from tests.ports import Clock

A, B = ip_network("2001:db8:53::1"), ip_network("2001:db8:53::2")
GREETING = f"{V5.THROWAWAY}\n{V5.RESET}\n{V5.VERSION}\n".encode()
HEADING = b"Peer            AS        up/down state       |     #sent     #recvd\n"


def route(network: Network) -> Route:
    return Route(network, Attributes(med=50))


class Ends:
    """ExaBGP's ends of both pipes, and the pump in between."""

    def __init__(self, tell: Callable[[Event], None] | None = None, room: int = 1 << 20) -> None:
        self.told: list[Event] = []
        self.clock = Clock()
        self.heard = b""
        self.room = room
        """bytes that are taken; less than none: it is gone"""
        self.waiting: deque[bytes | OSError] = deque()
        self.reads = 0
        self.pump = Pump(tell or self.told.append, self._read, self._write)
        self.pump.own([route(A), route(B)])
        self.pump.begin(self.clock)

    def _read(self) -> bytes:
        self.reads += 1
        if not self.waiting:
            raise BlockingIOError
        given = self.waiting.popleft()
        if isinstance(given, OSError):
            raise given
        return given

    def _write(self, data: bytes) -> int:
        if self.room < 0:
            raise BrokenPipeError(EPIPE, "Broken pipe")
        taken = data[: self.room]
        self.room -= len(taken)
        self.heard += taken
        return len(taken)

    def say(self, *data: bytes | OSError) -> None:
        self.waiting += data
        self.pump.readable()

    def take(self) -> bytes:
        """What was heard since the last time."""
        heard, self.heard = self.heard, b""
        return heard

    def greet(self) -> "Ends":
        self.say(b"error\nexabgp 5.0.15\ndone\n")
        self.say(b"done\n")
        self.say(HEADING + b"done\ndone\n")
        self.take()
        return self


def test_lines() -> None:
    lines = Lines(longest=5)
    assert lines.feed(b"do") == []
    assert lines.feed(b"ne\r\n\nerr") == ["done", ""]
    assert lines.feed(b"or\ntoo long") == ["error"]
    assert lines.feed(b" and longer") == []
    assert lines.feed(b"\n12345\n123456\n\xff\n") == ["12345", "\ufffd"]
    assert lines.dropped == 2


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    whole, pieces = Lines(longest=20), Lines(longest=20)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    told = [line for start, end in pairwise(places) for line in pieces.feed(data[start:end])]
    assert told == whole.feed(data)
    assert pieces.dropped == whole.dropped
    assert all(len(line) <= 20 for line in told)


def test_the_longest_line_holds_more_than_an_update() -> None:
    assert LONGEST_LINE > 4096 * 2


def test_it_greets_and_sends_the_desired_set_at_the_end_of_the_turn() -> None:
    ends = Ends()
    assert ends.take() == GREETING
    ends.greet()
    assert ends.told[0] == Greeted("5.0.15", known=True)
    assert ends.pump.dialect is V5
    ends.pump.inherit([B])
    assert ends.pump.may_announce([B])
    ends.pump.set([route(A), route(B)])
    ends.pump.change({B: None})
    assert (ends.take(), ends.pump.owes, dict(ends.pump.wanted)) == (b"", True, {A: route(A)})
    ends.clock.turn()
    assert ends.take().count(b"\n") == 2, "a command for each"
    assert not ends.pump.owes
    assert ends.pump.may_announce([A])
    assert not ends.pump.settled
    ends.say(b"done\ndone\n")
    while ends.take():
        ends.say(b"done\n")
    assert ends.pump.has_carried_out([A])
    assert Answered(A, route(A)) in ends.told
    assert (ends.pump.settled, ends.pump.established) == (True, frozenset())


def test_flushed_commands_are_sent_now_and_not_again() -> None:
    ends = Ends().greet()
    ends.pump.flush()
    assert ends.take() == b"", "nothing is wanted"
    ends.pump.set([route(A)])
    ends.pump.flush()
    assert ends.take() != b""
    ends.clock.turn()
    assert ends.take() == b""


def test_everything_is_said_once_more_in_other_words_so_that_exabgp_writes() -> None:
    ends = Ends().greet()
    ends.pump.set([route(A)])
    ends.clock.turn()
    before = ends.take()
    ends.say(b"done\ndone\n")
    while ends.take():
        ends.say(b"done\n")
    assert ends.pump.settled
    ends.pump.repeat()
    ends.clock.turn()
    after = ends.take()
    for prefix in (f"{A}", f"{B}"):
        (one,), (other,) = ([line for line in said.decode().split("\n") if prefix in line] for said in (before, after))
        assert one != other
        assert one.split()[:2] == other.split()[:2], "announced once more, or withdrawn"


def test_nothing_is_sent_before_the_start() -> None:
    pump = Pump(lambda _: None, bytes, len)
    pump.own([route(A)])
    pump.set([route(A)])
    assert not pump.owes
    pump.close()


def test_the_rest_is_written_when_there_is_room_and_nothing_before_it() -> None:
    ends = Ends(room=5)
    assert (ends.take(), ends.pump.unwritten) == (GREETING[:5], GREETING[5:])
    ends.pump.writable()
    assert ends.pump.unwritten == GREETING[5:], "none yet"
    ends.pump.set([route(A)])
    ends.clock.turn()
    ends.room = 3
    ends.pump.writable()
    assert ends.take() == GREETING[5:8]
    ends.room = 1 << 20
    ends.pump.writable()
    assert (ends.take(), ends.pump.unwritten) == (GREETING[8:], b"")
    ends.room = -1
    ends.pump.writable()
    assert ends.told == [], "where nothing waits nothing is written"
    ends.room = 1 << 20
    ends.greet()


def test_changes_while_the_pipe_is_full_are_sent_once_and_after_the_rest() -> None:
    ends = Ends().greet()
    ends.pump.set([])
    ends.clock.turn()
    while said := ends.take():
        ends.say(b"done\n" * said.count(b"\n"))
    assert ends.pump.settled
    ends.room = 7
    for _ in range(20):
        for wanted in ([route(A)], [route(A), route(B)], [route(B)]):
            ends.pump.set(wanted)
            ends.clock.turn()
    ends.room = 1 << 20
    ends.pump.writable()
    first, second = ends.take().decode().splitlines()
    assert (str(A) in first, str(B) in second) == (True, True)


def test_a_closed_pipe_is_reported_once() -> None:
    for broken, why in (
        (b"", "end of file on stdin"),
        (ConnectionResetError(104, "Connection reset by peer"), "stdin: Connection reset by peer"),
    ):
        ends = Ends()
        ends.say(b"exabgp 5.0.15\ndone\n", broken, b"exabgp 4.2.25\n")
        assert ends.told == [Greeted("5.0.15", known=True), Disconnected(why)]
        ends.pump.set([route(A)])
        ends.pump.readable()
        ends.pump.writable()
        ends.clock.run(ends.clock.now + 100)
        assert ends.told[2:] == []


def test_a_write_that_fails_is_the_end() -> None:
    ends = Ends().greet()
    ends.room = -1
    ends.pump.set([route(A)])
    ends.clock.turn()
    assert ends.told[-1] == Disconnected("stdout: Broken pipe")
    assert ends.clock.armed == []


def test_a_listener_may_close_the_pump_and_change_the_desired_set() -> None:
    told: list[Event] = []

    def listen(event: Event) -> None:
        told.append(event)
        ends.pump.set([route(A)])
        ends.pump.flush()
        ends.pump.close()

    ends = Ends(listen)
    ends.take()
    ends.say(b"exabgp 5.0.15\ndone\nexabgp 5.0.15\n" + b"done\n" * 3)
    assert told == [Greeted("5.0.15", known=True)], "nothing after it is closed"
    ends.say(b"error\n")
    assert len(told) == 1
    assert b"announce " in ends.take()


def test_waiting_answers_are_read_before_time_counts_as_passed() -> None:
    """After a pause of ours the answers are waiting, and do not count as late."""
    ends = Ends().greet()
    ends.pump.set([route(A)])
    ends.clock.turn()
    ends.waiting.append(b"done\ndone\n" * 3)
    before = len(ends.told)
    ends.clock.now += 100
    ends.clock.run(ends.clock.now)
    assert Answered(A, route(A)) in ends.told[before:]


def test_answers_that_wait_are_reported_when_asked_for() -> None:
    ends = Ends().greet()
    ends.pump.set([route(A)])
    ends.clock.turn()
    ends.waiting.append(b"done\ndone\n" * 3)
    before = len(ends.told)
    ends.pump.catch_up(ends.clock.now)
    assert Answered(A, route(A)) in ends.told[before:]
    assert b"withdraw " in ends.take(), "what is due then is written"


def test_answers_are_read_once_for_all_who_ask_at_one_moment() -> None:
    ends = Ends().greet()
    for moment in range(2):
        ends.reads, now = 0, ends.clock.now
        for until in (now, now - 1.0, now):
            ends.pump.catch_up(until)
        assert ends.reads == 1, moment
        ends.clock.now += 1.0
    ends.pump.close()
    ends.pump.catch_up(ends.clock.now)
    assert ends.reads == 1, "nobody is there to hear"


def test_a_heartbeat_is_requested_and_its_answer_is_timed() -> None:
    ends = Ends().greet()
    ends.clock.run(ends.clock.now + PULSE + 0.1)
    assert V5.PROBE.encode() in ends.take()
    ends.clock.now += 0.25
    ends.say(HEADING + b"done\n")
    assert ends.pump.answer_seconds is not None
    assert ends.pump.answer_seconds >= 0.25


def test_a_listener_that_closes_when_the_alarm_rings_ends_it() -> None:
    ends = Ends().greet()
    ends.waiting.append(b"")
    ends.clock.run(ends.clock.now + PULSE + 0.1)
    assert ends.told[-1] == Disconnected("end of file on stdin")
    assert (ends.take(), ends.clock.armed) == (b"", [])


def test_a_flood_does_not_delay_the_alarm() -> None:
    ends = Ends().greet()
    ends.reads = 0
    ends.say(*[b"{}\n"] * (BATCH + 3))
    assert (ends.reads, len(ends.waiting)) == (BATCH, 3)


def test_a_line_without_end_is_dropped_and_reported() -> None:
    ends = Ends()
    ends.say(*[b"x" * 16384] * 5)
    assert ends.told == [Anomaly(f"a line of more than {LONGEST_LINE} bytes was left out")]
    ends.say(b"x\nexabgp 5.0.15\ndone\n")
    assert ends.told[1:] == [Greeted("5.0.15", known=True)]
