"""exavrrp.toml → frozen settings that the engine uses as they are; every mistake is reported at once, by its key.

This file owns what the configuration means: which text stands for what, the defaults that a virtual router takes from
its agent, and the source it takes from the host. Around it: ``schema`` says what one key may hold, ``notation`` what
text stands for, ``coherence`` what must not be combined, ``ladders`` and ``authentications`` what their tables mean,
``diagnosis`` reads the file and collects problems with their places, ``settings`` are the result. It must not touch the
operating system beyond reading the file: what this host has (addresses on lo, programs, keys) comes in as functions.

``load`` works in three rounds, each going on after errors: the tables by themselves, each virtual router by itself,
and all of them together. A check whose subject was already found to be wrong keeps silent (``Document.sound``), so
that one mistake gives one line.

``effective`` turns settings into a file again, every default written out; it loads back as equal ones.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from exavrrp.config import coherence, ladders, notation, schema
from exavrrp.config.authentications import Authentications, Reader
from exavrrp.config.diagnosis import Document, Keys, dotted, nearest, quoted, shown
from exavrrp.config.settings import (
    Agent,
    Authentication,
    Check,
    Configuration,
    Credential,
    File,
    Http,
    Inline,
    Interface,
    KeyFile,
    Prefix,
    Probe,
    Process,
    Program,
    Shell,
    Tcp,
    VirtualRouter,
)
from exavrrp.health import Initial
from exavrrp.presence import Handover
from exavrrp.vrrp.packet import OWNER, Address, Ipv4Checksum

MOST_ADDRESSES = {4: 255, 6: 88}
"""Virtual addresses in one advert. IPv4: the count is one byte (RFC 9568 §5.2.5), and 255 still fit into 1,500 bytes.
IPv6: keepalived accepts no more than 88 when adverts are authenticated, and we let no router grow beyond its peers."""

LONGEST_DIRECTORY = 94
"""Bytes in ``state_directory``: with /control.sock they are the 107 of the address of a socket (unix(7))."""

LEARNED_FACTOR = 10
"""Intervals: how far one advert of a peer may stretch our patience unless ``learned_interval_max`` says otherwise."""

Obstacle = Callable[[Probe], tuple[str, str] | None]
"""Why something cannot be asked on this host: the key that is to blame, and what is wrong with it, with the remedy."""


def load(
    path: str | Path,
    local_addresses: Callable[[], Collection[Address]] | None = None,
    obstacle: Obstacle | None = None,
    secrets: Reader | None = None,
) -> Configuration:
    """The configuration in ``path``; raises ConfigError with everything that is wrong with it, and nothing else.

    ``local_addresses`` gives the addresses on lo, among which a missing source is looked for; without it such a source
    stays None. ``obstacle`` says why a check cannot be carried out here; without it nobody asks. ``secrets`` reads the
    keys of authentications; without it they stay unknown. Whatever these raise is passed on, but for the ValueError of
    ``secrets``.
    """
    document = Document(path, schema.SYNONYMS, schema.MISPLACED)
    return _Reading(document, secrets).configuration(local_addresses, obstacle)


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

    def __init__(self, document: Document, secrets: Reader | None) -> None:
        self._document = document
        self._problem = document.problem
        self._sound = document.sound
        self._ladders = ladders.Ladders(document, self._texts, self._text)
        self._authentications = Authentications(document, secrets)

    def configuration(
        self, local_addresses: Callable[[], Collection[Address]] | None, obstacle: Obstacle | None
    ) -> Configuration:
        """All three rounds; raises ConfigError."""
        document = self._document
        tables = ("agent", "virtual_router", "check", "authentication")
        document.unknown((), [name for name in document.data if name not in tables], tables)
        agent = self._agent(document.table(("agent",), document.data.get("agent", {}), schema.Agent))
        if document.data.get("virtual_router", {}) == {} and self._sound(("virtual_router",)):
            self._problem((), "no virtual router; write at least one table [virtual_router.NAME]")
        checks = tuple(self._check(name, table, obstacle) for name, table in self._named("check", schema.Check))
        authentications = tuple(
            self._authentications.authentication(name, table)
            for name, table in self._named("authentication", schema.Authentication)
        )
        routers = tuple(
            self._router(("virtual_router", name), name, table, agent, obstacle)
            for name, table in self._named("virtual_router", schema.VirtualRouter)
        )
        routers = self._with_sources(routers, local_addresses)
        coherence.contradictions(document, agent, routers)
        document.verdict()
        coherence.oddities(document, agent, routers, checks)
        coherence.unguarded(document, routers, authentications)
        return Configuration(
            agent=agent,
            routers=routers,
            checks=checks,
            authentications=authentications,
            warnings=tuple(document.warnings),
        )

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
            nested = content and all(isinstance(value, dict) for value in content.values())
            if nested and content.keys().isdisjoint(("bgp", "keys")):
                whole = f"{name}.{next(iter(content))}"
                self._problem(keys, f"a name with a dot is written in quotes: [{table}.{shown(whole)}]")
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
                    f"holds {len(same)} IPv{family} addresses ({_listed(same)}); keep one, and give a virtual router"
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
            local_as=table.local_as,
            scheduling=table.scheduling,
            lock_memory=table.lock_memory,
            authentication=self._authentication(("agent", "authentication"), table.authentication),
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

    def _check(self, name: str, table: schema.Check, obstacle: Obstacle | None) -> Check:
        keys = ("check", name)
        probe = self._probe(keys, table)
        whole = all(self._sound((*keys, key)) for key in ("user", "ca_file"))
        if probe is not None and whole and obstacle is not None and (found := obstacle(probe)) is not None:
            key, reason = found
            self._problem((*keys, key), reason)
        return Check(
            name=name,
            probe=probe or Shell(":"),  # a stand-in after a mistake
            interval=table.interval,
            timeout=table.timeout,
            rise=table.rise,
            fall=table.fall,
            weight=table.weight,
            reverse=table.reverse,
            initial=Initial(table.initial),
        )

    def _probe(self, keys: Keys, table: schema.Check) -> Probe | None:
        """What the check asks; None after a mistake."""
        kinds = [kind for kind in schema.KINDS if (*keys, kind) in self._document]
        if not kinds and all(self._sound((*keys, kind)) for kind in schema.KINDS):
            others = ", ".join(kind for kind in schema.KINDS if kind != "command")
            self._problem(
                (*keys, "command"),
                f'is missing; write the program and its arguments as a list: ["/usr/bin/curl", …], or one of {others}',
            )
        for kind in kinds[1:]:
            self._problem((*keys, kind), f"stands beside {kinds[0]}; keep one of the two: a check has one kind")
        if len(kinds) == 1:
            self._options(keys, kinds[0])
            return self._meaning(keys, kinds[0], table)
        return None

    def _options(self, keys: Keys, kind: str) -> None:
        """Note the keys that are for another kind."""
        foreign = {option for options in schema.KINDS.values() for option in options} - set(schema.KINDS[kind])
        for option in foreign:
            if (*keys, option) in self._document:
                theirs = " or ".join(other for other, options in schema.KINDS.items() if option in options)
                self._problem((*keys, option), f"is for checks with {theirs}, not {kind}; remove it")

    def _meaning(self, keys: Keys, kind: str, table: schema.Check) -> Probe | None:
        """What the keys of this kind say together; None after a mistake."""
        match kind, getattr(table, kind):
            case _, None:
                return None
            case "command", command:
                return self._program((*keys, "command"), command, table.user)
            case "shell", text:
                return Shell(text, table.user)
            case "tcp", text:
                endpoint = self._text((*keys, "tcp"), text, notation.endpoint)
                return None if endpoint is None else Tcp(endpoint)
            case "http", text:
                return self._http(keys, text, table)
            case "file", path:
                return File(path, table.file_value)
            case "process", text:
                return Process(text, table.at_least)
            case "interface", text:
                return Interface(text)
            case _, text:
                prefix = self._text((*keys, "route"), text, notation.prefix)
                return None if prefix is None else Prefix(prefix)

    def _program(self, keys: Keys, command: tuple[str, ...], user: str | None) -> Program | None:
        if not self._sound(keys):
            return None
        if not command[0].startswith("/"):
            self._problem(keys, f"begins with {shown(command[0])}; write the absolute path of the program")
            return None
        return Program(command, user)

    def _http(self, keys: Keys, text: str, table: schema.Check) -> Http | None:
        url = self._text((*keys, "http"), text, notation.url)
        if url is None:
            return None
        for key in ("tls_verify", "ca_file"):
            if not url.tls and (*keys, key) in self._document:
                self._problem((*keys, key), f"has no effect on {shown(text)}; remove it, or write https")
        if table.ca_file is not None and not table.tls_verify:
            self._problem((*keys, "ca_file"), "has no effect with tls_verify = false; remove one of the two")
        return Http(url, table.host, table.status, table.contains, table.tls_verify, table.ca_file)

    # One virtual router

    def _router(
        self,
        keys: Keys,
        name: str,
        table: schema.VirtualRouter,
        agent: Agent,
        obstacle: Obstacle | None,
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
            handover_ceiling=self._ceiling(keys, table),
            min_sessions=table.min_sessions,
            sessions_neighbors=self._counted((*keys, "sessions_neighbors"), table),
            sessions_weight=table.sessions_weight,
            startup_hold=table.startup_hold,
            authentication=(
                agent.authentication
                if table.authentication is None
                else self._authentication((*keys, "authentication"), table.authentication)
            ),
            checks=self._references((*keys, "checks"), table.checks),
            group=table.group,
            notify=self._notified((*keys, "notify"), table.notify, obstacle),
            notify_active=self._notified((*keys, "notify_active"), table.notify_active, obstacle),
            notify_backup=self._notified((*keys, "notify_backup"), table.notify_backup, obstacle),
            notify_fault=self._notified((*keys, "notify_fault"), table.notify_fault, obstacle),
            notify_stop=self._notified((*keys, "notify_stop"), table.notify_stop, obstacle),
            notify_fifo=table.notify_fifo,
            notify_socket=self._notify_socket(keys, table),
            notify_timeout=table.notify_timeout,
            standby=table.standby == "announce",
            ladder=self._ladders.ladder(
                (*keys, "bgp"),
                table.bgp,
                addresses,
                agent.local_as,
                standby=table.standby == "announce",
                priority=table.priority,
            ),
            stale_for=table.bgp.stale_for,
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

    def _ceiling(self, keys: Keys, table: schema.VirtualRouter) -> float:
        if table.handover_ceiling < table.handover_hold:
            self._problem(
                (*keys, "handover_ceiling"),
                f"is {table.handover_ceiling:g}, below a handover_hold of {table.handover_hold:g}; write that or more",
            )
        return table.handover_ceiling

    def _counted(self, keys: Keys, table: schema.VirtualRouter) -> tuple[Address, ...]:
        """The neighbours whose sessions count; fewer than are needed would keep the router out for ever."""
        neighbors = self._texts(keys, table.sessions_neighbors, notation.unicast)
        if neighbors and self._sound(keys) and table.min_sessions > len(neighbors):
            self._problem(
                (*keys[:-1], "min_sessions"),
                f"is {table.min_sessions}, but sessions_neighbors names {len(neighbors)};"
                f" write at most {len(neighbors)}, or name more neighbours",
            )
        elif neighbors and table.min_sessions == 0:
            self._problem(keys, "names neighbours, but min_sessions = 0 needs none; remove one of the two")
        return neighbors

    def _notified(
        self, keys: Keys, command: tuple[str, ...] | None, obstacle: Obstacle | None
    ) -> tuple[str, ...] | None:
        """``command``; what keeps its program from being run is noted."""
        program = None if command is None else self._program(keys, command, None)
        if program is not None and obstacle is not None and (found := obstacle(program)) is not None:
            self._problem(keys, found[1])
        return command

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
        return self._texts(keys, names, lambda name: self._defined("check", name))

    def _authentication(self, keys: Keys, name: str) -> str | None:
        """The name of an authentication; None: there is to be none, or there is none of that name."""
        if name == schema.UNAUTHENTICATED:
            return None
        return self._text(keys, name, lambda name: self._defined("authentication", name))

    def _defined(self, table: str, name: str) -> str:
        """``name``, if there is such a table. Raises ValueError with a remedy."""
        known = self._entries(table)
        if name in known:
            return name
        close = nearest(name, known)
        misnamed = close is not None and not re.fullmatch(schema.NAME, close)
        if misnamed or not self._sound((table, name.partition(".")[0])):
            return name  # or the mistake is in the name of the table, and has been noted there
        whole = dotted((table, name))
        raise ValueError(f"did you mean {quoted(close)}?" if close else f"write a table [{whole}] for it")

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
                self._problem(
                    ("agent", "sources"),
                    f"has no IPv{family} address, and lo has several ({_listed(usable)}); write one of them",
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


def _listed(values: Sequence[object]) -> str:
    """The first of them."""
    return ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")


def _usable(address: Address) -> bool:
    """Whether an address found on lo can be what adverts are sent from."""
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def effective(configuration: Configuration) -> str:
    """``configuration`` as a complete exavrrp.toml; loads back as an equal one.

    Only what has no value is missing (such as max_hops when every hop limit is accepted), and secrets.
    """
    tables = [_table("agent", configuration.agent)]
    tables[0] += "" if configuration.agent.authentication else f"authentication = {_toml(schema.UNAUTHENTICATED)}\n"
    for one in configuration.routers:
        header = f"virtual_router.{_key(one.name)}"
        tables.append(_table(header, one, without=("name", "standby", "ladder", "stale_for")))
        tables[-1] += f"standby = {_toml('announce' if one.standby else 'withdraw')}\n"
        tables[-1] += "" if one.authentication else f"authentication = {_toml(schema.UNAUTHENTICATED)}\n"
        if one.source is None:
            tables[-1] += f"# source: found at start, the only global IPv{one.family} address on lo that is no VIP\n"
        attributes = ladders.tables(one.ladder, standby=one.standby)
        attributes["bgp"]["stale_for"] = one.stale_for
        tables += [_written(f"{header}.{name}", values) for name, values in attributes.items()]
    tables += [_check_table(one) for one in configuration.checks]
    tables += [_authentication_table(one) for one in configuration.authentications]
    return "\n".join(tables)


def _check_table(check: Check) -> str:
    pointless = isinstance(check.probe, Http) and not check.probe.http.tls
    probe = _table(f"check.{_key(check.name)}", check.probe, without=("tls_verify",) if pointless else ())
    return probe + _table("", check, without=("name", "probe")).partition("\n")[2]


def _authentication_table(one: Authentication) -> str:
    lines = []
    for key in one.keys:
        match key.place:
            case KeyFile(path):
                lines.append(f"keys.{key.id} = {{ file = {_toml(path)} }}")
            case Credential(name):
                lines.append(f"keys.{key.id} = {{ credential = {_toml(name)} }}")
            case Inline():
                lines.append(f'# keys.{key.id} = {{ hex = "…" }}: not shown')
    window = [] if one.window else ["# window: three intervals of each virtual router, and at least 5 s"]
    table = _table(f"authentication.{_key(one.name)}", one, without=("name", "keys"))
    return table + "".join(f"{line}\n" for line in (*window, *lines))


def _table(header: str, settings: Any, without: Collection[str] = ()) -> str:
    return _written(
        header, {one.name: getattr(settings, one.name) for one in fields(settings) if one.name not in without}
    )


def _written(header: str, values: Mapping[str, object]) -> str:
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
