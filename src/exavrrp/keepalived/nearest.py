"""What is not taken over, and what is nearest to it: sentences of what ``config.foreign`` has for each keyword."""

from exavrrp.config.foreign import KEEPALIVED, Takes

UNKNOWN = "keepalived knows no such keyword here, and ignores it"


def nearest(word: str, kind: str) -> str:
    """What to write in place of a keyword that stands in a table of this kind (as entries of ``foreign`` name it)."""
    word = word.lower().replace("-", "_")
    counterpart = KEEPALIVED.get(f"{kind}.{word}") or KEEPALIVED.get(word)
    if counterpart is None:
        return UNKNOWN
    told = []
    for line in counterpart.lines:
        example = " (for example)" if counterpart.takes is Takes.EXAMPLE and line.text else ""
        told.append(f"{line.text}{example} in [{line.table}]" if line.text else f"a table [{line.table}]")
    near = f"nearest: {' and '.join(told)}" if told else ""
    return "; ".join(part for part in (near, counterpart.remark) if part)
