"""``exavrrp status``: how a running agent's virtual routers are now."""

from collections.abc import Collection, Sequence
from pathlib import Path

import click
from msgspec import json

from exavrrp.cli import NO, options
from exavrrp.cli.asking import answers, ending
from exavrrp.cli.output import fail
from exavrrp.control import Misunderstood, Status, StatusAnswer, chosen, encode
from exavrrp.view import Moment, Outcome, RouterView, SessionView

ACTIVE = "active"
"""As a role and as a level: what ``RouterView`` says of a router that serves."""


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")
@click.option(
    "--is-active",
    "name",
    metavar="NAME",
    shell_complete=options.router_names,
    help="Print the role of a router, service or group; exit with 0 if it is Active here and announced, else with 3.",
)
@options.agent
def command(as_json: bool, name: str | None, path: Path) -> None:
    """Show the state of this node's virtual routers and BGP sessions, as the running agent tells it."""
    for answer in answers(path, Status()):
        if not isinstance(answer, StatusAnswer):
            continue
        found = _chosen(answer.routers, name)
        if as_json:
            click.echo(json.format(encode(answer), indent=2).decode().strip())
        elif name is not None:
            click.echo(_roles(found))
        else:
            for line in (*_table(found, answer.now), *(_session(session, len(found)) for session in answer.sessions)):
                click.echo(line)
        if name is not None and not all(map(_serves, found)):
            raise SystemExit(NO)


def _chosen(routers: Sequence[RouterView], name: str | None) -> list[RouterView]:
    """Those that are meant; an unknown name ends the command."""
    try:
        names = chosen(() if name is None else (name,), {router.name: router.group for router in routers})
    except Misunderstood as error:
        fail(error)
    return [router for router in routers if router.name in names]


def _roles(routers: Collection[RouterView]) -> str:
    """Their role, if it is one; else that of each."""
    roles = {
        one.name: f"{one.role}{', not announced' if one.role == ACTIVE and not _serves(one) else ''}" for one in routers
    }
    first, *others = dict.fromkeys(roles.values())
    return first if not others else "; ".join(f"{name}: {role}" for name, role in roles.items())


def _serves(router: RouterView) -> bool:
    """Whether it is Active, and announced if it is to be."""
    return router.role == ACTIVE and (router.level == ACTIVE or not router.announces)


def _table(routers: Collection[RouterView], now: Moment | None) -> list[str]:
    """One line a router, the columns below each other."""
    rows = [
        (one.name, one.role, _age(one.since, now), one.explanation, _presence(one), _remarks(one)) for one in routers
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip() for row in rows
    ]


def _age(since: Moment | None, now: Moment | None) -> str:
    """How long it has been in its state, such as ``00:00:41`` or ``2d 03:10``; empty if an older agent did not say."""
    if since is None or now is None:
        return ""
    minutes, seconds = divmod(int(now.monotonic - since.monotonic), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02}:{minutes:02}" if days else f"{hours:02}:{minutes:02}:{seconds:02}"


def _presence(router: RouterView) -> str:
    """Whether its addresses are bound and announced, as far as they are to be."""
    bound = "binds nothing" if not router.binds else "bound" if router.bound else "unbound"
    if not router.announces:
        return f"{bound}, announces nothing"
    announced = f"announced as {router.level}" if router.level is not None else "not announced"
    wanted = (
        ""
        if router.accepted
        else f", to be {'withdrawn' if router.wanted is None else f'announced as {router.wanted}'}"
    )
    return f"{bound}, {announced}{wanted}"


def _remarks(router: RouterView) -> str:
    """Why it is not as one would expect."""
    remarks = [
        *(f"fault: {fault}" for fault in router.faults if fault not in router.explanation),
        *(f"held: {hold}" for hold in router.holds),
        *router.remarks,
    ]
    if router.untold:
        remarks.append(f"not told of its routes: {', '.join(router.untold)}")
    if router.outcome in {Outcome.DRAINING, Outcome.DRAINED}:
        remarks.insert(0, f"{router.outcome} {ending(router.until, router.persistent)}")
    elif router.outcome is Outcome.KEPT:
        remarks.insert(0, "the last drain was undone: nobody took over")
    return "; ".join(remarks)


def _session(session: SessionView, routers: int) -> str:
    """The line of one BGP session; ``routers``: how many virtual routers there are."""
    ends = session.peer if session.local is None else f"{session.peer} from {session.local}"
    if not session.up:
        return f"session {ends}: {'down' if session.up is False else 'not known, ExaBGP does not answer'}"
    counts = "every virtual router" if len(session.counts_for) == routers > 1 else ", ".join(session.counts_for)
    match session.told:
        case True:
            use = f"counts for {counts or 'no virtual router'}"
            if not counts and session.families is not None:
                carried = " and ".join(f"IPv{family}" for family in session.families)
                use += f", carries {carried or 'neither IPv4 nor IPv6'}"
        case False:
            use = "not told of our routes, so it does not count"
        case None:
            use = "not known yet whether it is told of our routes"
    return f"session {ends}: up, {use}"
