"""What keepalived tracks → tables [check.NAME]: scripts, processes, files and interfaces.

A weight belongs to a check here, and to each use of it there: uses with other weights become checks of their own. What
nobody uses is not carried out by keepalived either, and not taken over.
"""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from exavrrp.config.toml import quoted
from exavrrp.keepalived.ledger import Ledger, Verdict, nothing, number, other, overridden, printable, same, whole
from exavrrp.keepalived.lexing import Slip, program
from exavrrp.keepalived.names import Names
from exavrrp.keepalived.nearest import nearest
from exavrrp.keepalived.reading import Directive

Lines = dict[str, object]
"""Keys and values of a table."""

Notes = list[tuple[Directive, Verdict]]

OWN_USER = 'runs as ExaBGP\'s user, without capabilities; write user = "…" if ExaBGP runs as root'
GROUPS = "with the groups of that user"
ROOT_ALONE = "remove user where ExaBGP is neither root nor that user, as with the shipped unit (User=exabgp)"
SIGNAL = "needs the right to signal the process, which ExaBGP's user has not"
POLLED = 0.2
"""Seconds between two looks at an interface, of which the kernel tells keepalived at once."""

MOST = 254
"""The greatest weight that keepalived reads; it makes 253 of it."""

TRACKED = {
    "track_script": "vrrp_script",
    "track_process": "vrrp_track_process",
    "track_file": "vrrp_track_file",
    "track_interface": "interface",
}
"""Blocks that use checks, and the blocks that define these."""


class Weights(Enum):
    """Which weights count where something is tracked (keepalived's vrrp.c: vrrp_complete_instance and after it)."""

    ALL = "all"
    OWNER = "owner"
    """none, by a router with priority 255"""
    MEMBER = "member"
    """some, by a member of a sync group without ``sync_group_tracking_weight``"""
    CLEARED = "cleared"
    """each is 0, by a sync group that has a member with priority 255"""


@dataclass(slots=True)
class Tracked:
    """A script, process or file as its block defines it."""

    directive: Directive
    lines: Lines
    weight: int
    """where a use has none of its own"""
    reverse: bool
    notes: Notes
    """what has become of its directives, if anybody uses it"""
    refusal: str = ""
    """why there is no such check here"""
    used: bool = False


