"""Families of metrics as text: for a scrape, and as a file for node_exporter's textfile collector."""

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder, generate_latest

from exavrrp.exporter.asking import Asking
from exavrrp.exporter.families import Gauge, families

MODE = 0o644
"""Of the textfile: node_exporter is another user."""


class _Families:
    """What prometheus_client calls a registry."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._metrics


def scraped(asking: Asking, accepted: str) -> tuple[bytes, str]:
    """The text and its content type; ``accepted``: the scraper's Accept header."""
    encode, kind = choose_encoder(accepted)
    return encode(_Families(families(asking.known().answer))), kind


def write(asking: Asking, path: Path) -> None:
    """Replace the file by what is true now and when that was, in one step. Raises OSError.

    Whoever reads the file cannot see that it is not written any more, hence the time in it.
    """
    written = Gauge("textfile_written_timestamp_seconds", "When this file was written; series in it are of that time.")
    metrics = families(asking.known().answer)
    written.add(time.time())
    text = generate_latest(_Families([written, *metrics]))
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            os.fchmod(descriptor, MODE)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
