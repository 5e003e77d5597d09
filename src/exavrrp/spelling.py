"""Values as JSON documents, and back: how a recording spells what a node is told, asks and does; pure.

A frozen value of ours is an object of one member, the name of its class, with its fields in their order, or by name if
they are given by name in the code: ``{"Link": [3, "eth0"]}``. An address, a prefix and a member of an enumeration are
text, bytes are hexadecimal digits, sets are sorted, and a mapping by anything but text is a list of pairs. So nothing
has to be written here for a new event, port or setting: the fields and their types say it.

What is not to be shown (``repr=False``) is a secret: a number stands for it, the same one for the same secret within a
``Pen``, and to a ``Lexicon`` it is a stand-in that is as good as the number. What is told again and again is spelled
once (``{"Datagram:7": …}``) and is called by its name from then on (``"Datagram:7"``).
"""

from collections import Counter, abc
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, NewType, TypeAlias, Union, get_args, get_origin, get_type_hints

from exavrrp.ports import AddressError
from exavrrp.vrrp.packet import Datagram

Document: TypeAlias = Any
"""What JSON can hold."""

REPEATED = (Datagram,)
"""Adverts are like those before, most often."""

MOST_KNOWN = 4096
"""Names in use at once; after that they are given anew."""

SECRET_BYTES = 32
"""Of a stand-in for a secret."""

_ADDRESSES = (IPv4Address, IPv6Address)
_NETWORKS = (IPv4Network, IPv6Network)


# Writing


class Pen:
    """Writes the documents of one run."""

    def __init__(self) -> None:
        self._ways: dict[type, Callable[[Any], Document]] = {}
        self._secrets: dict[object, int] = {}
        self._known: dict[object, str] = {}

    def spelled(self, value: object) -> Document:
        """The document of ``value``; what has no spelling is spelled as its text."""
        kind = type(value)
        way = self._ways.get(kind)
        if way is None:
            way = self._ways[kind] = self._way(kind)
        return way(value)

    def once(self, kind: str, value: abc.Hashable, spell: Callable[[], Document]) -> Document:
        """The name of ``value``, or when it is new the document that tells what the name stands for."""
        known = self._known.get((kind, value))
        if known is not None:
            return known
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        name = self._known[kind, value] = f"{kind}:{len(self._known)}"
        return {name: spell()}

    def secret(self, value: bytes | str | None) -> int | None:
        """What stands for a secret."""
        return None if value is None else self._secrets.setdefault(value, len(self._secrets) + 1)

    def _way(self, kind: type) -> Callable[[Any], Document]:
        if issubclass(kind, bool | int | NoneType) and not issubclass(kind, Enum):
            return _same
        if issubclass(kind, Enum):
            return lambda value: value.value
        if kind is float:
            return lambda value: value if isfinite(value) else str(value)
        if kind is str:
            return _utf8
        if kind is bytes:
            return bytes.hex
        if kind in (*_ADDRESSES, *_NETWORKS):
            return _text
        if issubclass(kind, BaseException):
            return self._error
        if is_dataclass(kind):
            return self._struct(kind)
        if issubclass(kind, AbstractSet) and not issubclass(kind, abc.KeysView | abc.ItemsView):
            return lambda some: sorted(map(self.spelled, some), key=str)
        if issubclass(kind, Mapping):
            return self._mapping
        if issubclass(kind, abc.Collection):
            return lambda some: [self.spelled(one) for one in some]
        return lambda value: _utf8(str(value))

    def _struct(self, kind: type) -> Callable[[Any], Document]:
        # Nothing that is not compared makes a difference.
        told = [one for one in fields(kind) if _is_told(one)]
        names, by_name = [one.name for one in told], _is_by_name(kind)
        secrets = {one.name for one in told if not one.repr}

        def spell(value: object) -> Document:
            found = [
                self.secret(getattr(value, name)) if name in secrets else self.spelled(getattr(value, name))
                for name in names
            ]
            return dict(zip(names, found, strict=True)) if by_name else found

        if kind in REPEATED:
            return lambda value: self.once(kind.__name__, value, lambda: spell(value))
        return lambda value: {kind.__name__: spell(value)}

    def _mapping(self, some: Mapping[Any, object]) -> Document:
        if all(type(key) is str for key in some):
            return {_utf8(key): self.spelled(value) for key, value in some.items()}
        return [[self.spelled(key), self.spelled(value)] for key, value in some.items()]

    def _error(self, error: BaseException) -> Document:
        match error:
            case AddressError(failures=failures):
                return {"AddressError": self._mapping(failures)}
            case OSError():
                text = error.strerror or str(error)
                return {"OSError": [text] if error.errno is None else [error.errno, _utf8(text)]}
            case _:
                return {type(error).__name__: [_utf8(str(error))]}


def _is_told(field: "Field[Any]") -> bool:
    return field.compare or field.default is MISSING


def _is_by_name(kind: type) -> bool:
    return all(field.kw_only for field in fields(kind))


def _same(value: object) -> Document:
    return value


@lru_cache(maxsize=8192)
def _text(value: object) -> str:
    """Spelling an IPv6 address takes longer than all the rest of an event, and they are always the same few."""
    return str(value)


