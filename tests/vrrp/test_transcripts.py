"""Replays ``rfc9568/*.txt``: what one virtual router does, sentence by sentence of RFC 9568 and of the profile.

The inputs:

    router SOURCE priority P every SECONDS [no-preempt] [preempt-delay SECONDS] [learning FROM to TO]
    TIME startup | resume | timeout | shutdown | fault [DETAIL …] | release [DETAIL …] | prioritise P
    TIME received SOURCE priority P every SECONDS [listing ADDRESS …]
    TIME configure every SECONDS [listing ADDRESS …] [OPTION …]

``router`` begins a new story. What comes out of an input is the router's actions in their order and then its state.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from exavrrp.vrrp.packet import Address, Advertisement
from exavrrp.vrrp.router import (
    Action,
    Active,
    Advertise,
    Backup,
    Configure,
    Event,
    Initialize,
    Notice,
    Prioritise,
    Received,
    Release,
    Router,
    Settings,
    Shutdown,
    Startup,
    State,
    Timeout,
    Transition,
    Why,
)

TRANSCRIPTS = sorted((Path(__file__).parent / "rfc9568").glob("*.txt"))
VRID = 7
VIPS: dict[int, Address] = {4: ip_address("198.51.100.1"), 6: ip_address("2001:db8:53::1")}


class Replay:
    """Feeds the lines of one transcript to a router."""

    def __init__(self) -> None:
        self.router: Router | None = None
        self.now = 0.0

    def __call__(self, line: str) -> Iterator[str]:
        match line.split():
            case ["router", source, "priority", priority, "every", interval, *options]:
                self.router = Router(_settings(ip_address(source), int(priority), float(interval), options))
                self.now = 0.0
            case [time, *words] if self.router is not None:
                if float(time) < self.now:
                    raise ValueError(f"time goes back from {self.now:g}")
                self.now = float(time)
                yield from map(_action, self.router.handle(_event(words, self.router.settings), self.now))
            case _:
                raise ValueError("a transcript begins with a router")
        yield _state(self.router.state)


def _settings(source: Address, priority: int, interval: float, options: list[str]) -> Settings:
    preempt, delay, learned = True, 0.0, (0.01, 40.95)
    while options:
        match options:
            case ["no-preempt", *rest]:
                preempt = False
            case ["preempt-delay", seconds, *rest]:
                delay = float(seconds)
            case ["learning", least, "to", most, *rest]:
                learned = float(least), float(most)
            case _:
                raise ValueError(f"unknown option {options[0]!r}")
        options = rest
    vips = (VIPS[source.version],)
    return Settings(VRID, priority, interval, source, vips, preempt, delay, *learned)


def _event(words: list[str], settings: Settings) -> Event:
    match words:
        case ["configure", "every", interval, "listing", address, *options]:
            configured = _settings(settings.source, settings.priority, float(interval), options)
            return Configure(replace(configured, addresses=(ip_address(address),)))
        case ["configure", "every", interval, *options]:
            return Configure(_settings(settings.source, settings.priority, float(interval), options))
        case ["startup"]:
            return Startup()
        case ["resume"]:
            return Startup(resuming=True)
        case ["timeout"]:
            return Timeout()
        case ["shutdown"]:
            return Shutdown()
        case ["fault", *detail]:
            return Shutdown(Why.FAULT, " ".join(detail))
        case ["release", *detail]:
            return Release(Shutdown(Why.DRAIN, " ".join(detail)))
        case ["prioritise", priority]:
            return Prioritise(int(priority))
        case ["received", source, "priority", priority, "every", interval, *listing]:
            peer = ip_address(source)
            vips = _listed(listing) or (VIPS[peer.version],)
            return Received(peer, Advertisement(VRID, int(priority), round(float(interval) * 100), vips))
        case _:
            raise ValueError("no such event")


def _listed(words: list[str]) -> tuple[Address, ...]:
    match words:
        case []:
            return ()
        case ["listing", *addresses] if addresses:
            return tuple(map(ip_address, addresses))
        case _:
            raise ValueError(f"'listing' and addresses were expected, not {' '.join(words)!r}")


def _action(action: Action) -> str:
    match action:
        case Advertise(priority):
            return f"advertise priority {priority}"
        case Transition(before, after, why, detail):
            return f"{before} → {after}: {why}" + (f" ({detail})" if detail else "")
        case Notice(discrepancy, _, detail):
            return f"notice {discrepancy}: {detail}"


def _state(state: State) -> str:
    match state:
        case Initialize():
            return "initialize"
        case Backup(deadline, interval, following=following):
            return f"backup: deadline {_seconds(deadline)}, every {interval:g}s, follows {following or 'nobody'}"
        case Active(deadline, advertised, releasing=releasing):
            releases = "" if releasing is None else f", releasing, with priority {advertised} until then"
            return f"active: deadline {_seconds(deadline)}{releases}"


def _seconds(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) > 10


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, transcript: Callable[[Path, Replay], None]) -> None:
    replay = Replay()
    transcript(path, replay)
    assert replay.router is not None, "nothing was replayed"


@pytest.mark.parametrize(
    "line",
    [
        "0 startup",
        "router",
        "router 2001:db8::11 priority 100",
        "router 2001:db8::300:11:: priority 100 every 1",
        "router 2001:db8::11 priority 100 every 1 preempts",
    ],
)
def test_a_line_that_is_not_understood_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(Replay()(line))


@pytest.mark.parametrize(
    "line",
    [
        "startup",
        "0 start",
        "0 timeout now",
        "-1 timeout",
        "0 prioritise",
        "0 received 2001:db8::12 priority 100",
        "0 received 2001:db8::12 priority 100 every 1 listing",
        "0 received 2001:db8::12 priority 100 every 1 and more",
    ],
)
def test_an_event_that_is_not_understood_is_an_error(line: str) -> None:
    replay = Replay()
    list(replay("router 2001:db8::11 priority 100 every 1"))
    with pytest.raises(ValueError, match=r"."):
        list(replay(line))
