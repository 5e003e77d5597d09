"""What ``exavrrp status`` prints of a whole node: two lines about it, a table of its routers, and what is wrong."""

from collections.abc import Iterator

from exavrrp.cli.style import age, folded, milliseconds, table
from exavrrp.control import StatusAnswer
from exavrrp.findings import ACTIVE, BACKUP, findings
from exavrrp.view import Moment, Outcome, RouterView

HEADINGS = ("ROUTER", "VRID", "STATE", "SINCE", "PRIORITY", "ACTIVE", "LO", "BGP")
_ROUTER, _ACTIVE = HEADINGS.index("ROUTER"), HEADINGS.index("ACTIVE")
YIELDING = ((_ROUTER, 16), (_ACTIVE, 16), (_ROUTER, 8), (_ACTIVE, 8))
"""The columns that are cut where a line would be too long, and to which width."""


def overview(answer: StatusAnswer) -> Iterator[str]:
    """The lines, each of at most 80 columns."""
    yield from heading(answer)
    yield ""
    yield from routers(answer)
    yield from problems(answer)


def heading(answer: StatusAnswer) -> Iterator[str]:
    """The lines about the node itself."""
    if answer.differs:
        yield "the configuration on disk is not in force: exavrrp reload --dry-run"
    yield from folded("; ".join(about_agent(answer)), f"{answer.host}  " if answer.host else "")
    yield from folded("; ".join(about_speaker(answer)))


def routers(answer: StatusAnswer) -> list[str]:
    """The table: its headings, and a line for each virtual router."""
    return table(HEADINGS, [_row(one, answer.now) for one in answer.routers], YIELDING)


def problems(answer: StatusAnswer) -> Iterator[str]:
    """The lines about what is wrong."""
    for finding in findings(answer):
        yield from folded(str(finding), " ! ", "   ")


def about_agent(answer: StatusAnswer) -> Iterator[str]:
    """The agent in parts of a sentence."""
    up = ""
    if answer.began is not None and answer.now is not None:
        up = f", up {age(answer.now.monotonic - answer.began.monotonic)}"
    yield f"exavrrp {answer.release}{up}"
    if answer.lateness is not None and answer.lateness.maximum is not None:
        yield f"event loop at most {milliseconds(max(answer.lateness.maximum, 0.0))} late in the last hour"


def about_speaker(answer: StatusAnswer) -> Iterator[str]:
    """ExaBGP and what it is connected to, likewise."""
    exabgp = answer.exabgp
    if exabgp is not None:
        name = f"ExaBGP {exabgp.version}" if exabgp.version is not None else "ExaBGP"
        if not exabgp.answers:
            yield f"{name} does not answer"
        elif exabgp.answer_seconds is not None:
            yield f"{name} answers in {milliseconds(exabgp.answer_seconds)}"
        else:
            yield name
    if any(session.up is None for session in answer.sessions):
        yield f"{len(answer.sessions)} sessions, not known whether up"
    else:
        yield f"{sum(bool(session.up) for session in answer.sessions)} of {len(answer.sessions)} sessions up"
    ways = (path for router in answer.routers for peer in router.peers for path in peer.paths if path.leads)
    if uplinks := dict.fromkeys(path.interface for path in ways):
        yield f"uplinks {', '.join(uplinks)}"


def _row(router: RouterView, now: Moment | None) -> tuple[str, ...]:
    return (
        router.name,
        f"{router.vrid:>3}{'' if router.family is None else f' IPv{router.family}'}",
        state(router),
        "" if router.since is None or now is None else age(now.monotonic - router.since.monotonic),
        f"0 of {router.priority}" if router.faults else f"{router.priority}",
        _active(router),
        _bound(router),
        announced(router),
    )


def state(router: RouterView) -> str:
    """The state in a word."""
    if router.role in {ACTIVE, BACKUP}:
        return router.role.upper()
    if router.faults:
        return "FAULT"
    if router.outcome in {Outcome.DRAINING, Outcome.DRAINED}:
        return router.outcome.upper()
    return "WAITING" if router.holds else "INIT"


def _active(router: RouterView) -> str:
    """Who is Active, with its priority."""
    if router.role == ACTIVE:
        return "here"
    for peer in router.peers:
        if peer.address == router.active:
            return f"{peer.address} {peer.priority}"
    return "-"


def _bound(router: RouterView) -> str:
    """Whether its addresses are on lo."""
    if not router.binds:
        return "n/a"
    if not router.on_lo:
        return "yes" if router.bound else "no"
    if any(address.present is None for address in router.on_lo):
        return "?"
    present = sum(bool(address.present) for address in router.on_lo)
    return "yes" if present == len(router.on_lo) else "some" if present else "no"


def announced(router: RouterView) -> str:
    """How ExaBGP announces it, and what is to come: ``active med 50``, ``- > active``."""
    if not router.announces:
        return "n/a"
    worth = next((route for route in router.routes if route.wanted is not None), None)
    med = "" if worth is None or worth.med is None else f" med {worth.med}"
    if not router.accepted:
        return f"{router.level or '-'} > {router.wanted or '-'}"
    return "-" if router.level is None else f"{router.level}{med}"
