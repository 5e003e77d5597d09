"""Asks a running agent, from another process.

The other end of ``system/control.py``: one connection, one request, its answers. It blocks, with limits; a command has
nothing else to do. Everything that can go wrong becomes ``Unanswered``, a sentence for whoever typed the command.
"""

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from exavrrp.control import Answer, Begun, Error, Misunderstood, Progress, Request, answer, encode

PATIENCE = 10.0
"""Seconds for an agent to say its first word: it answers at once, or after two seconds when its disk is dead."""

CHUNK = 1 << 16
"""Bytes read at once."""

LONGEST = 1 << 24
"""Bytes in an answer: the status of ten thousand routers."""


class Unanswered(Exception):
    """The agent has not done what it was asked for: why, and the remedy."""


class TooLate(Unanswered):
    """It has not done it yet, and goes on."""


def ask(path: Path, request: Request, limit: float | None = None) -> Iterator[Answer]:
    """The answers, the last one included. ``limit`` is in seconds, for all of them. Raises Unanswered."""
    end = None if limit is None else time.monotonic() + limit
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _connect(connection, path)
        try:
            connection.settimeout(PATIENCE)
            connection.sendall(encode(request))
            yield from _answers(connection, end)
        except TimeoutError:
            raise Unanswered(f"the agent at {path} does not answer within {PATIENCE:g} s; is it stopped?") from None
        except OSError as error:
            raise Unanswered(f"the agent at {path} is gone: {error.strerror}; see its log") from None
        except Misunderstood as error:
            raise Unanswered(str(error)) from None


def _connect(connection: socket.socket, path: Path) -> None:
    # A timeout of Python's would turn a full backlog into an error at once; the kernel's waits for room (unix(7)).
    patience = struct.pack("@ll", int(PATIENCE), round(PATIENCE % 1 * 1_000_000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise Unanswered(
            f"no agent listens at {path} ({error.strerror}); is ExaBGP running, with exavrrp as its process?"
            " Another agent's configuration is named with --config"
        ) from None
    except PermissionError as error:
        raise Unanswered(
            f"{path} is not for this user ({error.strerror}); use root or the user of ExaBGP,"
            " or set agent.control_group and become a member"
        ) from None
    except OSError as error:
        raise Unanswered(f"{path} cannot be reached: {error.strerror or error}") from None


def _answers(connection: socket.socket, end: float | None) -> Iterator[Answer]:
    """``end`` is when to give up, of the monotonic clock. Raises Unanswered, OSError (TimeoutError: no first word)."""
    received, searched = bytearray(), 0
    patience: float | None = PATIENCE
    while True:
        ending = received.find(b"\n", searched)
        if ending < 0:
            if len(received) > LONGEST:
                raise Unanswered("the answer has no end; is this the socket of exavrrp?")
            searched = len(received)
            received += _more(connection, patience, end)
            continue
        found = answer(bytes(received[:ending]))
        if isinstance(found, Error):
            raise Unanswered(found.message)
        yield found
        if not isinstance(found, (Begun, Progress)):
            return
        del received[: ending + 1]
        searched, patience = 0, None


def _more(connection: socket.socket, patience: float | None, end: float | None) -> bytes:
    remaining = None if end is None else max(0.001, end - time.monotonic())
    waits = [one for one in (patience, remaining) if one is not None]
    connection.settimeout(min(waits) if waits else None)
    try:
        chunk = connection.recv(CHUNK)
    except TimeoutError:
        if end is not None and time.monotonic() >= end:
            raise TooLate("not finished in time") from None
        raise
    if not chunk:
        raise Unanswered("the agent ended before it was done; see its log")
    return chunk
