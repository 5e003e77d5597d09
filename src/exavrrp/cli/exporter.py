"""``exavrrp exporter``: metrics for Prometheus, and a page for browsers."""

import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from exavrrp.cli import options
from exavrrp.cli.asking import control_socket
from exavrrp.cli.output import fail, warn
from exavrrp.cli.page import document

ADDRESS = "127.0.0.1"
PORT = 9112


@click.command("exporter")
@click.option("--address", metavar="ADDRESS", default=ADDRESS, show_default=True, help="Listen here.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any that is free.")
@click.option(
    "--textfile",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Listen nowhere; write FILE, for node_exporter's textfile collector.",
)
@click.option(
    "--every",
    "seconds",
    type=click.FloatRange(1, 3600),
    default=15.0,
    show_default=True,
    help="Seconds; for --textfile.",
)
@options.agent
def command(*, address: str, port: int, textfile: Path | None, seconds: float, path: Path) -> None:
    """Serve the running agent's metrics at /metrics, and its status as a page at /.

    Needs prometheus_client: pip install 'exavrrp[exporter]'. It starts and goes on whether or not an agent runs.
    """
    try:
        from exavrrp.exporter.asking import Asking  # noqa: PLC0415 — what it needs is an extra
        from exavrrp.exporter.exposition import write  # noqa: PLC0415 — the same
        from exavrrp.exporter.serving import Server  # noqa: PLC0415 — the same
    except ModuleNotFoundError as error:
        fail(f"{error.name} is missing; install it: pip install 'exavrrp[exporter]'")
    asking = Asking(control_socket(path), lambda problem: warn([problem]))
    signal.signal(signal.SIGTERM, _end)
    if textfile is not None:
        _write_for_ever(partial(write, asking, textfile), textfile, seconds)
    try:
        server = Server(address, port, asking, partial(document, socket.gethostname()))
    except OSError as error:
        fail(f"cannot listen on {address} port {port}: {error.strerror or error}; choose --address and --port")
    host, port = f"[{address}]" if ":" in address else address, server.server_address[1]
    click.echo(f"listening on http://{host}:{port}/")
    server.serve_forever()


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


def _write_for_ever(write: Callable[[], None], path: Path, seconds: float) -> NoReturn:
    """Write every so many ``seconds``; remove the file in the end, so that nobody takes its series for the present."""
    good = True
    try:
        while True:
            try:
                write()
                good = True
            except OSError as error:
                if good:
                    warn([f"cannot write {path}: {error.strerror or error}; it is tried again every {seconds:g} s"])
                good = False
            time.sleep(seconds)
    finally:
        path.unlink(missing_ok=True)
