"""exavrrp.toml → frozen settings that the engine uses as they are; every mistake is reported at once, by its key.

This file owns what the configuration means: which text stands for what, the defaults that a virtual router takes from
its agent, and the source it takes from the host. Around it: ``schema`` says what one key may hold, ``notation`` what
text stands for, ``coherence`` what must not be combined, ``diagnosis`` reads the file and collects problems with their
places, ``settings`` are the result. It must not touch the operating system beyond reading the file: what this host has
(addresses on lo, programs) comes in as functions.

``load`` works in three rounds, each going on after errors: the tables by themselves, each virtual router by itself,
and all of them together. A check whose subject was already found to be wrong keeps silent (``Document.sound``), so
that one mistake gives one line.

``effective`` turns settings into a file again, every default written out; it loads back as equal ones.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from exavrrp.config import coherence, notation, schema
from exavrrp.config.diagnosis import Document, Keys, dotted, nearest, quoted, shown
from exavrrp.config.settings import Agent, Check, Configuration, VirtualRouter
from exavrrp.presence import Handover
from exavrrp.routes import Attributes
from exavrrp.vrrp.packet import OWNER, Address, Ipv4Checksum

MOST_ADDRESSES = {4: 255, 6: 88}
"""Virtual addresses in one advert. IPv4: the count is one byte (RFC 9568 §5.2.5), and 255 still fit into 1,500 bytes.
IPv6: keepalived accepts no more than 88 when adverts are authenticated, and we let no router grow beyond its peers."""

LONGEST_PATH = 254
"""One AS_PATH segment counts its members in one byte (RFC 4271 §4.3), and leaving prepends one more."""

ATTRIBUTE_BYTES = 3900
"""Of the 4,096 of a BGP message (RFC 4271 §4.1), without the header, the route and the attributes of fixed size."""

LONGEST_DIRECTORY = 94
"""Bytes in ``state_directory``: with /control.sock they are the 107 of the address of a socket (unix(7))."""

LEARNED_FACTOR = 10
"""Intervals: how far one advert of a peer may stretch our patience unless ``learned_interval_max`` says otherwise."""


def load(
    path: str | Path,
    local_addresses: Callable[[], Collection[Address]] | None = None,
    obstacle: Callable[[str], str | None] | None = None,
) -> Configuration:
    """The configuration in ``path``; raises ConfigError with everything that is wrong with it, and nothing else.

    ``local_addresses`` gives the addresses on lo, among which a missing source is looked for; without it such a source
    stays None. ``obstacle`` says of a program why it cannot be run here, with the remedy; without it programs
    are not looked at. Whatever these two raise is passed on.
    """
    return _Reading(Document(path, schema.SYNONYMS, schema.MISPLACED)).configuration(local_addresses, obstacle)


def state_directory(path: str | Path) -> str:
    """``agent.state_directory`` of the file at ``path``, whatever else is wrong with it.

    A router has to be drained also while somebody edits the file. Raises ConfigError when it cannot be read, is no TOML
    or is wrong in this very key.
    """
    document = Document(path, schema.SYNONYMS, schema.MISPLACED)
    agent = document.data.get("agent")
    key = "state_directory"
    written = {key: agent[key]} if isinstance(agent, dict) and key in agent else {}
    found = document.table(("agent",), written, schema.Agent).state_directory
    document.verdict()
    return found


Table = TypeVar("Table", bound=msgspec.Struct)
Meaning = TypeVar("Meaning")


class _Reading:
    """One file on its way from tables to a configuration."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._problem = document.problem
        self._sound = document.sound

    def configuration(
        self, local_addresses: Callable[[], Collection[Address]] | None, obstacle: Callable[[str], str | None] | None
    ) -> Configuration:
        """All three rounds; raises ConfigError."""
        document = self._document
        tables = ("agent", "virtual_router", "check")
        document.unknown((), [name for name in document.data if name not in tables], tables)
        agent = self._agent(document.table(("agent",), document.data.get("agent", {}), schema.Agent))
        if "virtual_router" not in document.data and self._sound(("virtual_router",)):
            self._problem((), "no virtual router; write at least one table [virtual_router.NAME]")
        checks = tuple(self._check(name, table, obstacle) for name, table in self._named("check", schema.Check))
        routers = tuple(
            self._router(("virtual_router", name), name, table, agent, obstacle)
            for name, table in self._named("virtual_router", schema.VirtualRouter)
        )
        routers = self._with_sources(routers, local_addresses)
        coherence.contradictions(document, agent, routers)
        document.verdict()
        coherence.oddities(document, agent, routers, checks)
        return Configuration(agent=agent, routers=routers, checks=checks, warnings=tuple(document.warnings))

    # Tables and values by themselves

    def _entries(self, table: str) -> dict[str, Any]:
        """The tables ``[table.NAME]`` by name, whatever their content."""
        found = self._document.data.get(table, {})
        if isinstance(found, dict) and all(isinstance(value, dict) for value in found.values()):
            return found
        self._problem((table,), f"has no name; write [{table}.NAME] above its keys")
        return {}

    def _named(self, table: str, kind: type[Table]) -> Iterator[tuple[str, Table]]:
        """Each ``[table.NAME]`` decoded."""
        for name, content in self._entries(table).items():
            keys = (table, name)
            if content and all(isinstance(value, dict) for value in content.values()) and "bgp" not in content:
                whole = f"{name}.{next(iter(content))}"
                self._problem(keys, f"a name with a dot is written in quotes: [{table}.{quoted(whole)}]")
                continue
            if not re.fullmatch(schema.NAME, name):
                better = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).lstrip("_.-")[:64] or "web"
                remedy = f"write [{table}.{better if '.' not in better else quoted(better)}]"
                rule = "a name has 1 to 64 characters of a-z, 0-9, _, - and . and begins with a-z or 0-9"
                self._problem(keys, f"{rule}; {remedy}", spoils=False)
            yield name, self._document.table(keys, content, kind)

    def _texts(self, keys: Keys, texts: Iterable[str], meaning: Callable[[str], Meaning]) -> tuple[Meaning, ...]:
        """The meaning of each text of a list; what has none, and what is there twice, is noted and left out."""
        found: dict[Meaning, None] = {}
        for index, text in enumerate(texts):
            one = self._text((*keys, index), text, meaning)
            if one in found:
                self._problem((*keys, index), f"holds {shown(text)} twice; remove one")
            elif one is not None:
                found[one] = None
        return tuple(found)

    def _text(self, keys: Keys, text: str, meaning: Callable[[str], Meaning]) -> Meaning | None:
        try:
            return meaning(text)
        except ValueError as error:
            self._problem(keys, f"{'holds' if isinstance(keys[-1], int) else 'is'} {shown(text)}; {error}")
            return None

    def _whole_centiseconds(self, keys: Keys, seconds: float) -> float:
        rounded = round(seconds * 100) / 100
        if abs(rounded - seconds) > 1e-6:
            self._problem(keys, f"is {seconds:g}; write {rounded:g}: an advert tells its interval in steps of 0.01 s")
        return rounded

    def _agent(self, table: schema.Agent) -> Agent:
        sources = self._texts(("agent", "sources"), table.sources, notation.routed)
        for family in (4, 6):
            same = [str(one) for one in sources if one.version == family]
            if len(same) > 1:
                self._problem(
                    ("agent", "sources"),
                    f"holds {len(same)} IPv{family} addresses ({', '.join(same)}); keep one, and give a virtual router"
                    " that needs another one a source of its own",
                )
        longest = table.learned_interval_max
        return Agent(
            sources=sources,
            peers=self._texts(("agent", "peers"), table.peers, notation.routed),
            advert_interval=self._whole_centiseconds(("agent", "advert_interval"), table.advert_interval),
            interfaces=self._interfaces(("agent", "interfaces"), table.interfaces),
            ipv4_checksum=Ipv4Checksum(table.ipv4_checksum),
            max_hops=table.max_hops,
            learned_interval_max=longest and self._whole_centiseconds(("agent", "learned_interval_max"), longest),
            log_format=table.log_format,
            state_directory=self._state_directory(table.state_directory),
            persistent_directory=table.persistent_directory,
            control_group=table.control_group,
        )

    def _state_directory(self, path: str) -> str:
        length = len(path.encode())
        if length > LONGEST_DIRECTORY:
            self._problem(
                ("agent", "state_directory"),
                f"has {length} bytes; write a path of at most {LONGEST_DIRECTORY}: a socket in it has to be reached",
            )
        return path

    def _interfaces(self, keys: Keys, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else self._texts(keys, names, str)

    def _check(self, name: str, table: schema.Check, obstacle: Callable[[str], str | None] | None) -> Check:
        self._program(("check", name, "command"), table.command, obstacle)
        return Check(name=name, **msgspec.structs.asdict(table))

    def _program(
        self, keys: Keys, command: tuple[str, ...] | None, obstacle: Callable[[str], str | None] | None
    ) -> tuple[str, ...] | None:
        """``command``; what keeps its program from being run is noted."""
        if command is not None and self._sound(keys):
            program = command[0]
            if not program.startswith("/"):
                self._problem(keys, f"begins with {shown(program)}; write the absolute path of the program")
            elif obstacle is not None and (reason := obstacle(program)) is not None:
                self._problem(keys, f"begins with {shown(program)}, which {reason}")
        return command

    # One virtual router

    def _router(
        self,
        keys: Keys,
        name: str,
        table: schema.VirtualRouter,
        agent: Agent,
        obstacle: Callable[[str], str | None] | None,
    ) -> VirtualRouter:
        interval = agent.advert_interval
        if table.advert_interval is not None:
            interval = self._whole_centiseconds((*keys, "advert_interval"), table.advert_interval)
        addresses = self._addresses((*keys, "addresses"), table.addresses)
        family = addresses[0].version if addresses else None
        self._preemption(keys, table)
        return VirtualRouter(
            name=name,
            vrid=table.vrid,
            priority=table.priority,
            addresses=addresses,
            source=self._source((*keys, "source"), table.source, agent, family),
            peers=self._peers((*keys, "peers"), table.peers, agent, family),
            interfaces=self._interfaces((*keys, "interfaces"), table.interfaces) or agent.interfaces,
            preempt=table.preempt,
            preempt_delay=table.preempt_delay,
            advert_interval=interval,
            learned_interval_max=self._patience(keys, table.learned_interval_max, agent, interval),
            handover=Handover(table.handover),
            handover_hold=table.handover_hold,
            linger=table.linger,
            checks=self._references((*keys, "checks"), table.checks),
            group=table.group,
            notify=self._program((*keys, "notify"), table.notify, obstacle),
            notify_active=self._program((*keys, "notify_active"), table.notify_active, obstacle),
            notify_backup=self._program((*keys, "notify_backup"), table.notify_backup, obstacle),
            notify_fault=self._program((*keys, "notify_fault"), table.notify_fault, obstacle),
            notify_stop=self._program((*keys, "notify_stop"), table.notify_stop, obstacle),
            notify_fifo=table.notify_fifo,
            notify_socket=self._notify_socket(keys, table),
            notify_timeout=table.notify_timeout,
            attributes=self._attributes((*keys, "bgp"), table.bgp, addresses),
        )

    def _addresses(self, keys: Keys, texts: tuple[str, ...]) -> tuple[Address, ...]:
        found = self._texts(keys, texts, notation.virtual)
        firsts = {one.version: one for one in reversed(found)}
        if len(firsts) > 1:
            self._problem(
                keys, f"holds IPv4 ({firsts[4]}) and IPv6 ({firsts[6]}); write one virtual router for each family"
            )
            return ()
        for family in firsts:
            if len(found) > MOST_ADDRESSES[family]:
                self._problem(
                    keys,
                    f"holds {len(found)} addresses; one advert has room for {MOST_ADDRESSES[family]}:"
                    " write a second virtual router",
                )
        return found

    def _preemption(self, keys: Keys, table: schema.VirtualRouter) -> None:
        owner = table.priority == OWNER
        if owner and not table.preempt:
            self._problem(
                (*keys, "preempt"),
                "is false, but priority 255 (the owner of the addresses) always preempts;"
                " remove it, or write a priority of at most 254",
            )
        elif table.preempt_delay and not table.preempt:
            self._problem(
                (*keys, "preempt_delay"),
                f"is {table.preempt_delay:g}, but preempt = false preempts nobody; remove one of the two",
            )
        elif table.preempt_delay and owner:
            self._problem(
                (*keys, "preempt_delay"),
                f"is {table.preempt_delay:g}, but priority 255 (the owner of the addresses) never waits;"
                " remove it, or write a priority of at most 254",
            )

    def _notify_socket(self, keys: Keys, table: schema.VirtualRouter) -> str | None:
        if table.notify_socket is not None and table.notify_socket == table.notify_fifo:
            self._problem((*keys, "notify_socket"), "is what notify_fifo is; write another path, or remove one of them")
        return table.notify_socket

    def _source(self, keys: Keys, text: str | None, agent: Agent, family: int | None) -> Address | None:
        if text is None:
            return next((one for one in agent.sources if one.version == family), None)
        source = self._text(keys, text, notation.routed)
        if source is not None and family is not None and source.version != family:
            self._problem(keys, f"is {source}, but the addresses are IPv{family}; write an IPv{family} address")
        return source

    def _peers(
        self, keys: Keys, texts: tuple[str, ...] | None, agent: Agent, family: int | None
    ) -> tuple[Address, ...]:
        if texts is None:
            peers = tuple(one for one in agent.peers if one.version == family)
            if not peers and family is not None and self._sound(("agent", "peers")):
                self._problem(
                    keys, f"is missing; write the other nodes' IPv{family} addresses here or into agent.peers"
                )
            return peers
        peers = self._texts(keys, texts, notation.routed)
        for index, peer in enumerate(peers):
            if family is not None and peer.version != family:
                self._problem((*keys, index), f"holds {peer}, but the addresses are IPv{family}; remove it")
        if not peers and self._sound(keys):
            self._problem(keys, "is []; write the other nodes' addresses, or remove the key to use agent.peers")
        return peers

    def _patience(self, keys: Keys, seconds: float | None, agent: Agent, interval: float) -> float:
        if seconds is not None:
            keys = (*keys, "learned_interval_max")
            seconds = self._whole_centiseconds(keys, seconds)
        elif agent.learned_interval_max is not None:
            keys, seconds = ("agent", "learned_interval_max"), agent.learned_interval_max
        else:
            return min(round(LEARNED_FACTOR * interval, 2), 40.95)
        if seconds < interval:
            self._problem(keys, f"is {seconds:g}, below an advert_interval of {interval:g}; write that or more")
        return seconds

    def _references(self, keys: Keys, names: tuple[str, ...]) -> tuple[str, ...]:
        known = self._entries("check")

        def defined(name: str) -> str:
            close = nearest(name, known)
            misnamed = close is not None and not re.fullmatch(schema.NAME, close)
            if name in known or misnamed or not self._sound(("check", name.partition(".")[0])):
                return name  # or the mistake is in the name of the table, and has been noted there
            table = dotted(("check", name))
            raise ValueError(f"did you mean {quoted(close)}?" if close else f"write a table [{table}] for it")

        return self._texts(keys, names, defined)

    def _attributes(self, keys: Keys, table: schema.Bgp, addresses: tuple[Address, ...]) -> Attributes:
        communities = self._texts((*keys, "communities"), table.communities, notation.community)
        large = self._texts((*keys, "large_communities"), table.large_communities, notation.large_community)
        if len(table.as_path) > LONGEST_PATH:
            self._problem((*keys, "as_path"), f"holds {len(table.as_path)} AS numbers; write at most {LONGEST_PATH}")
        elif 4 * len(communities) + 12 * len(large) + 4 * len(table.as_path) > ATTRIBUTE_BYTES:
            self._problem(keys, "all attributes together do not fit into one BGP message; write fewer communities")
        return Attributes(
            med=table.med,
            local_preference=table.local_preference,
            communities=communities,
            large_communities=large,
            as_path=table.as_path,
            next_hop=self._next_hop((*keys, "next_hop"), table.next_hop, addresses),
            neighbors=self._neighbors((*keys, "neighbors"), table, addresses),
        )

    def _next_hop(self, keys: Keys, text: str, addresses: tuple[Address, ...]) -> str:
        if text == "self":
            return text
        found = self._text(keys, text, notation.routed)
        if found is None or not addresses:
            return "self"
        family = addresses[0].version
        if found.version != family:
            self._problem(keys, f'is {found}, but the addresses are IPv{family}; write one of IPv{family} or "self"')
        elif found in addresses:
            self._problem(keys, f'is {found}, a virtual address: a route cannot lead to itself; write "self"')
        return str(found)

    def _neighbors(self, keys: Keys, table: schema.Bgp, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        neighbors = self._texts(keys, table.neighbors, notation.unicast)
        if table.next_hop == "self" and addresses and addresses[0].version == 6:
            for index, one in enumerate(neighbors):
                if one.version == 4:
                    self._problem(
                        (*keys, index),
                        f"holds {one}: over an IPv4 session ExaBGP has no IPv6 address of its own to announce;"
                        " name IPv6 neighbours only, or write next_hop as an address",
                    )
        return neighbors

    # All of them together

    def _with_sources(
        self, routers: tuple[VirtualRouter, ...], local_addresses: Callable[[], Collection[Address]] | None
    ) -> tuple[VirtualRouter, ...]:
        """The routers without a source get the only fitting address on lo."""
        needed = {one.family for one in routers if one.addresses and self._lacks_source(one)}
        if local_addresses is None or not needed or not self._sound(("agent", "sources")):
            return routers
        virtual = {address for one in routers for address in one.addresses}
        local = sorted(set(local_addresses()) - virtual, key=int)
        found: dict[int, Address] = {}
        for family in sorted(needed):
            usable = [one for one in local if one.version == family and _usable(one)]
            if len(usable) == 1:
                found[family] = usable[0]
            elif usable and all(self._sound(("virtual_router", one.name, "addresses")) for one in routers):
                names = ", ".join(map(str, usable))
                self._problem(
                    ("agent", "sources"), f"has no IPv{family} address, and lo has several ({names}); write one of them"
                )
            elif not usable:
                self._problem(
                    ("agent", "sources"),
                    f"has no IPv{family} address, and lo has none that is global and not virtual;"
                    " add one to lo, or write an address of this node",
                )
        return tuple(
            replace(one, source=found.get(one.family)) if one.addresses and self._lacks_source(one) else one
            for one in routers
        )

    def _lacks_source(self, virtual_router: VirtualRouter) -> bool:
        return virtual_router.source is None and self._sound(("virtual_router", virtual_router.name, "source"))


def _usable(address: Address) -> bool:
    """Whether an address found on lo can be what adverts are sent from."""
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def effective(configuration: Configuration) -> str:
    """``configuration`` as a complete exavrrp.toml; loads back as an equal one.

    Only what has no value is missing (such as max_hops when every hop limit is accepted).
    """
    tables = [_table("agent", configuration.agent)]
    for one in configuration.routers:
        tables.append(_table(f"virtual_router.{_key(one.name)}", one, without=("name", "attributes")))
        if one.source is None:
            tables[-1] += f"# source: found at start, the only global IPv{one.family} address on lo that is no VIP\n"
        tables.append(_table(f"virtual_router.{_key(one.name)}.bgp", one.attributes))
    tables += [_table(f"check.{_key(one.name)}", one, without=("name",)) for one in configuration.checks]
    return "\n".join(tables)


def _table(header: str, settings: Any, without: Collection[str] = ()) -> str:
    values = {one.name: getattr(settings, one.name) for one in fields(settings) if one.name not in without}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    return "\n".join((f"[{header}]", *lines, ""))


def _key(name: str) -> str:
    return quoted(name) if "." in name else name


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            return quoted(str(value))
