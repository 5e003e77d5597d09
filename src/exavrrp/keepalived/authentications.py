"""``authentication`` of VRRPv2 → plain_password; ``auth_hmac`` of keepalived 2.4 → tables [authentication.NAME]."""

import re
from dataclasses import dataclass, field

from exavrrp.keepalived.checks import Lines
from exavrrp.keepalived.ledger import Ledger, Verdict, nothing, other, overridden, printable, same, whole
from exavrrp.keepalived.names import Names
from exavrrp.keepalived.nearest import nearest
from exavrrp.keepalived.reading import Directive

LEAST_KEY, MOST_KEY = 32, 64
"""Bytes (``vrrp.auth``)."""


@dataclass(slots=True)
class Authentications:
    """All of them; those that say the same are one table."""

    ledger: Ledger
    tables: dict[str, Lines] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    """as they stand in the tables"""
    _names: Names = field(default_factory=Names)

    def password(self, block: Directive, version: int) -> str | None:
        """``authentication``: the password of a router of VRRPv2; None if there is none."""
        if version != 2:
            self.ledger.left(block, "is of VRRPv2, and keepalived ignores it in VRRPv3; nearest: [authentication.NAME]")
            return None
        words = {child.name: child for child in block.children}
        kind, word = words.get("auth_type"), words.get("auth_pass")
        if kind is None or word is None or not word.arguments:
            self.ledger.left(block, "only auth_type PASS with its auth_pass is known; nearest: VRRPv3, and auth_hmac")
            return None
        # The other nodes drop adverts without their authentication, and would be Active beside this one.
        if kind.arguments[:1] != ("PASS",):
            self.ledger.fault(kind, "is not PASS, the only one here; change it on all nodes, or go on to VRRPv3, first")
            return None
        password = word.words[1][:8]
        if re.fullmatch(r"[!-~]{1,8}", password) is None:
            self.ledger.fault(
                word, "has to be of printable ASCII characters without white space; change it on all nodes first"
            )
            return None
        again = overridden(block.children, ())
        self.ledger.note(block, same("plain_password"))
        for child in block.children:
            if child in again:
                self.ledger.left(child, f"{again[child].place} counts in its place")
            elif child is word or child is kind:
                self.ledger.note(child, same("plain_password, of which 8 characters count"))
            else:
                self.ledger.left(child, nearest(child.name, "authentication"))
        self.secrets.append(password)
        return password

    def signed(self, block: Directive, name: str, version: int) -> str | None:
        """``auth_hmac`` of the router ``name``: the name of its table; None if there is none."""
        if version == 2:
            self.ledger.left(block, "signs VRRPv3 alone")
            return None
        lines: Lines = {}
        keys: dict[str, dict[str, str]] = {}
        verdicts: list[tuple[Directive, Verdict]] = []
        again = overridden(block.children, ("key",))
        for child in block.children:
            if child in again:
                verdict: Verdict | None = nothing(f"{again[child].place} counts in its place")
            elif child.name == "key":
                verdict = self._key(child, keys)
            else:
                verdict = self._said(child, lines)
            verdicts.append((child, verdict or nothing(nearest(child.name, "authentication"))))
        if "active_key" not in lines:
            self.ledger.fault(block, "has no active_key; write the id of the key that signs")
        self.ledger.note(block, same("a table [authentication.NAME]"))
        for child, verdict in verdicts:
            self.ledger.note(child, verdict)
        table = {**lines, "keys": keys}
        for known, content in self.tables.items():
            if content == table:
                return known
        made = self._names.new(name)
        self.tables[made] = table
        return made

    def _said(self, child: Directive, lines: Lines) -> Verdict | None:
        match child.name:
            case "active_key":
                lines["active_key"] = whole(self.ledger, child, 1, 255)
                return same("active_key")
            case "time_window":
                lines["window"] = whole(self.ledger, child, 1, 300)
                return same(f"window = {lines['window']}")
            case "mode":
                if child.arguments not in (("enforce",), ("permissive",), ("receive-only",)):
                    self.ledger.fault(child, "holds no mode; write enforce, permissive or receive-only")
                else:
                    lines["mode"] = child.words[1]
                return same("mode")
            case "anti_replay":
                if child.arguments in ((), ("on",), ("true",), ("yes",)):
                    return same("is always so")
                return other("what is signed is accepted once, always")
        return None

    def _key(self, child: Directive, keys: dict[str, dict[str, str]]) -> Verdict:
        verdict = same("keys")
        if len(child.words) != 3 or not re.fullmatch(r"[1-9][0-9]{0,2}", child.words[1]) or int(child.words[1]) > 255:
            self.ledger.fault(child, "is no key; write its id from 1 to 255 and file:PATH, hex:DIGITS or text")
            return verdict
        _, number, value = child.words
        if number in keys:
            self.ledger.fault(child, f"{number} stands twice; write another id")
        elif value.startswith("file:"):
            keys[number] = {"file": value.removeprefix("file:")}
        else:
            digits = value.removeprefix("hex:") if value.startswith("hex:") else value.encode().hex()
            known = re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", digits) is not None
            if not known or not LEAST_KEY <= len(digits) // 2 <= MOST_KEY:
                self.ledger.fault(child, f"{printable(number)} has not {LEAST_KEY} to {MOST_KEY} bytes")
                return verdict
            keys[number] = {"hex": digits}
            self.secrets.append(digits)
            verdict = other("keys, in the file itself, which nobody else may read: nearest is file:PATH")
        return verdict
