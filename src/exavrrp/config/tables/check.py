"""``[check.NAME]`` → settings: of which kind it is, and what that kind (``kinds``) makes of its keys."""

from collections.abc import Callable

from msgspec import Struct

from exavrrp.config.diagnosis import Document
from exavrrp.config.kinds import KINDS, Kind, Probe, Shell, part
from exavrrp.config.places import Keys
from exavrrp.config.schema import AnyCheck
from exavrrp.config.settings import Check
from exavrrp.health import Initial

PreflightError = Callable[[Probe], tuple[str, str] | None]
"""Why a probe cannot work on this host: the key that is to blame, and what is wrong with it, with the remedy."""


def read(document: Document, name: str, table: Struct, preflight_error: PreflightError | None) -> Check:
    """What ``[check.NAME]``, a ``kinds.Check``, means; mistakes are noted. ``preflight_error``: as in ``load``."""
    keys = ("check", name)
    probe = _probe(document, keys, table)
    whole = all(document.sound((*keys, key)) for key in ("user", "ca_file"))
    if probe is not None and whole and preflight_error is not None and (found := preflight_error(probe)) is not None:
        key, reason = found
        document.problem((*keys, key), reason)
    common = part(table, AnyCheck)
    return Check(
        name=name,
        probe=probe or Shell(":"),  # a stand-in after a mistake
        interval=common.interval,
        fast_interval=_fast_interval(document, (*keys, "fast_interval"), common),
        timeout=common.timeout,
        rise=common.rise,
        fall=common.fall,
        weight=common.weight,
        reverse=common.reverse,
        initial=Initial(common.initial),
    )


def _fast_interval(document: Document, keys: Keys, table: AnyCheck) -> float:
    if table.fast_interval is None:
        return table.interval
    if table.fast_interval > table.interval and document.sound((*keys[:-1], "interval")):
        document.problem(keys, f"is {table.fast_interval:g}, above an interval of {table.interval:g}; write less")
    return table.fast_interval


def _probe(document: Document, keys: Keys, table: Struct) -> Probe | None:
    """What the check asks; None after a mistake."""
    here = [kind for kind in KINDS if (*keys, kind.name) in document]
    if not here and all(document.sound((*keys, kind.name)) for kind in KINDS):
        others = ", ".join(kind.name for kind in KINDS if kind.name != "command")
        document.problem(
            (*keys, "command"),
            f'is missing; write the program and its arguments as a list: ["/usr/bin/curl", …], or one of {others}',
        )
    for kind in here[1:]:
        document.problem((*keys, kind.name), f"stands beside {here[0].name}; keep one of the two: a check has one kind")
    if len(here) != 1:
        return None
    _foreign_options(document, keys, here[0])
    if getattr(table, here[0].name) is None:  # wrong, and noted
        return None
    return here[0].read(document, keys, part(table, here[0].keys))


def _foreign_options(document: Document, keys: Keys, kind: Kind) -> None:
    """Note the options that are for another kind."""
    for option in dict.fromkeys(option for other in KINDS for option in other.options):
        if option not in kind.options and (*keys, option) in document:
            theirs = " or ".join(other.name for other in KINDS if option in other.options)
            document.problem((*keys, option), f"is for checks with {theirs}, not {kind.name}; remove it")
