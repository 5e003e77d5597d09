"""HTTP checks: which answers pass, robustness against any answer, and real servers, with and without TLS."""

import asyncio
import contextlib
import errno
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.config.kinds import Http
from exavrrp.config.notation import Endpoint, Url
from exavrrp.system.checks import Checks, Outcome, preflight_error, scheduling, web
from exavrrp.system.checks.outcome import DETAIL
from exavrrp.system.checks.web import MOST_HEAD, MOST_READ, Answer
from tests.checks import check
from tests.system.conftest import LIMIT

if TYPE_CHECKING:
    from tests.system.conftest import Need, Run, Until

LO6 = IPv6Address("::1")


def http(port: int = 80, target: str = "/health", *, tls: bool = False, **options: Any) -> Http:
    return Http(Url(Endpoint(LO6, port), target, tls), **({"tls_verify": tls or None} | options))


def answer(http_: Http, *parts: bytes) -> Outcome | None:
    """What comes of the parts, one after the other, until it is known; b"" is the end."""
    reading = Answer(http_)
    reading.request()
    for part in parts:
        outcome = reading.feed(part)
        if outcome is not None:
            return outcome
    return None


OK = b"HTTP/1.1 200 OK\r\n"
BODY = OK + b"Content-Length: 12\r\n\r\nall is well\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n4;x=y\r\nall \r\n8\r\nis well\n\r\n0\r\n\r\n"
WELL: dict[str, Any] = {"contains": "is well"}


