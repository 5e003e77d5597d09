"""The pictures in ``docs/why/states.md`` are what the code does: every event is tried in every state that is reached.

``pytest tests/test_pictures.py --rewrite`` draws them anew. A picture leaves out what stays in its state.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from copy import deepcopy
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar, get_args

import pytest

from exavrrp import presence
from exavrrp.presence import Binding, Handover, Leaving, Presence, Present, Stranded
from exavrrp.vrrp.packet import LEAVING, Advertisement
from exavrrp.vrrp.router import (
    Active,
    Backup,
    Event,
    Prioritise,
    Received,
    Release,
    Role,
    Router,
    Settings,
    Shutdown,
    Startup,
    Timeout,
    Transition,
    Why,
    Yield,
)

PATH = Path(__file__).parents[1] / "docs" / "why" / "states.md"
BEGIN = "```mermaid\n"
VIPS = (ip_address("2001:db8:53::1"),)
US, OTHER = ip_address("2001:db8:ff::12"), ip_address("2001:db8:ff::11")

Machine = TypeVar("Machine")
Edge = tuple[str, str, str]
"""From which state to which one, and why."""


def explored(
    begin: Machine, moves: Callable[[Machine], Iterable[tuple[Machine, Edge]]], key: Callable[[Machine], Hashable]
) -> Iterator[Edge]:
    """Every edge from every machine that ``moves`` leads to; ``key``: what two of them must share to be one state."""
    known, waiting = {key(begin)}, [begin]
    while waiting:
        for machine, edge in moves(waiting.pop()):
            yield edge
            if key(machine) not in known:
                known.add(key(machine))
                waiting.append(machine)


def picture(edges: Iterable[Edge], begin: str) -> str:
    """Mermaid's text for ``edges``: one arrow from state to state, with every reason for it."""
    reasons: dict[tuple[str, str], set[str]] = {}
    for before, after, why in edges:
        if before != after:
            reasons.setdefault((before, after), set()).add(why)
    lines = ["stateDiagram-v2", f"    [*] --> {begin}"]
    for (before, after), whys in sorted(reasons.items()):
        lines.append(f"    {before} --> {after}: {', '.join(sorted(whys))}")
    return "\n".join(lines) + "\n"


# The election


def election(priority: int, *, preempt: bool) -> Iterator[Edge]:
    return explored(Router(Settings(7, priority, 1.0, US, VIPS, preempt)), _elections, _election_key)


def _elections(before: Router) -> Iterator[tuple[Router, Edge]]:
    """What each event makes of ``before``: at once, when its timer fires, and when its machine was stopped."""
    events: list[Event] = [
        Startup(),
        Startup(resuming=True),
        Shutdown(Why.DRAIN),
        Shutdown(Why.FAULT),
        Shutdown(Why.UNREACHABLE),
        Release(Shutdown(Why.DRAIN)),
        Timeout(),
        Prioritise(1),
        Yield(Why.SUPERSEDED),
        *(Received(OTHER, Advertisement(7, priority, 100, VIPS)) for priority in (LEAVING, 50, 254)),
    ]
    begin = _last(before)
    for now in (begin + 0.5, before.deadline or begin, begin + 60):
        for event in events:
            after = deepcopy(before)
            actions = after.handle(event, now)
            transitions = [action for action in actions if isinstance(action, Transition)]
            for transition in transitions:
                releasing = transition.before is Role.ACTIVE and before.releasing is not None
                yield after, (_role(transition.before, releasing=releasing), _role(transition.after), transition.why)
            if not transitions:
                yield after, (_election(before), _election(after), type(event).__name__.lower())


def _last(router: Router) -> float:
    """The time of its last event, or an equivalent one."""
    state = router.state
    return state.heard if isinstance(state, Backup) else state.deadline - 1 if isinstance(state, Active) else 0.0


def _election(router: Router) -> str:
    return _role(router.role, releasing=router.releasing is not None)


def _role(role: Role, *, releasing: bool = False) -> str:
    return "Active_releasing" if releasing else role.title()


def _election_key(router: Router) -> Hashable:
    state = router.state
    if isinstance(state, Backup):
        found = (state.following, state.resigned is None, state.inferior is None, state.resuming)
        return (router.priority, *found)
    return (router.priority, type(state), router.advertised, router.releasing is None)


# The handover


def handover(order: Handover, **backup: bool) -> Iterator[Edge]:
    """``backup``: ``standby`` or ``prebind``."""
    settings = presence.Settings(order, hold=1.0, linger=2.0, ceiling=30.0, stale=180.0, **backup)
    return explored(Presence(settings), _handovers, _handover_key)


def _handovers(before: Presence) -> Iterator[tuple[Presence, Edge]]:
    now = before.deadline or 0.0
    for event in set(presence.Event) - {presence.Event.ABANDONED, presence.Event.UNBOUND}:  # as the page says
        after = deepcopy(before)
        after.handle(event, now)
        yield after, (_handover(before), _handover(after), event.name.lower())


def _handover(of: Presence) -> str:
    match of.state:
        case Present(level):
            return f"Present_{level}"
        case Leaving():
            return f"Leaving_{of.state.stage}"
        case _:
            return type(of.state).__name__


def _handover_key(of: Presence) -> Hashable:
    match of.state:
        case Binding(level, goal, doubtful):
            found: tuple[object, ...] = (level, goal, doubtful)
        case Stranded(_, withdrawn, has_successor):
            found = (withdrawn, has_successor)
        case _:
            found = (of.deadline is None,)
    return (_handover(of), found, of.standing_by)


# The page

PICTURES: dict[str, Callable[[], str]] = {
    "The election": lambda: picture(
        [*election(100, preempt=True), *election(100, preempt=False), *election(255, preempt=True)], "Initialize"
    ),
    "Make before break": lambda: picture(handover(Handover.MAKE_BEFORE_BREAK), "Absent"),
    "Break before make": lambda: picture(handover(Handover.BREAK_BEFORE_MAKE), "Absent"),
}


def redrawn(page: str) -> str:
    """``page`` with the picture of each chapter as the code has it now."""
    for title, draw in PICTURES.items():
        begin = page.index(BEGIN, page.index(f"## {title}\n")) + len(BEGIN)
        page = page[:begin] + draw() + page[page.index("```\n", begin) :]
    return page


def test_the_pictures_are_what_the_code_does(request: pytest.FixtureRequest) -> None:
    page = PATH.read_text(encoding="utf-8")
    if request.config.getoption("--rewrite"):
        PATH.write_text(redrawn(page), encoding="utf-8")
    else:
        assert page == redrawn(page)


def test_a_picture_has_every_state() -> None:
    """The control: an exploration that ends early would draw a small picture, and pass."""
    drawn = {name for before, after, _ in election(100, preempt=False) for name in (before, after)}
    assert drawn == {"Initialize", "Backup", "Active", "Active_releasing"}
    states = {one.__name__ for one in get_args(presence.State)}
    orders = [
        handover(Handover.MAKE_BEFORE_BREAK, standby=True),
        handover(Handover.MAKE_BEFORE_BREAK, prebind=True),
        handover(Handover.BREAK_BEFORE_MAKE),
    ]
    assert {name.partition("_")[0] for edges in orders for edge in edges for name in edge[:2]} == states
