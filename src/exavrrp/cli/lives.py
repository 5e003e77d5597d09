"""The lives in a journal: how the process before had ended when an agent, or a caretaker, began."""

from collections.abc import Sequence

from exavrrp.chronicle import BEGAN, CARES, DETACHED, ENDING, REPLACED, SUCCEEDED, Entry
from exavrrp.cli.style import milliseconds

BEGINNINGS = frozenset({BEGAN, CARES})
"""The entry that each life has once, a moment after its first ones."""


def predecessor(entries: Sequence[Entry], place: int) -> str | None:
    """How the process before that which began with ``entries[place]`` had ended; None: the journal knows of none."""
    begin = max((index for index in range(place) if entries[index].event in BEGINNINGS), default=None)
    if begin is None:
        return None
    life, began = entries[begin:place], entries[place]
    if began.event == CARES:
        return "ExaBGP had ended its agent (SIGTERM) and ran on, and a caretaker went on with what is announced"
    match next((entry.fields.get("reason") for entry in reversed(life) if entry.event == ENDING), None):
        case None:
            return _without_a_word(began.fields.get("exabgp_ran_on"))
        case str(end) if end not in {REPLACED, SUCCEEDED}:
            return f"the process before was stopped ({end})"
        case _ if any(entry.event == DETACHED for entry in life):
            alone = milliseconds((began.at.time - life[0].at.time).total_seconds())
            return (
                f"{alone} before, ExaBGP had ended its agent and started no other one, as it does when its"
                " configuration does not load; a caretaker went on with what is announced"
            )
        case _:
            return "ExaBGP had ended its agent (SIGTERM) and ran on, as in a full reload (SIGUSR2)"


def _without_a_word(exabgp_ran_on: object) -> str:
    if exabgp_ran_on is True:
        return "the agent before had been killed or had crashed, and ExaBGP ran on"
    more = ", and so was ExaBGP" if exabgp_ran_on is False else ""
    return f"the agent before left no word: it had been killed{more}, or its host had lost power"


def beginning(entries: Sequence[Entry], place: int) -> str:
    """An entry of ``BEGINNINGS`` in words."""
    who = "a caretaker" if entries[place].event == CARES else "the agent"
    before = predecessor(entries, place)
    return f"{who} began" if before is None else f"{who} began: {before}"