@dataclass(slots=True)
class Checks:
    """All checks; ``tables`` holds those that are used, by their names."""

    ledger: Ledger
    user: str | None = None
    """``script_user``"""
    tables: dict[str, Lines] = field(default_factory=dict)
    _defined: dict[tuple[str, str], Tracked] = field(default_factory=dict)
    _names: Names = field(default_factory=Names)
    _made: dict[tuple[object, ...], str] = field(default_factory=dict)

    def define(self, block: Directive) -> None:
        """``vrrp_script``, ``vrrp_track_process``, ``vrrp_track_file`` or ``track_file``."""
        kind = "vrrp_track_file" if block.name == "track_file" else block.name
        if len(block.words) != 2:
            self.ledger.fault(block, "has no name; write one")
        elif (kind, block.words[1]) in self._defined:
            self.ledger.fault(block, f"{printable(block.words[1])} is defined twice; remove one of the two")
        else:
            reader = {"vrrp_script": self._script, "vrrp_track_process": self._process, "vrrp_track_file": self._file}
            self._defined[kind, block.words[1]] = self._read(block, reader[kind])

    def use(self, use: Directive, block: str, weights: Weights, own: str | None) -> str | None:
        """The name of the check for one line of the block ``track_…`` of a router or group; None if there is none.

        ``own``: the interface of the router.
        """
        made = self._wanted(use, block, weights, own)
        if made is None:
            return None
        name, verdict = made
        self.ledger.note(use, verdict)
        return name

    def interface(self, name: str, weight: int = 0, *, reverse: bool = False) -> str:
        """The name of the check of an interface."""
        lines: Lines = {"interface": name, "interval": POLLED, "rise": 1, "fall": 1}
        return self._table(("interface", name), name, lines, weight, reverse)

    def finish(self) -> None:
        """Note what has become of the definitions."""
        for tracked in self._defined.values():
            if tracked.refusal:
                self.ledger.left(tracked.directive, tracked.refusal)
            elif not tracked.used:
                self.ledger.left(
                    tracked.directive, "no virtual router tracks it, and keepalived does not run it either"
                )
            else:
                for directive, verdict in tracked.notes:
                    self.ledger.note(directive, verdict)

    def _wanted(self, use: Directive, block: str, weights: Weights, own: str | None) -> tuple[str, Verdict] | None:
        kind, name = TRACKED[block], use.words[0]
        tracked = self._defined.get((kind, name))
        if kind != "interface" and tracked is None:
            self.ledger.left(use, f"there is no {kind} of this name, and keepalived ignores it")
            return None
        weight, reverse = (0, False) if tracked is None else (tracked.weight, tracked.reverse)
        weighed = self._weight(use, use.arguments, weight, reverse=reverse)
        if weighed is None:
            return None
        weight, reverse = weighed
        counted, reason = _counted(kind, weight, weights)
        if tracked is not None and tracked.refusal:
            reason = f"see {tracked.directive.place}: {tracked.refusal}"
        elif name == own and kind == "interface":
            reason = "is the router's own interface, which keepalived tracks anyway"
        if reason:
            self.ledger.left(use, reason)
            return None
        limited = max(-253, min(253, counted))
        if tracked is None:
            made, remark = self.interface(name, limited, reverse=reverse), f": in fault or weighed within {POLLED:g} s"
        else:
            tracked.used = True
            made, remark = self._table((kind, name), name, tracked.lines, limited, reverse), ""
        if counted != weight:
            remark += "; without its weight, which keepalived clears, too: it is a fault"
        elif limited != weight:
            remark += f"; weight {limited}, the most that counts"
        if limited and weights is Weights.MEMBER:
            remark += "; its weight counts in keepalived, too, and here the least priority of the group is everybody's"
            return made, other(f'"{made}" in checks{remark}')
        return made, same(f'"{made}" in checks{remark}')

    def _weight(self, use: Directive, words: tuple[str, ...], weight: int, *, reverse: bool) -> tuple[int, bool] | None:
        """``weight N [reverse|noreverse]``; None after a mistake."""
        match words:
            case ():
                return weight, reverse
            case ("weight", text, *more) if more in ([], ["reverse"], ["noreverse"]):
                if re.fullmatch(r"[+-]?[0-9]{1,9}", text) and abs(int(text)) <= MOST:
                    return int(text), more == ["reverse"] or (more == [] and reverse)
        known = "weight and a whole number from -253 to 253, then reverse or noreverse if it is meant"
        self.ledger.fault(use, f'holds "{printable(" ".join(words))}"; write {known}')
        return None

    def _table(self, kind: tuple[str, str], name: str, lines: Lines, weight: int, reverse: bool) -> str:
        """The name of the check with these lines; made when it is first asked for."""
        key = (*kind, weight, reverse)
        if key not in self._made:
            self._made[key] = self._names.new(name)
            made: Lines = {**lines, "weight": weight, **({"reverse": True} if reverse else {})}
            if kind[0] == "vrrp_script" and "initial" not in lines:
                made["initial"] = _initial(weight, reverse=reverse)
            self.tables[self._made[key]] = made
        return self._made[key]

    # Definitions

    def _read(self, block: Directive, reader: "Callable[[Directive, Tracked], Verdict | None]") -> Tracked:
        """A definition: ``reader`` looks at each of its directives, and says what becomes of it."""
        tracked = Tracked(block, {}, 1 if block.name.endswith("track_file") else 0, reverse=False, notes=[])
        tracked.notes.append((block, same("a table [check.NAME]")))
        again = overridden(block.children, ())
        for child in block.children:
            if child in again:
                verdict = nothing(f"{again[child].place} counts in its place")
            elif child.name == "weight":
                verdict = self._default_weight(child, tracked)
            else:
                verdict = reader(child, tracked) or nothing(nearest(child.name, "check"))
            tracked.notes.append((child, verdict))
        return self._complete(block, tracked)

    def _complete(self, block: Directive, tracked: Tracked) -> Tracked:
        needed = {"vrrp_script": ("command", "shell", "process"), "vrrp_track_process": ("process",)}.get(
            block.name, ("file",)
        )
        if not tracked.refusal and not any(key in tracked.lines for key in needed):
            tracked.refusal = (
                f"has nothing to look at: {block.name} without {needed[0] if len(needed) == 1 else 'script'}"
            )
        tracked.lines.setdefault("rise", 1)
        tracked.lines.setdefault("fall", 1)
        if block.name == "vrrp_script":
            tracked.lines.setdefault("interval", 1.0)
            tracked.lines.setdefault("timeout", tracked.lines["interval"])
            if "process" in tracked.lines:
                starts = nothing("a check with process starts no program")
                tracked.lines.pop("user", None)
                tracked.notes = [(one, starts if one.name == "user" else verdict) for one, verdict in tracked.notes]
            elif self.user is not None:
                tracked.lines.setdefault("user", self.user)
        return tracked

    def _default_weight(self, child: Directive, tracked: Tracked) -> Verdict:
        found = self._weight(child, child.words, tracked.weight, reverse=False)
        if found is not None:
            tracked.weight, tracked.reverse = found
        return same("weight, where a use has none of its own")

    def _script(self, child: Directive, tracked: Tracked) -> Verdict | None:
        lines = tracked.lines
        match child.name:
            case "script":
                whose = self.user or any(one.name == "user" for one in tracked.directive.children)
                return self._command(child, lines, "" if whose else f"; {OWN_USER}")
            case "interval" | "timeout":
                found = number(self.ledger, child, 0.01, 86400)
                lines[child.name] = found
                return same(f"{child.name} = {found}")
            case "rise" | "fall":
                count = whole(self.ledger, child, 1, 1000)
                lines[child.name] = count
                return same(f"{child.name} = {count}")
            case "user":
                if not child.arguments:
                    self.ledger.fault(child, "names no user; write one")
                    return None
                lines["user"] = child.words[1]
                groups = f", {GROUPS}" if len(child.words) > 2 else ""
                return other(f"user = {quoted(child.words[1])}{groups}; {ROOT_ALONE}")
            case "init_fail":
                lines["initial"] = "fail"
                return same('initial = "fail"')
        return None

    def _command(self, child: Directive, lines: Lines, who: str) -> Verdict | None:
        words = command(self.ledger, child)
        if words is None:
            return None
        for key in ("command", "shell"):
            lines.pop(key, None)
        if len(child.words) > 2:
            dropped = printable(" ".join(child.words[2:]))
            who += f"; keepalived runs it without {dropped}, which is not in its quotes: check what is meant"
        name = words[0].rpartition("/")[2]
        if name in ("kill", "killall", "pkill") and "-0" in words:
            sought = [word for word in words[1:] if word not in ("-0", "-q")]
            if name == "killall" and len(sought) == 1 and re.fullmatch(r"[^-/][^/]*", sought[0]):
                lines["process"] = sought[0]
                return other(f"process = {quoted(sought[0])}, since {shlex.join(words)} {SIGNAL}")
            who += f"; {name} -0 {SIGNAL}: write process or pgrep in its place"
        if words[0].startswith("/"):
            lines["command"] = list(words)
            return other(f"command{who}") if who else same("command")
        lines["shell"] = shlex.join(words)
        return other(f"shell, since {printable(words[0])} has no path: /bin/sh looks for it in PATH{who}")

    def _process(self, child: Directive, tracked: Tracked) -> Verdict | None:
        lines = tracked.lines
        match child.name:
            case "process":
                words = child.arguments
                if len(words) != 1 or "/" in words[0]:
                    tracked.refusal = (
                        "processes are known by their names alone here; write a check with"
                        ' command = ["/usr/bin/pgrep", "-f", "^/usr/sbin/web --port 80"]'
                    )
                    return nothing(tracked.refusal)
                lines["process"] = words[0]
                return same(f"process = {quoted(words[0])}; looked for once a second")
            case "quorum":
                lines["at_least"] = whole(self.ledger, child, 1, 10000)
                return same(f"at_least = {lines['at_least']}")
            case "full_command" | "param_match" | "quorum_max":
                tracked.refusal = f"there is no {child.name}; write a check with command or shell (pgrep) in its place"
                return nothing(tracked.refusal)
            case "fork_delay" | "terminate_delay" | "delay":
                return nothing("rise and fall of the check are runs, one a second: write rise or fall = the seconds")
        return None

    def _file(self, child: Directive, tracked: Tracked) -> Verdict | None:
        match child.name:
            case "file":
                path = " ".join(child.arguments)
                if not path.startswith("/"):
                    tracked.refusal = "its path is not absolute; write one that begins with /"
                    return nothing(tracked.refusal)
                tracked.lines |= {"file": path, "file_value": True}
                return same("file, with file_value = true; read once a second")
        return None