@pytest.mark.parametrize(
    ("options", "said", "passed", "detail"),
    [
        ({}, BODY, True, "status 200"),
        ({}, OK + b"\r\n", True, "status 200"),
        ({}, b"HTTP/1.0 302 Found\r\n\r\n", True, "status 302"),
        ({}, b"HTTP/1.1 404 Not Found\r\n\r\n", False, "status 404"),
        ({}, b"HTTP/1.1 503 \r\n\r\n", False, "status 503"),
        ({}, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" + BODY, True, "status 200"),
        ({"status": (204, 404)}, b"HTTP/1.1 404 Not Found\r\n\r\n", True, "status 404"),
        ({"status": (204, 404)}, BODY, False, "status 200"),
        (WELL, BODY, True, "status 200"),
        (WELL, CHUNKED, True, "status 200"),
        (WELL, b"HTTP/1.0 200 OK\r\n\r\nall is well", True, "status 200"),
        (WELL, b"HTTP/1.0 200 OK\r\n\r\nall is we", False, 'status 200, no "is well"'),
        (WELL, OK + b"Content-Length: 4\r\n\r\nis well", False, 'status 200, no "is well"'),
        (WELL, OK + b"Content-Length: 0\r\n\r\n", False, 'status 200, no "is well"'),
        (WELL, OK + b"X: is well\r\nContent-Length: 0\r\n\r\n", False, 'status 200, no "is well"'),
        (WELL, b"HTTP/1.1 503 No\r\nContent-Length: 7\r\n\r\nis well", False, "status 503"),
        ({"contains": "ø"}, OK + b"Content-Length: 2\r\n\r\n\xc3\xb8", True, "status 200"),
        (WELL, OK + b"Content-Length: 9\r\n\r\nall is", False, "status 200, no HTTP: peer closed connection without"),
        (WELL, OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", False, "status 200, no HTTP: illegal chunk header"),
        ({}, b"", False, "no HTTP: "),
        ({}, b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False, "no HTTP: illegal status line"),
        ({}, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", False, "no HTTP: bad Content-Length"),
        ({}, b"\x15\x03\x01\x00\x02\x02\x16", False, "no HTTP: illegal"),
        ({}, b"HTTP/1.1 101 Switching\r\n\r\n", False, "no "),
    ],
)
def test_what_an_answer_means(options: dict[str, Any], said: bytes, passed: bool, detail: str) -> None:
    whole = answer(http(**options), said, b"")
    assert whole is not None
    assert (whole.passed, whole.value) == (passed, None)
    assert whole.detail.startswith(detail)
    split = answer(http(**options), *(said[at : at + 1] for at in range(len(said))), b"")
    assert split is not None
    assert (split.passed, split.detail) == (whole.passed, whole.detail)


def test_the_outcome_does_not_wait_for_what_is_not_needed() -> None:
    assert answer(http(), BODY[:-3]) == Outcome(passed=True, detail="status 200")
    assert answer(http(), OK) is None
    assert answer(http(**WELL), BODY[:-1]) == Outcome(passed=True, detail="status 200")
    assert answer(http(**WELL), BODY[:-2]) is None


def test_a_server_that_never_ends_is_given_up() -> None:
    line = b"X-Y: " + b"z" * 1000 + b"\r\n"
    endless = answer(http(), OK, *[line] * 200)
    assert endless is not None
    assert "no HTTP: " in endless.detail
    early = b"HTTP/1.1 102 Processing\r\n\r\n"
    assert answer(http(), *[early] * (MOST_READ // len(early) + 1)) == Outcome(
        passed=False, detail=f"no answer in the first {MOST_READ} bytes"
    )
    body = b"HTTP/1.1 200 OK\r\n\r\n"
    assert answer(http(**WELL), body, *[b"x" * 1000] * 132) == Outcome(
        passed=False, detail=f'status 200, no "is well" in the first {MOST_READ} bytes'
    )
    assert answer(http(), b"x" * (MOST_HEAD + 1)) is not None


@pytest.mark.parametrize(
    ("asked", "host"),
    [
        (http(80), "[::1]"),
        (http(443), "[::1]:443"),
        (http(443, tls=True), "[::1]"),
        (http(8443, tls=True), "[::1]:8443"),
        (http(80, host="www.example.com:8080"), "www.example.com:8080"),
        (Http(Url(Endpoint(IPv4Address("192.0.2.1"), 81), "/health", tls=False), tls_verify=None), "192.0.2.1:81"),
    ],
)
def test_the_request_that_is_sent(asked: Http, host: str) -> None:
    assert Answer(asked).request().decode() == (
        f"GET /health HTTP/1.1\r\nHost: {host}\r\nUser-Agent: exavrrp\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )


pieces = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                OK,
                BODY,
                CHUNKED,
                b"\r\n",
                b"HTTP/1.1 ",
                b"100 C\r\n\r\n",
                b"Content-Length: ",
                b"7",
                b"is well",
                b"0\r\n",
            ]
        ),
        st.sampled_from([b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"x" * 20000, b"\n" * 20000]),
    ),
    max_size=12,
)


@given(said=pieces, cut=st.integers(1, 50), contains=st.sampled_from([None, "is well", "x" * 30]))
def test_no_answer_raises_anything_or_takes_more_than_its_share(
    said: list[bytes], cut: int, contains: str | None
) -> None:
    whole = b"".join(said)
    reading = Answer(http(contains=contains))
    reading.request()
    step = max(cut, len(whole) // 200)
    outcome = None
    for at in range(0, len(whole), step):
        outcome = reading.feed(whole[at : at + step])
        if outcome is not None:
            break
        assert reading.read < MOST_READ
        assert len(reading.body) <= MOST_READ
    if outcome is None:
        outcome = reading.feed(b"")
    assert outcome is not None, "the end is always an outcome"
    assert outcome.detail.isprintable()
    assert 0 < len(outcome.detail) <= DETAIL + len(f" in the first {MOST_READ} bytes")


# Real servers

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def saying(*parts: bytes) -> Handler:
    """A server that reads a request and says this."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    return handle


@contextlib.asynccontextmanager
async def serving(handler: Handler, secure: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server on ::1."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(handler(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    server = await asyncio.start_server(accept, "::1", 0, ssl=secure)
    async with server:
        yield server.sockets[0].getsockname()[1]
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def results(probe: Http, until: "Until", count: int = 1, **options: Any) -> list[tuple[bool, str]]:
    """The first results of a check."""
    told: list[tuple[bool, str]] = []

    def tell(name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        told.append((passed, detail))
        return False

    engine = Checks(tell)
    engine.open(asyncio.get_running_loop())
    engine.set([check(probe, **options)])
    try:
        await until(lambda: len(told) >= count)
    finally:
        await engine.close()
    return told


def test_a_real_server_passes(run: "Run", until: "Until") -> None:
    async def body() -> None:
        async with serving(saying(BODY)) as port:
            assert await results(http(port, **WELL), until, 3, interval=0.05) == [(True, "status 200")] * 3

    run(body())


def test_nobody_there_is_a_failure(run: "Run", until: "Until") -> None:
    async def body() -> None:
        with socket.socket(socket.AF_INET6) as silent:
            silent.bind((str(LO6), 0))
            [(passed, detail)] = await results(http(silent.getsockname()[1]), until)
        assert (passed, detail) == (False, "Connection refused")

    run(body())


def test_a_server_that_closes_at_once_has_failed(run: "Run", until: "Until") -> None:
    async def body() -> None:
        async with serving(saying()) as port:
            [(passed, detail)] = await results(http(port), until)
            assert not passed
            assert detail

    run(body())


def test_adverts_go_on_while_an_answer_is_read(run: "Run", monkeypatch: pytest.MonkeyPatch) -> None:
    """A body in chunks of one byte: h11 needs 0.14 s for as much of it as is read."""
    turns = 0
    fed: list[tuple[int, int]] = []
    feed = Answer.feed

    def noting(self: Answer, data: bytes) -> Outcome | None:
        fed.append((len(data), turns))
        return feed(self, data)

    async def body() -> None:
        loop = asyncio.get_running_loop()

        def turn() -> None:
            nonlocal turns
            turns += 1
            if not asked.done():
                loop.call_soon(turn)

        endless = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 30000
        async with serving(saying(endless)) as port:
            asked = loop.create_task(web.ask(http(port, **WELL), None))
            loop.call_soon(turn)
            assert "no " in (await asked).detail

    monkeypatch.setattr(Answer, "feed", noting)
    run(body())
    assert max(size for size, _ in fed) <= web.PIECE
    assert sum(size for size, _ in fed) >= MOST_READ
    assert all(earlier < later for (_, earlier), (_, later) in pairwise(fed))


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in BODY:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.1)


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)
    number = 0
    with contextlib.suppress(ConnectionError):
        while True:
            number += 1
            writer.write(b"X-%d: %s\r\n" % (number, b"y" * 4096))
            await writer.drain()


@pytest.mark.parametrize("handler", [_silent, _slow], ids=["silent", "slow"])
def test_a_server_that_takes_too_long_has_failed(run: "Run", until: "Until", handler: Handler) -> None:
    async def body() -> None:
        async with serving(handler) as port:
            assert await results(http(port), until, timeout=0.3) == [(False, "not done within 0.3 s")]

    run(body())


def test_a_server_of_endless_headers_has_failed(run: "Run", until: "Until") -> None:
    async def body() -> None:
        async with serving(_endless) as port:
            [(passed, detail)] = await results(http(port), until)
            assert not passed
            assert "no HTTP: " in detail

    run(body())


@pytest.fixture(scope="module", name="certificate")
def _certificate(tmp_path_factory: pytest.TempPathFactory, need: "Need") -> Path:
    """A self-signed certificate of www.example.com and ::1, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    both = folder / "both.pem"
    command = [need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "crt.pem"), "-days", "2"]
    command += ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:www.example.com,IP:::1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "crt.pem").read_bytes())
    return both


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (False, "certificate refused: self-signed certificate")),
        ({"tls_verify": False}, (True, "status 200")),
        ({"ca_file": "crt.pem"}, (True, "status 200")),
        ({"ca_file": "crt.pem", "host": "www.example.com"}, (True, "status 200")),
        ({"ca_file": "crt.pem", "host": "www.example.com:8443"}, (True, "status 200")),
        ({"ca_file": "crt.pem", "host": "other.example.com"}, (False, "certificate refused: Hostname mismatch")),
        ({"ca_file": "absent.pem"}, (False, "ca_file: No such file or directory")),
        ({"ca_file": "key.pem"}, (False, "ca_file: TLS: no certificate or crl found")),
    ],
)
def test_tls(
    run: "Run", until: "Until", certificate: Path, options: dict[str, Any], expected: tuple[bool, str]
) -> None:
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(certificate)
    if "ca_file" in options:
        options = {**options, "ca_file": str(certificate.parent / options["ca_file"])}

    async def body() -> None:
        async with serving(saying(BODY), secure) as port:
            for passed_, detail_ in await results(http(port, tls=True, **options, **WELL), until, 2, interval=0.05):
                assert passed_ is expected[0]
                assert detail_.startswith(expected[1])

    run(body())


