"""The kinds of checks: for each the keys in its table, the settings that they become, and how; ``KINDS`` has them all.

To add one, write a section here and add it to ``Asked`` and ``KINDS``; mypy then asks for what carries it out
(``system/checks/probes``).

In the class of its keys the first one names the kind, and the others are options of this kind alone (or of several, if
they are the same there). The fields of its settings are called as its keys, and their ``str`` is what stands in the
file: ``check --print`` writes them. A reader returns None after a mistake, which it has noted in the document.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from exavrrp.config import notation
from exavrrp.config.diagnosis import Document, shown
from exavrrp.config.notation import Endpoint, Url
from exavrrp.config.places import Keys
from exavrrp.config.schema import AbsolutePath, AnyCheck, Flag
from exavrrp.config.schema import Interface as InterfaceName

Table = TypeVar("Table", bound=Struct)

# Programs

User = Annotated[
    str,
    # What useradd(8) accepts, and the dots and at signs of directory services.
    Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?$(?!\n)", description='the name of a user: "nobody"'),
]


class CommandKeys(Struct, frozen=True, kw_only=True):
    """``command``."""

    command: Annotated[
        tuple[
            Annotated[str, Meta(pattern=r"^[^\x00]*$", description="the program and its arguments as text in quotes")],
            ...,
        ],
        Meta(
            min_length=1,
            description='the program and its arguments as a list: ["/usr/bin/curl", "-fsS", "http://[::1]/"], '
            'or shell = "…" for a command line',
        ),
    ]
    user: User | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """Passes if the program ends with 0."""

    command: tuple[str, ...]
    """the absolute path of the program, then its arguments"""
    user: str | None = None
    """None: the agent's own"""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What is executed."""
        return self.command


def program(document: Document, keys: Keys, command: tuple[str, ...], user: str | None = None) -> Program | None:
    """The program at ``keys``, of a check or of ``notify``."""
    if not document.sound(keys):
        return None
    if not command[0].startswith("/"):
        line = ', or shell = "…" for a command line' if keys[0] == "check" and " " in command[0].strip() else ""
        document.problem(keys, f"begins with {shown(command[0])}; write the absolute path of the program{line}")
        return None
    return Program(command, user)


def _command(document: Document, keys: Keys, table: CommandKeys) -> Program | None:
    return program(document, (*keys, "command"), table.command, table.user)


