"""One HTTP request, and as much of the response as is needed for an outcome.

``Answer`` has no socket: h11 parses the protocol, and this file decides the outcome and when enough has been read.
``ask`` has the connection. A response without an end, or that is no HTTP, costs at most ``MOST_READ`` bytes and the
check's timeout, and the event loop runs between any two pieces of ``PIECE`` bytes.

The host of a URL is always an address: a check must not fail because name resolution does, and the system's resolver
needs a thread that cannot be stopped. The server's name is a separate key (``host``).
"""

import asyncio
import os
import ssl
from functools import partial
from weakref import WeakValueDictionary

import h11

from exavrrp.config.kinds import Http
from exavrrp.system.checks.outcome import Outcome, printable
from exavrrp.system.threads import in_thread

MOST_HEAD = 16384
"""Most bytes of one header block."""

MOST_READ = 131072
"""Most bytes of the response that are read. The text of ``contains`` must be within them."""

PIECE = 1024
"""Bytes parsed in one turn of the event loop: in chunks of one byte each, h11 takes about 2 ms for them."""

GOOD = range(200, 400)
"""Status codes that pass unless others are configured."""


class Answer:
    """A server's response to one request."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._sought = None if http.contains is None else http.contains.encode()
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
        self.read = 0
        """bytes of the response that have been parsed"""
        self._status: int | None = None
        self.body = bytearray()
        """the body so far, for ``contains``; at most ``MOST_READ`` bytes"""

    def request(self) -> bytes:
        """The bytes of the request."""
        host = self._http.host or _authority(self._http)
        headers = [("Host", host), ("User-Agent", "exavrrp"), ("Accept", "*/*"), ("Connection", "close")]
        request = h11.Request(method="GET", target=self._http.http.target, headers=headers)
        return (self._connection.send(request) or b"") + (self._connection.send(h11.EndOfMessage()) or b"")

    def feed(self, data: bytes) -> Outcome | None:
        """Parses ``data``, empty at the end of the connection. Returns the outcome, None if it is not known yet."""
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


Loaded = tuple[ssl.SSLContext | None, OSError | None]
"""A TLS context, or why there is none."""


class Context:
    """The TLS context of all checks with the same ``ca_file`` and ``tls_verify``, loaded once.

    All certificate authorities of a system take 40 ms of CPU, so a thread loads them.
    """

    def __init__(self, http: Http) -> None:
        self._http = http
        self._loading: asyncio.Future[Loaded] | None = None

    def load(self) -> "asyncio.Future[Loaded]":
        """The context that was loaded, or is now; after a failure another attempt. Raises OSError without a thread."""
        if self._loading is None or (self._loading.done() and self._loading.result()[1] is not None):
            self._loading = in_thread(partial(_loaded, self._http))
        return self._loading


class Contexts:
    """Those that checks have now."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[str | None, bool | None], Context] = WeakValueDictionary()

    def of(self, http: Http) -> Context | None:
        """The one for this check; None without TLS."""
        if not http.http.tls:
            return None
        return self._known.setdefault((http.ca_file, http.tls_verify), Context(http))


def _loaded(http: Http) -> Loaded:
    try:
        return context(http), None
    except OSError as error:
        return None, error


def context(http: Http) -> ssl.SSLContext | None:
    """The TLS context of a check, None without TLS. Takes milliseconds. Raises OSError for an unusable ca_file."""
    if not http.http.tls:
        return None
    made = ssl.create_default_context(cafile=http.ca_file)
    if not http.tls_verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


async def ask(http: Http, secure: ssl.SSLContext | None) -> Outcome:
    """Sends one request and returns the outcome. Raises OSError without a connection to the server."""
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
            await asyncio.sleep(0)  # read() returns without a turn of the loop while data is buffered
        return outcome
    finally:
        writer.transport.abort()


def why(error: OSError) -> str:
    """The text for an error, on one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(f"certificate refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return printable(f"TLS: {(error.reason or error.strerror or '?').replace('_', ' ').lower()}")
    if error.errno is not None and (error.strerror or "").startswith("Connect call failed"):  # asyncio's own words
        return os.strerror(error.errno)
    return printable(error.strerror or str(error) or type(error).__name__)