def _counted(kind: str, weight: int, weights: Weights) -> tuple[int, str]:
    """The weight that counts in keepalived, or why it does not track this at all."""
    if weight == 0 or weights is Weights.ALL:
        return weight, ""
    if weights is Weights.CLEARED or (kind == "vrrp_track_file" and weight == 1):  # a file's default
        return 0, ""
    if weights is Weights.OWNER:
        return weight, "keepalived ignores it, too: no weight changes priority 255"
    if kind in ("vrrp_script", "vrrp_track_file"):
        return weight, "keepalived ignores it, too: a member of a sync group tracks it with a weight"
    return weight, ""  # keepalived logs that it ignores an interface's weight, and counts it


def _initial(weight: int, *, reverse: bool) -> str:
    """What is presumed of a script before its first result: that its weight changes nothing (measured)."""
    if weight == 0:
        return "wait"
    return "fail" if (weight > 0) is not reverse else "pass"


def command(ledger: Ledger, directive: Directive) -> tuple[str, ...] | None:
    """The program of ``directive`` and its arguments: the first word alone, measured. None after a mistake."""
    try:
        words = program(directive.words[1]) if len(directive.words) > 1 else ()
    except Slip as slip:
        ledger.fault(directive, str(slip))
        return None
    if not words or not words[0]:
        ledger.fault(directive, "names no program; write one")
        return None
    return words
