"""``exavrrp reload``: another configuration, while everything goes on that it does not change."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from exavrrp.cli import options
from exavrrp.cli.asking import answers
from exavrrp.cli.output import fail, warn
from exavrrp.control import Change, Confirm, Reload, Reloaded, Request, Scheduled, Undo, duration

PATIENCE = 40.0
"""Seconds to wait for the first answer: an agent gives up reading after thirty."""

SAID = {
    "applied": "applied",
    "unchanged": "nothing to do: what is in force is the same",
    "possible": "this is what a reload would change",
    "confirmed": "confirmed",
    "undone": "undone: what was in force before is in force again; the file on disk still differs",
    "cancelled": "called off; nothing has changed",
}
"""What each outcome means."""


def _seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _time(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Seconds since the epoch; a time without a date is the next one of today or tomorrow."""
    if text is None:
        return None
    now = datetime.now(UTC)
    for form in ("%H:%M:%SZ", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            found = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if "T" not in text:
            found = datetime.combine(now.date(), found.timetz())
            found += timedelta(days=1) if found <= now else timedelta()
        if found <= now:
            raise click.BadParameter(f"{text} is over; write a later time")
        return found.timestamp()
    raise click.BadParameter(f"{text[:64]!r} is no time; write it in UTC: 03:00:00Z or 2026-12-01T03:00:00Z")


@click.command("reload")
@click.option("--dry-run", is_flag=True, help="Only say what would change, and whether it would be refused.")
@click.option(
    "--allow-move", is_flag=True, help="Also where a router that serves here gets or loses an address, or leaves."
)
@click.option(
    "--confirm-within",
    "within",
    metavar="DURATION",
    callback=_seconds,
    help="Take it back after this time (90s, 2m) unless somebody confirms it.",
)
@click.option("--at", metavar="TIME", callback=_time, help="Do it at this time in UTC (03:00:00Z); check it now.")
@click.option("--confirm", is_flag=True, help="Keep the change that waits for it.")
@click.option("--undo", is_flag=True, help="Take the last change back, or call off the one that waits for its time.")
@options.agent
def command(
    *,
    dry_run: bool,
    allow_move: bool,
    within: float | None,
    at: float | None,
    confirm: bool,
    undo: bool,
    path: Path,
) -> None:
    """Put the configuration on disk in force, and touch only the virtual routers that it changes.

    Print each difference with its class (quiet, speaks, moves, restarts). Exit with 0 if it is in force or there is
    nothing to do, with 1 if it was refused: then nothing has changed.
    """
    if confirm and (undo or dry_run or allow_move or within or at):
        raise click.UsageError("--confirm goes with no other option")
    if undo and (dry_run or within or at):
        raise click.UsageError("--undo goes with --allow-move only")
    request: Request = Reload(dry_run=dry_run, allow_move=allow_move, confirm_within=within, at=at)
    if confirm:
        request = Confirm()
    elif undo:
        request = Undo(allow_move=allow_move)
    printed = False
    for answer in answers(path, request, patience=PATIENCE):
        if isinstance(answer, Scheduled):
            warn(answer.warnings)
            _print(answer.changes)
            click.echo(f"to be applied at {answer.at:%Y-%m-%dT%H:%M:%SZ}; exavrrp reload --undo calls it off")
            printed = True
        elif isinstance(answer, Reloaded):
            if not printed or answer.errors:
                warn(answer.warnings)
                _print(answer.changes)
            if answer.outcome == "refused":
                fail(*answer.errors)
            waits = "" if answer.until is None else f", until {answer.until:%Y-%m-%dT%H:%M:%SZ} unless it is confirmed"
            click.echo(f"{SAID[answer.outcome]}{waits}")


def _print(changes: Iterable[Change]) -> None:
    """One line a difference."""
    for one in changes:
        routers = ", ".join(f"{name}, Active here" if name in one.active else name for name in one.routers)
        click.echo(f"{one.effect:<8}  {one.key}: {one.detail}{f' ({routers})' if routers else ''}")
