"""Reads a configuration while the agent works: in a child process, so that no advert waits for it.

A file of hundreds of virtual routers takes a second to read, and a thread would hold the interpreter for up to 150 ms
of it (a parser in C does not let go of it). The child has our environment, our user and our rights, and reads keys and
credentials anew. It sends what it found in pieces, one for each router, which are put together between two turns of
the loop.

What the pieces are is between this file and itself, of the same installation: nobody else writes to that pipe.
"""

import asyncio
import hashlib
import os
import pickle
import struct
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

from exavrrp.config import ConfigError, Configuration, Problem, load, whole
from exavrrp.config.files import beside
from exavrrp.system import children, keys
from exavrrp.system.addresses import global_on_loopback
from exavrrp.vrrp.packet import Address

LIMIT = 30.0
"""Seconds to read a configuration."""

TRIES = 3
"""How often a file is read that somebody changes while it is read."""

PIECES = 16
"""Most pieces that are put together in one turn of the loop: about 1 ms."""

CHUNK = 1 << 16
"""Bytes taken from the pipe at once."""

NICENESS = 10
"""Of the child (nice(2)): the agent has adverts to send."""

_LENGTH = struct.Struct("!I")


def fingerprint(path: Path) -> str:
    """Of the content of ``path`` and the files beside it. Raises OSError, ValueError, ConfigError."""
    found = hashlib.sha256()
    for file in (path, *beside(path)):
        content = file.read_bytes()
        found.update(f"{file.name}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
    return found.hexdigest()


async def read(
    path: Path, without: Collection[Address], node: str | None = None, *, alone: bool = False
) -> tuple[Configuration, bytes, str]:
    """The configuration in ``path``, its text as one file, and the fingerprint of its files.

    ``without``: addresses on lo that are no source of this node; ``node``, ``alone``: as for ``load``. Raises
    ConfigError with every mistake, and OSError if it cannot be read at all.
    """
    data = await _child(path, without, node, alone=alone)
    pieces = list(_split(data))
    if not pieces:
        raise OSError("the process that reads the configuration has ended before it was done; see the host's log")
    first = _piece(pieces[0])
    if isinstance(first, tuple) and all(isinstance(one, Problem) for one in first):
        raise ConfigError(first)
    text, printed, frame = first
    routers = []
    for number, piece in enumerate(pieces[1:]):
        routers.append(_piece(piece))
        if number % PIECES == PIECES - 1:
            await asyncio.sleep(0)
    return replace(frame, routers=tuple(routers)), text, printed


async def _child(path: Path, without: Collection[Address], node: str | None, *, alone: bool) -> bytes:
    """What the child has written. Raises OSError."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    received = bytearray()
    with tempfile.TemporaryFile() as given:
        given.write("\n".join(map(str, without)).encode())
        given.seek(0)
        child = children.Child(
            partial(_start, path, given, node, alone=alone), loop, ended.set_result, background=False
        )
    output = child.output
    os.set_blocking(output.fileno(), False)

    def take() -> None:
        while chunk := _chunk(output):
            received.extend(chunk)

    loop.add_reader(output.fileno(), take)
    try:
        async with asyncio.timeout(LIMIT):
            status = await ended
    except TimeoutError:
        raise OSError(f"{path} cannot be read within {LIMIT:g} s") from None
    finally:
        loop.remove_reader(output.fileno())
        if ended.cancelled() or not ended.done():
            child.abandon()
        take()
        output.close()
    if status != 0:
        raise OSError(f"{path} cannot be read: {children.failure(status)} of the process that reads it")
    return bytes(received)


def _start(path: Path, given: IO[bytes], node: str | None, *, alone: bool) -> "subprocess.Popen[bytes]":
    # -P: no module may come from the working directory.
    return subprocess.Popen(  # noqa: S603 — our own interpreter and module
        [sys.executable, "-P", "-m", "exavrrp.system.reading", str(path), node or "", "alone" if alone else ""],
        bufsize=0,
        stdin=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _chunk(output: IO[bytes]) -> bytes:
    try:
        return os.read(output.fileno(), CHUNK)
    except BlockingIOError:
        return b""


def _split(data: bytes) -> Iterator[memoryview]:
    """Each piece. Raises OSError if the last one is not whole."""
    view, at = memoryview(data), 0
    while at < len(view):
        start = at + _LENGTH.size
        (length,) = _LENGTH.unpack(view[at:start]) if start <= len(view) else (len(view),)
        at = start + length
        if at > len(view):
            raise OSError("the process that reads the configuration has ended before it was done")
        yield view[start:at]


def _piece(data: memoryview) -> Any:
    return pickle.loads(data)  # noqa: S301 — of our own child, see the top of this file


# The child


def main() -> None:
    """Read the file that is named, and write the pieces to stdout."""
    os.nice(NICENESS)
    path, node, alone = sys.argv[1:]
    without = {ip_address(line) for line in sys.stdin.read().split()}
    for piece in pieces(Path(path), without, node or None, alone=bool(alone)):
        data = pickle.dumps(piece, pickle.HIGHEST_PROTOCOL)
        sys.stdout.buffer.write(_LENGTH.pack(len(data)) + data)


def pieces(path: Path, without: Collection[Address], node: str | None, *, alone: bool) -> Iterator[object]:
    """The mistakes in the file; or its text, its fingerprint and all but the routers, and then each router."""

    def local() -> Collection[Address]:
        return set(global_on_loopback()).difference(without)

    for _ in range(TRIES):
        try:
            before = fingerprint(path)
            text = path.read_bytes() if alone else whole(path)
        except (OSError, ValueError, ConfigError):
            before, text = None, b""  # ``load`` says why
        try:
            found = load(path, local, None, keys.read, node=node, host=os.uname().nodename, alone=alone)
        except ConfigError as error:
            yield error.problems
            return
        with suppress(OSError, ValueError, ConfigError):
            if before == fingerprint(path):
                yield text, before, replace(found, routers=())
                yield from found.routers
                return
    yield (Problem(str(path), "", "changes while it is read; reload when nobody writes to it"),)


if __name__ == "__main__":
    main()
