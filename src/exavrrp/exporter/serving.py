"""An HTTP server for scrapers and browsers: ``/metrics``, and ``/``, a page for people.

Python's own server, one thread a connection and one request a connection. No client can hold it up: at most
``CLIENTS`` are served at once and each has ``CLIENT_LIMIT`` seconds for everything; further ones are closed at once. It
changes nothing and reads no body.
"""

import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit

from exavrrp.control import StatusAnswer
from exavrrp.exporter.asking import Asking
from exavrrp.exporter.exposition import scraped

CLIENTS = 16
"""Connections at once: two scrapers and a few browsers need fewer."""

CLIENT_LIMIT = 10.0
"""Seconds of a connection, from its beginning to its end; the agent may take half of them to answer."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


Document = Callable[[StatusAnswer | None, str], str]
"""Makes the page for people, of the agent's answer or the problem that there is none."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: "Server"
    server_version = "exavrrp"
    sys_version = ""
    timeout = CLIENT_LIMIT

    def do_GET(self) -> None:
        """Answer with the document of this path."""
        match urlsplit(self.path).path:
            case "/metrics":
                body, kind = scraped(self.server.asking, self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, body, kind)
            case "/":
                known = self.server.asking.known()
                status = HTTPStatus.OK if known.answer is not None else HTTPStatus.SERVICE_UNAVAILABLE
                body = self.server.document(known.answer, known.problem).encode()
                self._answer(status, body, "text/html; charset=utf-8")
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815 — http.server's

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — http.server's
        """Nothing: a scrape every few seconds is no event."""


class Server(ThreadingMixIn, TCPServer):
    """Listens as soon as it is made. Raises OSError."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 2 * CLIENTS

    def __init__(self, address: str, port: int, asking: Asking, document: Document) -> None:
        """``address``: IPv4 or IPv6, a literal; ``port``: 0 for any."""
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.asking, self.document = asking, document
        self._limits: dict[Any, float] = {}
        """when each open connection is closed, in monotonic seconds"""
        super().__init__((address, port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve it in a thread, or close it if there are too many."""
        if len(self._limits) >= CLIENTS:
            super().shutdown_request(request)
            return
        self._limits[request] = time.monotonic() + CLIENT_LIMIT
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close it."""
        self._limits.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End what takes too long, wherever its thread waits; called by ``serve_forever`` at least twice a second."""
        now = time.monotonic()
        for request in [one for one, limit in list(self._limits.items()) if now > limit]:
            with suppress(OSError):  # its thread has just closed it
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no failure; anything else is a bug of ours, and printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
