"""The client's end of the control socket, for the commands.

It sends one request to ``system/control.py`` over one connection, and reads the answers. It blocks, with time limits.
Every failure becomes ``Unanswered``, whose text is for the user.
"""

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from exavrrp.control import Answer, Begun, Error, Misunderstood, Progress, Request, Scheduled, answer, encode
from exavrrp.system.lock import agent_of

ANSWER_TIMEOUT = 10.0
"""Seconds for an agent to accept a connection and to begin its answer. It answers at once, or after two seconds when
its disk hangs."""

CHUNK = 1 << 16
"""Bytes read at once."""

LONGEST = 1 << 26
"""Bytes in an answer: the status of ten thousand routers with a few peers each, or of 255 with 255 peers."""


class Unanswered(Exception):
    """The agent has not carried out the request. The text gives the reason and the remedy."""


class Unreachable(Unanswered):
    """No agent answers at all."""


class TooLate(Unanswered):
    """The agent has not finished within the client's limit. It goes on."""


def ask(path: Path, request: Request, limit: float | None = None, patience: float | None = None) -> Iterator[Answer]:
    """Sends a request to the agent at ``path`` and yields its answers, including the last one.

    ``limit``: seconds for all of them, None for no limit; ``patience``: for the first one, None for ``ANSWER_TIMEOUT``.
    Raises Unanswered, and TooLate when the limit is over.
    """
    patience = ANSWER_TIMEOUT if patience is None else patience
    deadline = None if limit is None else time.monotonic() + limit
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _connect(connection, path)
        try:
            connection.settimeout(ANSWER_TIMEOUT)
            connection.sendall(encode(request))
            yield from answers(connection, deadline, patience)
        except TimeoutError:
            raise Unreachable(f"the agent at {path} does not answer within {patience:g} s; is it stopped?") from None
        except OSError as error:
            raise Unanswered(f"the agent at {path} is gone: {error.strerror}; see its log") from None
        except Misunderstood as error:
            raise Unanswered(str(error)) from None


def _connect(connection: socket.socket, path: Path) -> None:
    # With Python's timeout a full backlog is an error at once; with the kernel's, connect(2) waits (unix(7)).
    timeout = struct.pack("@ll", int(ANSWER_TIMEOUT), round(ANSWER_TIMEOUT % 1 * 1_000_000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        why = "is ExaBGP running, with exavrrp as its process? Another agent's configuration is named with --config"
        if (process := agent_of(path.parent)) is not None:
            why = f"process {process} begins, or waits for what its log and exavrrp check name"
        raise Unreachable(f"no agent listens at {path} ({error.strerror}); {why}") from None
    except PermissionError as error:
        raise Unreachable(
            f"{path} is not for this user ({error.strerror}); use root or the user of ExaBGP,"
            " or set agent.control_group and become a member"
        ) from None
    except OSError as error:
        raise Unreachable(f"{path} cannot be reached: {error.strerror or error}") from None


def answers(connection: socket.socket, deadline: float | None, patience: float) -> Iterator[Answer]:
    """Each answer as it is received; ``patience``: seconds for the first one.

    ``deadline`` for the last one: monotonic seconds, None for no deadline.

    Raises Unanswered, TooLate, Misunderstood, and OSError (TimeoutError without a first answer).
    """
    received, searched = bytearray(), 0
    timeout: float | None = patience
    while True:
        end = received.find(b"\n", searched)
        if end < 0:
            if len(received) > LONGEST:
                raise Unanswered("the answer has no end; is this the socket of exavrrp?")
            searched = len(received)
            received += _read(connection, timeout, deadline)
            continue
        found = answer(bytes(received[:end]))
        if isinstance(found, Error):
            raise Unanswered(found.message)
        yield found
        if not isinstance(found, (Begun, Progress, Scheduled)):
            return
        del received[: end + 1]
        searched, timeout = 0, None  # a client waits for a drain however long it takes


def _read(connection: socket.socket, timeout: float | None, deadline: float | None) -> bytes:
    """Waits for data. Raises TimeoutError after ``timeout``, TooLate at the deadline, Unanswered at the end."""
    remaining = None if deadline is None else max(0.001, deadline - time.monotonic())
    waits = [seconds for seconds in (timeout, remaining) if seconds is not None]
    connection.settimeout(min(waits) if waits else None)
    try:
        chunk = connection.recv(CHUNK)
    except TimeoutError:
        if deadline is not None and time.monotonic() >= deadline:
            raise TooLate("not finished in time") from None
        raise
    if not chunk:
        raise Unanswered("the agent ended before it was done; see its log")
    return chunk
