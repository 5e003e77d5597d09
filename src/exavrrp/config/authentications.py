"""[authentication.NAME] → settings: which keys there are, where their secrets come from, and what is wrong with them.

This file fails closed: a key that is missing, short, unreadable or exposed, two keys that are one, and an active key
that does not exist are errors, because an agent that went on without would look protected and not be, or be deaf.

A secret is never repeated in a message, and never written by ``effective``. Who reads it (files, permissions,
credentials) must not be known here: a function is handed in, and whatever it finds is told at the key to blame.
"""

from collections.abc import Callable
from typing import Literal

from exavrrp.config import schema
from exavrrp.config.diagnosis import Document, Keys, dotted, shown
from exavrrp.config.settings import Authentication, Credential, Inline, Key, KeyFile, Place
from exavrrp.vrrp import auth

Reader = Callable[[Place], bytes]
"""The secret in its place; raises ValueError with what is wrong there and the remedy, without the secret."""


class Authentications:
    """Those of one document."""

    def __init__(self, document: Document, reader: Reader | None) -> None:
        self._document = document
        self._reader = reader

    def authentication(self, name: str, table: schema.Authentication) -> Authentication:
        """What the table means; mistakes are noted."""
        keys = ("authentication", name)
        if name == schema.UNAUTHENTICATED:
            self._document.problem(keys, f'"{name}" stands for no authentication; write another name')
        found = self._keys((*keys, "keys"), table.keys)
        ids = [key.id for key in found]
        known = all(self._document.sound((*keys, key)) for key in ("keys", "active_key"))
        if known and table.active_key not in ids:
            told = ", ".join(map(str, ids))
            self._document.problem(
                (*keys, "active_key"), f"is {table.active_key}, but keys has {told}; write one of them"
            )
        return Authentication(
            name=name,
            mode=auth.Mode(table.mode),
            window=table.window,
            active_key=table.active_key,
            keys=found,
        )

    def _keys(self, keys: Keys, tables: dict[str, object]) -> tuple[Key, ...]:
        found: dict[int, Key] = {}
        if not tables and self._document.sound(keys):
            self._document.problem(keys, 'has no key; write one by its id: { 1 = { file = "/etc/exavrrp/keys/1" } }')
        for text, content in tables.items():
            here = (*keys, text)
            number = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
            if not 1 <= number <= 255 or text != str(number):
                self._document.problem(here, "is no id of a key; write a whole number from 1 to 255")
            elif (key := self._key(here, number, content)) is not None:
                found[number] = key
                self._repeated(here, key, found)
        return tuple(found.values())

    def _key(self, keys: Keys, number: int, content: object) -> Key | None:
        if not isinstance(content, dict):
            # Perhaps the secret itself: not to be repeated.
            self._document.problem(keys, 'is no table; write { file = "…" }, { credential = "…" } or { hex = "…" }')
            return None
        place = self._place(keys, self._document.table(keys, content, schema.Key))
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
            return Key(number, place, self._secret(place))
        except ValueError as error:
            self._document.problem((*keys, kind), f"{said}{error}")
            return None

    def _place(self, keys: Keys, table: schema.Key) -> Place | None:
        kinds = [kind for kind in schema.KEY_PLACES if (*keys, kind) in self._document]
        if not kinds and self._document.sound(keys):
            self._document.problem(keys, 'holds no key; write file = "…", credential = "…" or hex = "…"')
        for kind in kinds[1:]:
            self._document.problem((*keys, kind), f"stands beside {kinds[0]}; keep one of the two")
        if len(kinds) != 1 or not self._document.sound(keys):
            return None
        if table.file is not None:
            return KeyFile(table.file)
        if table.credential is not None:
            return Credential(table.credential)
        assert table.hex is not None
        return Inline(table.hex, self._document.file)

    def _secret(self, place: Place) -> bytes | None:
        if self._reader is not None:
            return self._reader(place)
        return auth.secret(place.hex) if isinstance(place, Inline) else None

    def _repeated(self, keys: Keys, key: Key, known: dict[int, Key]) -> None:
        """A new id for an old secret would end a rotation without one."""
        same = [one.id for one in known.values() if one.secret == key.secret and one.id != key.id]
        if same and key.secret is not None:
            other = dotted((*keys[:-1], str(same[0])))
            self._document.problem(keys, f"has the secret of {other}; a new key is a new secret: openssl rand -hex 32")
