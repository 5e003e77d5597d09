"""ExaBGP's configuration file, as far as it decides about failover, for ``exavrrp check`` and ``exavrrp doctor``.

Only read, and by a reader of our own: blocks, statements and templates, whatever else the file has. What it does not
understand is no finding. A setting is judged only where the file says it, or where ExaBGP's default is known.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from exavrrp.config import Configuration
from exavrrp.findings import Finding
from exavrrp.system.lock import PROC, is_agent

STANDARD = Path("/etc/exabgp/exabgp.conf")
"""Where the units of ExaBGP's packages, and of ours, have it."""

LONGEST = 1 << 20
"""Bytes of a file that are read."""

DEFAULT_HOLD = 180
"""Seconds, where a neighbor has no ``hold-time`` (ExaBGP 4.2 and 5.0)."""

LONG = 10
"""Seconds of hold time for which a dead node's route is bearable."""

OFF = {"disable", "disabled", "false", "off", "0"}

_TOKEN = re.compile(r"""#[^\n]*|"[^"\n]*"|'[^'\n]*'|[{};]|[^\s{};"'#]+""")


@dataclass(slots=True)
class Section:
    """A block: the words before its brace, its statements, and the blocks within it."""

    words: tuple[str, ...] = ()
    statements: list[tuple[str, ...]] = field(default_factory=list)
    sections: list["Section"] = field(default_factory=list)

    def within(self, name: str) -> Iterator["Section"]:
        """Its blocks whose first word is that."""
        return (one for one in self.sections if one.words[:1] == (name,))

    def said(self, name: str) -> Iterator[tuple[str, ...]]:
        """The other words of its statements whose first word is that, without brackets."""
        return (one[1:] for one in self.statements if one[:1] == (name,))


def parsed(text: str) -> Section:
    """The whole file as a block without words. Raises nothing."""
    top = Section()
    open_: list[Section] = [top]
    words: list[str] = []
    for part in _TOKEN.findall(text):
        if part == "{":
            made = Section(tuple(words))
            open_[-1].sections.append(made)
            open_.append(made)
            words = []
        elif part in ";}":
            if words:
                open_[-1].statements.append(tuple(words))
            words = []
            if part == "}" and len(open_) > 1:
                open_.pop()
        elif not part.startswith("#"):
            words += [word for word in re.split(r"[\[\],\s]+", part.strip("\"'")) if word]
    return top


class Neighbor:
    """One of them, with what it inherits: its own blocks first."""

    def __init__(self, section: Section, templates: dict[str, Section]) -> None:
        self.peer = section.words[1] if len(section.words) > 1 else "?"
        inherited = (name for said in section.said("inherit") for name in said)
        self._sections = [section, *(templates[name] for name in inherited if name in templates)]

    def _blocks(self, name: str) -> list[Section]:
        return [one for section in self._sections for one in section.within(name)]

    def hold_time(self) -> int:
        """Seconds; 0: without end."""
        for section in self._sections:
            for words in section.said("hold-time"):
                with suppress(ValueError, IndexError):
                    return int(words[0])
        return DEFAULT_HOLD

    def restarts_gracefully(self) -> bool:
        """Whether its routes stay when it is gone."""
        for block in self._blocks("capability"):
            for words in block.said("graceful-restart"):
                return not OFF & set(words)
        return False

    def families(self) -> set[int] | None:
        """4 and 6, of unicast; None: it does not say."""
        blocks = self._blocks("family")
        lines = [words for block in blocks for words in block.statements]
        if not blocks or any(words[0] in {"all", "minimal"} for words in lines):
            return None
        named = {("ipv4", "unicast"): 4, ("ipv6", "unicast"): 6}
        return {named[pair] for words in lines if (pair := words[:2]) in named}

    def processes(self) -> set[str] | None:
        """That its ``api`` lists; None: it lists them by patterns."""
        blocks = self._blocks("api")
        if any(True for block in blocks for _ in block.said("processes-match")):
            return None
        return {name for block in blocks for words in block.said("processes") for name in words}

    def has_local_address(self) -> bool:
        """Whether it says which end is ours."""
        return any(words != ("auto",) for section in self._sections for words in section.said("local-address"))

    def tells_changes(self) -> bool:
        """Whether its ``api`` says when its session comes and goes."""
        return any(True for block in self._blocks("api") for _ in block.said("neighbor-changes"))


def judged(
    file: str, text: str, families: Collection[int], rivals: Collection[str], *, names_self: bool = False
) -> Iterator[Finding]:
    """What is wrong in a file of ExaBGP's.

    ``families``: that virtual routers announce; ``rivals``: the virtual routers that have no ``takeover``;
    ``names_self``: whether any is announced with ``next-hop self``.
    """
    top = parsed(text)
    templates = {
        one.words[1]: one for each in top.within("template") for one in each.within("neighbor") if len(one.words) > 1
    }
    neighbors = [Neighbor(one, templates) for one in top.within("neighbor")]
    processes = list(top.within("process"))
    if not processes:
        yield Finding("exabgp-process-missing", "", f"{file} has no process: ExaBGP starts no agent, a reload ends it")
    ours = {name: one for one in processes for name in one.words[1:2] if _is_ours(one)}
    for name, process in ours.items():
        if not any(words == ("json",) for words in process.said("encoder")):
            yield Finding("exabgp-encoder", "", f"{file}: process {name} has no encoder json")
    for neighbor in neighbors:
        yield from _of(f"{file}: neighbor {neighbor.peer}", neighbor, ours, rivals, names_self)
    carried = [neighbor.families() for neighbor in neighbors]
    for family in sorted(families):
        if carried and all(one is not None and family not in one for one in carried):
            yield Finding("exabgp-family-missing", "", f"{file}: no neighbor carries ipv{family} unicast")