def _utf8(text: str) -> str:
    """In a detail of a program there may be any bytes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


# Reading


class Lexicon:
    """Reads the documents of one run, in their order."""

    def __init__(self) -> None:
        self._known: dict[str, Document] = {}

    def meant(self, document: Document) -> tuple[str, Document] | None:
        """The kind of what has a name or is given one here, and its document; None: it has none, or is unknown."""
        if isinstance(document, dict) and len(document) == 1:
            ((name, content),) = document.items()
            kind, colon, _ = name.partition(":")
            if colon:
                self._known[name] = content
            return kind, content
        if isinstance(document, str) and document in self._known:
            return document.partition(":")[0], self._known[document]
        return None

    def read(self, kind: Any, document: Document) -> Any:
        """The value of this kind (a type as in an annotation). Raises ValueError, or what a constructor raises."""
        if isinstance(kind, NewType):
            kind = kind.__supertype__
        origin, args = get_origin(kind), get_args(kind)
        if origin in (Union, UnionType):
            return self._read_any(args, document)
        if origin is Literal:
            return _only(document in args, document)
        if origin is not None:
            return self._read_many(origin, args, document)
        if kind in (NoneType, None):
            return _only(document is None, document)
        if kind in (bool, int, str):
            return _only(type(document) is kind, document)
        if kind is float:
            return float(_only(type(document) in (int, float) or document in ("inf", "-inf", "nan"), document))
        if kind is bytes:
            return bytes.fromhex(self.read(str, document))
        if kind in _ADDRESSES:
            return ip_address(self.read(str, document))
        if kind in _NETWORKS:
            return ip_network(self.read(str, document))
        if issubclass(kind, Enum):
            return kind(document)
        if issubclass(kind, OSError):
            return self.error(document)
        if is_dataclass(kind):
            return self._read_struct(kind, document)
        raise TypeError(f"nothing is known of {kind}")

    def error(self, document: Document) -> Exception:
        """What was raised. Raises ValueError."""
        named = self.meant(document)
        match named:
            case "AddressError", dict() | list() as content:
                failures = self.read(dict[IPv4Address | IPv6Address, OSError], content)
                _only(bool(failures), document)
                return AddressError(failures)
            case "OSError", [int() | str() as what, *rest] if all(isinstance(one, str) for one in rest):
                return OSError(what, *rest[:1])
            case "ValueError", [str() as text]:
                return ValueError(text)
            case str() as name, [str() as text]:
                raised: Exception = type(name, (Exception,), {})(text)
                return raised
            case _:
                raise ValueError(f"{document!r} is nothing that is raised")

    def _read_any(self, kinds: tuple[Any, ...], document: Document) -> Any:
        named = self.meant(document)
        for kind in kinds:
            if named is not None and is_dataclass(kind) and named[0] != getattr(kind, "__name__", None):
                continue
            try:
                return self.read(kind, document)
            except (ValueError, TypeError):
                if named is not None and is_dataclass(kind):
                    raise
        raise ValueError(f"{document!r} is none of these")

    def _read_many(self, origin: type, args: tuple[Any, ...], document: Document) -> Any:
        if issubclass(origin, Mapping):
            key, value, *_ = (*args, int)  # of a Counter only the keys' kind is written
            pairs = document.items() if isinstance(document, dict) else map(_list, _list(document))
            found = {self.read(key, one): self.read(value, other) for one, other in pairs}
            return Counter(found) if issubclass(origin, Counter) else found
        if issubclass(origin, tuple) and args[-1] is not ...:
            return tuple(self.read(kind, one) for kind, one in zip(args, _list(document), strict=True))
        items = [self.read(args[0], one) for one in _list(document)]
        return frozenset(items) if issubclass(origin, AbstractSet) else tuple(items)

    def _read_struct(self, kind: Any, document: Document) -> Any:
        named = self.meant(document)
        if named is None or named[0] != kind.__name__:
            raise ValueError(f"{document!r} is no {kind.__name__}")
        hints, told = _hints(kind), [one for one in fields(kind) if _is_told(one)]
        content = named[1]
        if not _is_by_name(kind):
            content = dict(zip((one.name for one in told), _list(content), strict=True))
        _only(isinstance(content, dict) and content.keys() == {one.name for one in told}, content)
        return kind(
            **{
                one.name: self.read(hints[one.name], content[one.name])
                if one.repr
                else _stand_in(hints[one.name], content[one.name])
                for one in told
            }
        )


@lru_cache(maxsize=1024)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _only(right: bool, document: Document) -> Document:
    if not right:
        raise ValueError(f"{document!r} does not belong here")
    return document


def _list(document: Document) -> list[Document]:
    found: list[Document] = _only(isinstance(document, list), document)
    return found


def _stand_in(kind: Any, number: Document) -> bytes | str | None:
    """For a secret. Two of them are the same if their numbers are."""
    if number is None:
        return None
    _only(type(number) is int and 0 < number < 1 << 32, number)
    secret = int(number).to_bytes(SECRET_BYTES, "big")
    return secret.hex() if kind is str else secret


def number_of(stand_in: bytes | str) -> int:
    """What a stand-in stands for."""
    return int.from_bytes(bytes.fromhex(stand_in) if isinstance(stand_in, str) else stand_in, "big")
