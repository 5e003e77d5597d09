"""[authentication.NAME] → settings: which keys there are, where their secrets come from, and what is wrong with them.

This file fails closed: a key that is missing, short, unreadable or exposed, two keys that are one, and an active key
that does not exist are errors, because an agent that went on without would look protected and not be, or be deaf.

A secret is never repeated in a message, and never written by ``effective``. Who reads it (files, permissions,
credentials) must not be known here: a function is handed in, and whatever it finds is told at the key to blame.
"""

from collections.abc import Callable
from typing import Literal

from exavrrp.config import schema
from exavrrp.config.diagnosis import Document, dotted, shown
from exavrrp.config.places import Keys
from exavrrp.config.settings import Authentication, Credential, Inline, Key, KeyFile, Place
from exavrrp.vrrp import auth

Reader = Callable[[Place], bytes]
"""The secret in its place; raises ValueError with what is wrong there and the remedy, without the secret."""


def read(document: Document, name: str, table: schema.Authentication, secrets: Reader | None) -> Authentication:
    """What ``[authentication.NAME]`` means; mistakes are noted. Without ``secrets`` only inline keys are known."""
    keys = ("authentication", name)
    if name == schema.UNAUTHENTICATED:
        document.problem(keys, f'"{name}" stands for no authentication; write another name')
    found = _keys(document, (*keys, "keys"), table.keys, secrets)
    ids = [key.id for key in found]
    known = all(document.sound((*keys, key)) for key in ("keys", "active_key"))
    if known and table.active_key not in ids:
        told = ", ".join(map(str, ids))
        document.problem((*keys, "active_key"), f"is {table.active_key}, but keys has {told}; write one of them")
    return Authentication(
        name=name,
        mode=auth.Mode(table.mode),
        window=table.window,
        active_key=table.active_key,
        keys=found,
    )


def _keys(document: Document, keys: Keys, tables: dict[str, object], secrets: Reader | None) -> tuple[Key, ...]:
    found: dict[int, Key] = {}
    if not tables and document.sound(keys):
        document.problem(keys, 'has no key; write one by its id: { 1 = { file = "/etc/exavrrp/keys/1" } }')
    for text, content in tables.items():
        here = (*keys, text)
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
        if not 1 <= number <= 255 or text != str(number):
            document.problem(here, "is no id of a key; write a whole number from 1 to 255")
        elif (key := _key(document, here, number, content, secrets)) is not None:
            found[number] = key
            _repeated(document, here, key, found)
    return tuple(found.values())


def _key(document: Document, keys: Keys, number: int, content: object, secrets: Reader | None) -> Key | None:
    if not isinstance(content, dict):
        # Perhaps the secret itself: not to be repeated.
        document.problem(keys, 'is no table; write { file = "…" }, { credential = "…" } or { hex = "…" }')
        return None
    place = _place(document, keys, document.table(keys, content, schema.Key))
    if place is None:
        return None
    kind: Literal["file", "credential", "hex"]
    match place:
        case KeyFile(path):
            kind, said = "file", f"is {shown(path)}, which "
        case Credential(name):
            kind, said = "credential", f"is {shown(name)}, which "
        case Inline():
            kind, said = "hex", ""
    try:
        return Key(number, place, _secret(place, secrets))
    except ValueError as error:
        document.problem((*keys, kind), f"{said}{error}")
        return None


def _place(document: Document, keys: Keys, table: schema.Key) -> Place | None:
    kinds = [kind for kind in schema.KEY_PLACES if (*keys, kind) in document]
    if not kinds and document.sound(keys):
        document.problem(keys, 'holds no key; write file = "…", credential = "…" or hex = "…"')
    for kind in kinds[1:]:
        document.problem((*keys, kind), f"stands beside {kinds[0]}; keep one of the two")
    if len(kinds) != 1 or not document.sound(keys):
        return None
    if table.file is not None:
        return KeyFile(table.file)
    if table.credential is not None:
        return Credential(table.credential)
    assert table.hex is not None
    return Inline(table.hex, document.file)


def _secret(place: Place, secrets: Reader | None) -> bytes | None:
    if secrets is not None:
        return secrets(place)
    return auth.secret(place.hex) if isinstance(place, Inline) else None


def _repeated(document: Document, keys: Keys, key: Key, known: dict[int, Key]) -> None:
    """Note a key with another id and the same secret: who rotates to it has changed nothing."""
    same = [other.id for other in known.values() if other.secret == key.secret and other.id != key.id]
    if same and key.secret is not None:
        place = dotted((*keys[:-1], str(same[0])))
        document.problem(keys, f"has the secret of {place}; a new key is a new secret: openssl rand -hex 32")
