"""``exavrrp drain``: hand over for maintenance."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NoReturn

import click
from msgspec.structs import replace

from exavrrp.cli import NO, options
from exavrrp.cli.asking import answers
from exavrrp.cli.output import fail, warn
from exavrrp.control import Begun, Done, Drain, Moved, Progress, Unready
from exavrrp.findings import ending
from exavrrp.view import Outcome

WAIT = 60.0
"""Seconds that ``--wait`` waits unless it is told otherwise: twice what an agent tries for."""


@click.command("drain")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=options.router_names)
@click.option(
    "--for",
    "seconds",
    metavar="DURATION",
    callback=options.seconds,
    help="Undrain after this time (90s, 30m, 2h, 1h30m, 2d).",
)
@click.option("--wait", is_flag=True, help="Return when another node serves, or none has taken over (status 3).")
@click.option("--force", is_flag=True, help="Also where no peer is ready to take over; it is tried for some 30 s.")
@click.option("--until-restart", is_flag=True, help="End the drain with this agent.")
@options.limit(WAIT, "How long --wait waits; the drain goes on.")
@options.agent
def command(
    *,
    names: tuple[str, ...],
    seconds: float | None,
    wait: bool,
    force: bool,
    until_restart: bool,
    limit: float,
    path: Path,
) -> None:
    """Hand over this node's virtual routers (or only NAME), and keep them out of the election until undrain.

    NAME is that of a virtual router, of a service with addresses of both families, or of a group.

    The drain outlives restarts unless --until-restart is given. If no other node takes over, it is cancelled, and this
    node serves on. Where beacons say that none is ready, it is refused at once (status 3); --force tries all the same.
    """
    request = Drain(names=names, seconds=seconds, persist=not until_restart, wait=wait, force=force)
    routers: dict[str, Moved] = {}
    printed: set[str] = set()
    for answer in answers(path, request, limit if wait else None):
        match answer:
            case Begun(routers=moved, warning=warning) | Done(routers=moved, warning=warning):
                routers |= {router.name: router for router in moved}
                if warning is not None and isinstance(answer, Begun) is wait:
                    warn([warning])
            case Progress(name=name, outcome=outcome) if name in routers:
                routers[name] = replace(routers[name], outcome=outcome)
            case Unready(routers=unready):
                _refuse(unready)
            case _:
                continue
        for router in routers.values():
            if router.name not in printed and (router.outcome is not Outcome.DRAINING or not wait):
                printed.add(router.name)
                click.echo(_sentence(router))
    _conclude(routers.values(), wait)


def _refuse(unready: Mapping[str, str]) -> NoReturn:
    fail(
        *(f"{name}: no peer is ready to take over: {why}" for name, why in unready.items()),
        "nothing was drained; see what keeps the peers from it (exavrrp status there), or add --force",
        status=NO,
    )


def _sentence(router: Moved) -> str:
    """What the drain means for one router."""
    if router.outcome is Outcome.KEPT:
        return f"{router.name}: kept: nobody took over"
    if router.outcome is Outcome.SERVING:
        return f"{router.name}: serving"
    already = "already " if router.already else ""
    return f"{router.name}: {already}{router.outcome} {ending(router.until, router.persistent)}"


def _conclude(routers: Collection[Moved], wait: bool) -> None:
    """End the command with the status that says what became of the drain."""
    kept = [router.name for router in routers if router.outcome is Outcome.KEPT]
    back = [router.name for router in routers if router.outcome is Outcome.SERVING]
    if kept:
        fail(
            f"nobody took over {', '.join(kept)}, so this node serves on; see what keeps the other nodes from it"
            " (exavrrp status there), then drain again. To stop all the same, stop ExaBGP.",
            status=NO,
        )
    if back and wait:
        fail(f"somebody has undrained {', '.join(back)} meanwhile")