def _is_ours(process: Section) -> bool:
    return any("exavrrp" in word for words in process.said("run") for word in words)


def _of(
    where: str, neighbor: Neighbor, ours: Collection[str], rivals: Collection[str], names_self: bool
) -> Iterator[Finding]:
    listed = neighbor.processes()
    if ours and listed is not None and not listed.intersection(ours):
        yield Finding("neighbor-unlisted", "", f"{where} does not list {' or '.join(sorted(ours))} in its api")
        return  # routes of ours do not get there
    if listed != set() and not neighbor.tells_changes():
        yield Finding("exabgp-changes-untold", "", f"{where} has no neighbor-changes in its api")
    if names_self and not neighbor.has_local_address():
        text = f"{where} has no local-address, so ExaBGP refuses next-hop self at times"
        yield Finding("local-address-missing", "", text)
    hold = neighbor.hold_time()
    if rivals and not 0 < hold <= LONG:
        kept = f"for {hold} s" if hold else "without end"
        text = f"{where}: routers keep the route of a node that dies with its links up {kept} (hold-time)"
        yield Finding("hold-time-long", "", f"{text}, and these have no takeover: {', '.join(sorted(rivals))}")
    if neighbor.restarts_gracefully():
        yield Finding("graceful-restart-on", "", f"{where} has graceful-restart: routers go on sending to a dead node")


def examined(agent: int, configuration: Configuration, proc: Path = PROC) -> list[Finding]:
    """What is wrong in the file of the ExaBGP that has started the process ``agent``; nothing if it is not known."""
    if not is_agent(agent, proc):
        return []
    files = [*_files(agent, proc)]
    if len(files) > 1:  # ExaBGP forks for each of them, and all that it forks have the same command line
        files = [(file, text) for file, text in files if any(map(_is_ours, parsed(text).within("process")))]
    return _judged(files, configuration)


def written(configuration: Configuration) -> list[Finding]:
    """What is wrong in ``STANDARD``, while no agent tells which file its ExaBGP reads; nothing if it is not there."""
    return _judged(_file(STANDARD), configuration)


def _judged(files: Iterable[tuple[Path, str]], configuration: Configuration) -> list[Finding]:
    routers = [router for router in configuration.routers if router.announce]
    rivals = {router.name for router in routers if not router.route_policy.takeover}
    families = {router.family for router in routers}
    named = {router.route_policy.active.next_hop for router in routers}
    return [
        finding
        for file, text in files
        for finding in judged(str(file), text, families, rivals, names_self="self" in named)
    ]


def _files(agent: int, proc: Path) -> Iterator[tuple[Path, str]]:
    """The files that the parent of a process was called with, if that is an ExaBGP."""
    with suppress(OSError, ValueError, IndexError):
        parent = proc / (proc / str(agent) / "stat").read_text(encoding="utf-8").rpartition(") ")[2].split()[1]
        words = (parent / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        if not any(re.fullmatch(r"(.*/)?exabgp|exabgp\.application\..*", word) for word in words):
            return
        directory = Path(os.readlink(parent / "cwd"))  # noqa: PTH115 — it need not be there
        for word in words[1:]:
            if word and not word.startswith("-"):
                yield from _file(directory / word)


def _file(path: Path) -> Iterator[tuple[Path, str]]:
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                text = file.read(LONGEST).decode("utf-8", "replace")
            if any(one.words[:1] in {("neighbor",), ("process",)} for one in parsed(text).sections):
                yield path, text


def rights(agent: int, configuration: Configuration, proc: Path = PROC) -> Iterable[Finding]:
    """What the process of the agent lacks: descriptors, and what the configuration wants of the kernel."""
    if not is_agent(agent, proc):
        return
    with suppress(OSError, ValueError, StopIteration):
        lines = (proc / str(agent) / "limits").read_text(encoding="ascii").splitlines()
        most = next(line.split()[3] for line in lines if line.startswith("Max open files"))
        used = len(os.listdir(proc / str(agent) / "fd"))  # noqa: PTH208 — names are counted
        if most != "unlimited" and int(most) < 2 * used + SPARE:
            text = f"the agent may open {most} files, and has {used}: too few for checks and commands"
            yield Finding("descriptors-few", "", text)
    with suppress(OSError):
        if configuration.agent.scheduling == "realtime" and os.sched_getscheduler(agent) & ~RESET != os.SCHED_RR:
            yield Finding("realtime-denied", "", 'scheduling = "realtime" is not in effect')
    with suppress(OSError, ValueError, StopIteration):
        lines = (proc / str(agent) / "status").read_text(encoding="utf-8").splitlines()
        locked = next(int(line.split()[1]) for line in lines if line.startswith("VmLck:"))
        if configuration.agent.lock_memory and not locked:
            yield Finding("memory-lock-denied", "", "lock_memory is not in effect")


SPARE = 64
"""Descriptors for as many clients of the control socket as there may be."""

RESET = getattr(os, "SCHED_RESET_ON_FORK", 0x40000000)