class ShellKeys(Struct, frozen=True, kw_only=True):
    """``shell``."""

    shell: Annotated[
        str, Meta(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$", description='a command for /bin/sh in quotes: "pidof a && b"')
    ]
    user: User | None = None


@dataclass(frozen=True, slots=True)
class Shell:
    """Passes if the command ends with 0."""

    shell: str
    user: str | None = None
    """None: the agent's own"""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What is executed."""
        return ("/bin/sh", "-c", self.shell)


def _shell(_: Document, __: Keys, table: ShellKeys) -> Shell:
    return Shell(table.shell, table.user)


# The network


class TcpKeys(Struct, frozen=True, kw_only=True):
    """``tcp``."""

    tcp: Annotated[str, Meta(description='an address and a port in quotes, such as "[::1]:5432"')]


@dataclass(frozen=True, slots=True)
class Tcp:
    """Passes if the connection is accepted."""

    tcp: Endpoint


def _tcp(document: Document, keys: Keys, table: TcpKeys) -> Tcp | None:
    endpoint = document.text((*keys, "tcp"), table.tcp, notation.endpoint)
    return None if endpoint is None else Tcp(endpoint)


class HttpKeys(Struct, frozen=True, kw_only=True):
    """``http``."""

    http: Annotated[str, Meta(description='a URL in quotes, such as "http://[::1]:8080/health"')]
    host: (
        Annotated[
            str,
            Meta(
                # Labels of 1–63 characters: TLS raises UnicodeError for others.
                pattern=r"^(?!.*\.\.)(?!.*[^.:]{64})[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$(?!\n)",
                description='the name the server knows itself by, such as "www.example.com"',
            ),
        ]
        | None
    ) = None
    status: Annotated[
        tuple[Annotated[int, Meta(ge=200, le=599, description="status codes from 200 to 599")], ...],
        Meta(description="a list of the status codes that are good: [200, 204]"),
    ] = ()
    contains: (
        Annotated[str, Meta(min_length=1, max_length=1000, description="text of 1 to 1000 characters in quotes")] | None
    ) = None
    tls_verify: Flag = True
    ca_file: AbsolutePath | None = None


@dataclass(frozen=True, slots=True)
class Http:
    """Passes if the answer to a GET has a good status, and the text in its body."""

    http: Url
    host: str | None = None
    """in the header Host and, without a port, in the server's certificate; None: the address"""
    status: tuple[int, ...] = ()
    """the good ones; empty: 200–399"""
    contains: str | None = None
    tls_verify: bool | None = field(kw_only=True)
    """whether the server's certificate has to be right; None: there is none"""
    ca_file: str | None = None
    """None: the system's authorities"""


def _http(document: Document, keys: Keys, table: HttpKeys) -> Http | None:
    url = document.text((*keys, "http"), table.http, notation.url)
    if url is None:
        return None
    for key in ("tls_verify", "ca_file"):
        if not url.tls and (*keys, key) in document:
            document.problem((*keys, key), f"has no effect on {shown(table.http)}; remove it, or write https")
    if table.ca_file is not None and not table.tls_verify:
        document.problem((*keys, "ca_file"), "has no effect with tls_verify = false; remove one of the two")
    verified = table.tls_verify if url.tls else None
    return Http(url, table.host, table.status, table.contains, table.ca_file, tls_verify=verified)


# The kernel


class FileKeys(Struct, frozen=True, kw_only=True):
    """``file``."""

    file: AbsolutePath
    file_value: Flag = False


@dataclass(frozen=True, slots=True)
class File:
    """Passes if the file exists, or, with ``file_value``, if it can be read as a number or does not exist (0)."""

    file: str
    file_value: bool


def _file(_: Document, __: Keys, table: FileKeys) -> File:
    return File(table.file, table.file_value)


class ProcessKeys(Struct, frozen=True, kw_only=True):
    """``process``."""

    process: Annotated[
        str, Meta(pattern=r"^[^/\x00-\x1f\x7f]{1,255}$(?!\n)", description='the name of a program: "postgres"')
    ]
    at_least: Annotated[int, Meta(ge=1, le=10000, description="a whole number of processes from 1 to 10000")] = 1


@dataclass(frozen=True, slots=True)
class Process:
    """Passes if that many processes of the name run."""

    process: str
    at_least: int


def _process(_: Document, __: Keys, table: ProcessKeys) -> Process:
    return Process(table.process, table.at_least)


class InterfaceKeys(Struct, frozen=True, kw_only=True):
    """``interface``."""

    interface: InterfaceName


@dataclass(frozen=True, slots=True)
class Interface:
    """Passes if the interface is up and has a carrier."""

    interface: str


def _interface(_: Document, __: Keys, table: InterfaceKeys) -> Interface:
    return Interface(table.interface)


class RouteKeys(Struct, frozen=True, kw_only=True):
    """``route``."""

    route: Annotated[str, Meta(description='a prefix in quotes, such as "0.0.0.0/0" or "2001:db8::/32"')]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Passes if the kernel's main table has a route to exactly this prefix."""

    route: IPv4Network | IPv6Network


def _route(document: Document, keys: Keys, table: RouteKeys) -> Prefix | None:
    prefix = document.text((*keys, "route"), table.route, notation.prefix)
    return None if prefix is None else Prefix(prefix)


# All of them

Asked: TypeAlias = Tcp | Http | File | Process | Interface | Prefix
"""The kinds that need no program."""

Probe: TypeAlias = Program | Shell | Asked
"""What a check asks: the settings of its kind."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table."""

    name: str
    """the key by which a check says that it is of this kind"""
    options: tuple[str, ...]
    """the keys that are for it and not for every kind"""
    keys: type[Struct]
    read: Callable[[Document, Keys, Any], Probe | None]


def _kind(keys: type[Table], read: Callable[[Document, Keys, Table], Probe | None]) -> Kind:
    name, *options = keys.__struct_fields__
    return Kind(name, tuple(options), keys, read)


KINDS = (
    _kind(CommandKeys, _command),
    _kind(ShellKeys, _shell),
    _kind(TcpKeys, _tcp),
    _kind(HttpKeys, _http),
    _kind(FileKeys, _file),
    _kind(ProcessKeys, _process),
    _kind(InterfaceKeys, _interface),
    _kind(RouteKeys, _route),
)
"""Each kind, in the order in which messages name them."""


def _check() -> type[Struct]:
    """``[check.NAME]`` with the keys of all kinds, of which only those of one may be there; that is looked at later."""
    fields: dict[str, tuple[str, Any, Any]] = {}
    for kind in KINDS:
        for key in msgspec.structs.fields(kind.keys):
            known = fields.pop(key.name, (key.name, key.type, key.default))  # behind all kinds that share it
            fields[key.name] = (key.name, key.type | None, None) if key.required else known
    fields |= {key.name: (key.name, key.type, key.default) for key in msgspec.structs.fields(AnyCheck)}
    return msgspec.defstruct("Check", fields.values(), frozen=True, kw_only=True)


Check = _check()


def part(check: Struct, keys: type[Table]) -> Table:
    """What a table ``Check`` holds of ``keys``, of which the first one is there."""
    return keys(**{name: getattr(check, name) for name in keys.__struct_fields__})
