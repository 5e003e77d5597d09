"""Entries of the journal in words, a line each."""

from collections.abc import Callable, Mapping
from datetime import datetime

from exavrrp.chronicle import ADVERTISED, PHASE, TRANSITION, Entry
from exavrrp.cli.style import milliseconds


def stamp(at: datetime, now: datetime | None = None) -> str:
    """The time of day, with milliseconds; with the date if that is another one than ``now``'s."""
    day = "" if now is not None and at.date() == now.date() else f"{at:%Y-%m-%d} "
    return f"{day}{at:%H:%M:%S}.{at.microsecond // 1000:03}"


def sentence(entry: Entry) -> str:
    """What has happened; the router first, if it concerns one."""
    about = f"{entry.router}: " if entry.router else ""
    return f"{about}{_WORDS.get(entry.event, _plainly)(entry)}"


def _transition(entry: Entry) -> str:
    told = entry.fields
    detail = f": {told['detail']}" if told.get("detail") else ""
    return f"{told.get('before')} -> {told.get('after')} ({told.get('reason')}{detail})"


def _phase(entry: Entry) -> str:
    return f"{entry.fields.get('phase')} {after(entry)} after that"


def after(entry: Entry) -> str:
    """How long after its transition a phase was completed."""
    seconds = entry.fields.get("seconds")
    return milliseconds(seconds) if isinstance(seconds, int | float) else "?"


def _advertised(entry: Entry) -> str:
    told = entry.fields
    priority, before, silent = told.get("priority"), told.get("before"), told.get("silent")
    if priority == 0:
        return f"{told.get('peer')} says priority 0: it leaves"
    if before is None:
        return f"first advert of {told.get('peer')}, priority {priority}"
    if before == priority and isinstance(silent, int | float):
        return f"{told.get('peer')} advertises again after {silent:.1f} s, priority {priority}"
    return f"{told.get('peer')} says priority {priority}, before {before}"


def _plainly(entry: Entry) -> str:
    told = dict(entry.fields)
    detail = told.pop("detail", None)
    names = " ".join(f"{name}={_value(value)}" for name, value in told.items())
    return " ".join(part for part in (entry.event, names, f"({detail})" if detail else "") if part)


def _value(value: object) -> str:
    return ",".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


_WORDS: Mapping[str, Callable[[Entry], str]] = {
    TRANSITION: _transition,
    PHASE: _phase,
    ADVERTISED: _advertised,
}
