"""The report: what was taken over, what differently, what not, and what a person has to fill in."""

from collections.abc import Sequence

from exavrrp.keepalived.ledger import Entry, Outcome
from exavrrp.keepalived.reading import visible

FILL_IN = "To fill in"


def report(entries: Sequence[Entry], missing: Sequence[tuple[str, str]]) -> str:
    """``entries`` by their lists; ``missing``: (file and key, what it is)."""
    parts = []
    for outcome in Outcome:
        lines = [_line(one) for one in entries if one.outcome is outcome]
        parts.append("\n".join([f"{outcome.value} ({len(lines)})", *lines]))
    filled = [visible(f"  {where}: {what}") for where, what in missing]
    parts.append("\n".join([f"{FILL_IN} ({len(filled)})", *filled]))
    return "\n\n".join(parts) + "\n"


def _line(entry: Entry) -> str:
    return visible(f"  {entry.place}: {entry.text} -> {entry.remark}")
