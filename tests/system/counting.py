"""The agent, and how often it has asked the kernel and told ExaBGP something: its last line says so."""

import atexit
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from unittest.mock import patch

from exavrrp.cli import main
from exavrrp.speaker import Conversation as Speech
from exavrrp.system.netlink import Netlink, Request

COUNTED: Counter[str] = Counter()


def count() -> None:
    """From now on."""
    parts, batch, transmit = Netlink.parts, Netlink.batch, Speech.transmit

    def counted_parts(self: Netlink, request: Request) -> Iterator[bytes]:
        COUNTED["dumps"] += 1
        return parts(self, request)

    def counted_batch(self: Netlink, requests: Sequence[Request]) -> list[bytes | OSError]:
        COUNTED["batches"] += 1
        return batch(self, requests)

    def counted_lines(self: Speech, now: float) -> list[str]:
        lines = transmit(self, now)
        COUNTED["announcements"] += sum(" announce " in f" {line}" for line in lines)
        return lines

    for owner, name, counted in (
        (Netlink, "parts", counted_parts),
        (Netlink, "batch", counted_batch),
        (Speech, "transmit", counted_lines),
    ):
        patch.object(owner, name, counted).start()
    atexit.register(tell)


def tell() -> None:
    """One line of the log."""
    sys.stderr.write(json.dumps({"event": "counted", "level": "info", **COUNTED}) + "\n")


if __name__ == "__main__":
    count()
    main()
