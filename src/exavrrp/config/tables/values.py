"""Values that several tables have."""

from collections.abc import Sequence

from exavrrp.config import schema
from exavrrp.config.diagnosis import Document
from exavrrp.config.places import Keys
from exavrrp.config.tables.names import defined


def whole_centiseconds(document: Document, keys: Keys, seconds: float) -> float:
    """``seconds`` as an advert can tell them."""
    rounded = round(seconds * 100) / 100
    if abs(rounded - seconds) > 1e-6:
        document.problem(keys, f"is {seconds:g}; write {rounded:g}: an advert tells its interval in steps of 0.01 s")
    return rounded


def interfaces(document: Document, keys: Keys, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The interfaces that may carry adverts; None: all."""
    return None if names is None else document.texts(keys, names, str)


def authentication(document: Document, keys: Keys, name: str) -> str | None:
    """The name of an authentication; None: there is to be none, or there is none of that name."""
    if name == schema.UNAUTHENTICATED:
        return None
    return document.text(keys, name, lambda name: defined(document, "authentication", name))


def listed(values: Sequence[object]) -> str:
    """The first of them, for a message."""
    return ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