def test_a_ca_file_that_appears_later_is_used(run: "Run", until: "Until", certificate: Path, tmp_path: Path) -> None:
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(certificate)
    later = tmp_path / "ca.pem"
    told: list[tuple[bool, str]] = []

    def tell(name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        told.append((passed, detail))
        return False

    async def body() -> None:
        async with serving(saying(BODY), secure) as port:
            probe = http(port, tls=True, ca_file=str(later))
            engine = Checks(tell)
            engine.open(asyncio.get_running_loop())
            engine.set([check(probe, interval=0.05)])
            try:
                await until(lambda: told)
                (tmp_path / "new").write_bytes((certificate.parent / "crt.pem").read_bytes())
                (tmp_path / "new").rename(later)
                await until(lambda: told[-1][0])
            finally:
                await engine.close()
        assert told[0] == (False, "ca_file: No such file or directory")

    run(body())


class Loads:
    """TLS contexts that take as long as the test wants, and who asks with them; no socket is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[int] = []
        """that have loaded one"""
        self.loaded = threading.Event()
        self.contexts: dict[str, ssl.SSLContext | None] = {}
        """by the target of the last request"""
        self.told: list[tuple[str, bool]] = []
        monkeypatch.setattr(web, "context", self._load)
        monkeypatch.setattr(web, "ask", self._ask)

    def _load(self, _: Http) -> ssl.SSLContext:
        self.threads.append(threading.get_ident())
        assert self.loaded.wait(LIMIT)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def _ask(self, asked: Http, secure: ssl.SSLContext | None) -> Outcome:
        self.contexts[asked.http.target] = secure
        return Outcome(passed=True)

    def tell(self, name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        self.told.append((name, passed))
        return False


def test_checks_with_the_same_authorities_share_them_also_after_a_reload(
    run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    """To load all of a system takes 40 ms of CPU, in which no advert is sent if it is not a thread that does it."""
    loads = Loads(monkeypatch)
    loads.loaded.set()
    checks = [check(http(target=f"/{name}", tls=True), name=name, interval=LIMIT) for name in "ab"]

    async def body() -> None:
        engine = Checks(loads.tell)
        engine.open(asyncio.get_running_loop())
        engine.set(checks)
        await until(lambda: len(loads.told) == 2)
        first = set(loads.contexts.values())
        loads.contexts.clear()
        engine.set([replace(one, interval=2 * LIMIT) for one in checks])
        await until(lambda: len(loads.contexts) == 2)
        assert set(loads.contexts.values()) == first
        assert len(first) == len(loads.threads) == 1
        engine.set([check(http(target="/c", tls=True, tls_verify=False))])
        await until(lambda: "/c" in loads.contexts)
        assert loads.contexts["/c"] not in first
        await engine.close()

    run(body())
    assert threading.get_ident() not in loads.threads


def test_the_time_to_load_authorities_is_not_the_services(
    run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = Loads(monkeypatch)

    async def body() -> None:
        engine = Checks(loads.tell)
        engine.open(asyncio.get_running_loop())
        secure = check(http(tls=True), name="secure", interval=0.01, timeout=0.01)
        engine.set([secure, check(http(), name="plain", interval=0.01)])
        await until(lambda: len(loads.told) > 5)
        assert set(loads.told) == {("plain", True)}
        loads.loaded.set()
        await until(lambda: ("secure", True) in loads.told)
        assert ("secure", False) not in loads.told
        await engine.close()

    run(body())


def test_without_a_thread_to_load_authorities_the_check_fails_and_tries_again(
    run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = Loads(monkeypatch)
    loads.loaded.set()

    def refused(_: object) -> Any:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    async def body() -> None:
        engine = Checks(loads.tell)
        engine.open(asyncio.get_running_loop())
        with monkeypatch.context() as patched:
            patched.setattr(web, "in_thread", refused)
            engine.set([check(http(tls=True), interval=0.01)])
            await until(lambda: loads.told)
        assert loads.told[0] == ("it", False)
        await until(lambda: loads.told[-1] == ("it", True))
        await engine.close()

    run(body())


def test_a_check_fails_whose_authorities_are_on_a_disk_that_hangs(
    run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = Loads(monkeypatch)
    monkeypatch.setattr(scheduling, "LOADING_LIMIT", 0.01)

    async def body() -> None:
        engine = Checks(loads.tell)
        engine.open(asyncio.get_running_loop())
        engine.set([check(http(tls=True), interval=0.01, timeout=0.01)])
        await until(lambda: ("it", False) in loads.told)
        await engine.close()
        loads.loaded.set()

    run(body())


def test_tls_with_a_server_that_speaks_none(run: "Run", until: "Until") -> None:
    async def body() -> None:
        async with serving(saying(BODY)) as port:
            [(passed, detail)] = await results(http(port, tls=True), until, timeout=0.5)
            assert not passed
            assert detail == "not done within 0.5 s"  # it waits for the end of what it takes for a request

    run(body())


def test_a_ca_file_that_cannot_be_used_is_found_beforehand(certificate: Path, tmp_path: Path) -> None:
    assert preflight_error(http(tls=True, ca_file=str(certificate.parent / "crt.pem"))) is None
    assert preflight_error(http(tls=True)) is None
    absent = str(tmp_path / "absent.pem")
    assert preflight_error(http(tls=True, ca_file=absent)) == (
        "ca_file",
        f'is "{absent}", which cannot be used (No such file or directory); name a file of PEM certificates',
    )
