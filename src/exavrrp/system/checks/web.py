"""One HTTP request, and as much of the answer as is needed to judge it.

``Answer`` is the bytes' side, without a socket: h11 reads the protocol, and this file decides what is good and when
enough has been read. ``ask`` is the connection's side. A server that never ends, or that speaks nonsense, costs
``MOST_READ`` bytes and the check's timeout at most, and adverts go on between any two ``PIECE`` of them.

The host of a URL is always an address: a check must not fail because name service does, and the system's resolver
would need a thread that nothing can stop. The name that the server knows itself by is given beside it.
"""

import asyncio
import os
import ssl

import h11

from exavrrp.config.kinds import Http
from exavrrp.system.checks.outcome import Outcome, printable

MOST_HEAD = 16384
"""Bytes of one header block."""

MOST_READ = 131072
"""Bytes of the whole answer that are read. Text that is looked for stands in the first ones."""

PIECE = 1024
"""Bytes judged in one turn of the event loop: a body in chunks of one byte each takes h11 some 2 ms for so many."""

GOOD = range(200, 400)
"""Status codes that pass unless others are configured."""


class Answer:
    """What a server says to one request."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._sought = None if http.contains is None else http.contains.encode()
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
        self.read = 0
        """bytes of the answer that have been taken in"""
        self._status: int | None = None
        self.body = bytearray()
        """what is kept of the body, to look for text in; at most ``MOST_READ`` bytes"""

    def request(self) -> bytes:
        """What to send."""
        host = self._http.host or _authority(self._http)
        headers = [("Host", host), ("User-Agent", "exavrrp"), ("Accept", "*/*"), ("Connection", "close")]
        request = h11.Request(method="GET", target=self._http.http.target, headers=headers)
        return (self._connection.send(request) or b"") + (self._connection.send(h11.EndOfMessage()) or b"")

    def feed(self, data: bytes) -> Outcome | None:
        """The outcome, as soon as it is known; ``data`` is empty when the server has closed the connection."""
        self.read += len(data)
        try:
            self._connection.receive_data(data)
            while True:
                event = self._connection.next_event()
                if event is h11.NEED_DATA:
                    break
                outcome = self._judge(event)
                if outcome is not None:
                    return outcome
        except h11.RemoteProtocolError as error:
            return Outcome(passed=False, detail=printable(f"{self._prelude()}no HTTP: {error}"))
        if self.read >= MOST_READ:
            return Outcome(passed=False, detail=f"{self._prelude()}{self._lack()} in the first {MOST_READ} bytes")
        return None

    def _judge(self, event: object) -> Outcome | None:
        match event:
            case h11.InformationalResponse():
                return None
            case h11.Response(status_code=status):
                self._status = status
                good = self._http.status or GOOD
                if status not in good or self._sought is None:
                    return Outcome(status in good, f"status {status}")
                return None
            case h11.Data(data=data):
                return self._search(data)
        # The end of the message, or of the connection before it.
        return Outcome(passed=False, detail=f"{self._prelude()}{self._lack()}")

    def _search(self, data: bytes) -> Outcome | None:
        assert self._sought is not None
        begin = max(0, len(self.body) - len(self._sought) + 1)
        self.body += data
        if self.body.find(self._sought, begin) < 0:
            return None
        return Outcome(passed=True, detail=f"status {self._status}")

    def _prelude(self) -> str:
        return "" if self._status is None else f"status {self._status}, "

    def _lack(self) -> str:
        return "no answer" if self._status is None else printable(f'no "{self._http.contains}"')


def _authority(http: Http) -> str:
    """The Host header for an address (RFC 9110 §7.2): the port only if it is not the scheme's own."""
    where = http.http.endpoint
    name = f"[{where.address}]" if where.address.version == 6 else str(where.address)
    return name if where.port == (443 if http.http.tls else 80) else f"{name}:{where.port}"


def context(http: Http) -> ssl.SSLContext | None:
    """What TLS needs to know, None without TLS. Takes some milliseconds; raises OSError for an unusable ca_file."""
    if not http.http.tls:
        return None
    made = ssl.create_default_context(cafile=http.ca_file)
    if not http.tls_verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


async def ask(http: Http, secure: ssl.SSLContext | None) -> Outcome:
    """Ask once. Raises OSError when there is no connection to the server."""
    where = http.http.endpoint
    name = (http.host or "").partition(":")[0] or str(where.address)
    reader, writer = await asyncio.open_connection(
        str(where.address), where.port, ssl=secure, server_hostname=name if secure else None, limit=MOST_HEAD
    )
    try:
        answer = Answer(http)
        writer.write(answer.request())
        outcome = None
        while outcome is None:
            outcome = answer.feed(await reader.read(PIECE))
            await asyncio.sleep(0)  # what has been received already is read without waiting
        return outcome
    finally:
        writer.transport.abort()


def why(error: OSError) -> str:
    """What an error means, on one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(f"certificate refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return printable(f"TLS: {(error.reason or error.strerror or '?').replace('_', ' ').lower()}")
    if error.errno is not None and (error.strerror or "").startswith("Connect call failed"):  # asyncio's own words
        return os.strerror(error.errno)
    return printable(error.strerror or str(error) or type(error).__name__)
