"""What stands between keepalived and ExaBGP: reads keepalived's notify FIFO, announces and withdraws the address.

ExaBGP runs it as its process. It is as careful as an operator would write it: it opens the FIFO for both directions, so
that a restart of keepalived is no end of file; it goes by the last line of all that have come at once; a withdrawal
names the attributes of the announcement; ExaBGP's answers are read, since ExaBGP stops if its pipe is full; and it ends
with ExaBGP.

    python glue.py FIFO PREFIX MED
"""

from __future__ import annotations

import os
import selectors
import sys
from contextlib import suppress
from pathlib import Path

SIZE = 4096
SERVES = {"MASTER": True, "BACKUP": False, "FAULT": False, "STOP": False, "DELETED": False}
"Not in here is MASTER_RX_LOWER_PRI, which is no change."


def serves(text: str) -> bool | None:
    """By the last line that names a state of an instance, as `INSTANCE "web" MASTER 200`; None if there is none."""
    lines = [words for line in text.splitlines() if (words := line.split())[:1] == ["INSTANCE"]]
    states = [words[2] for words in lines if len(words) > 2 and words[2] in SERVES]
    return SERVES[states[-1]] if states else None


def command(serving: bool, prefix: str, med: str) -> str:
    """What ExaBGP is told."""
    return f"{'announce' if serving else 'withdraw'} route {prefix} next-hop self med {med}\n"


def main(fifo: Path, prefix: str, med: str) -> None:
    with suppress(FileExistsError):  # keepalived was quicker
        os.mkfifo(fifo, 0o600)
    told = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    answers = sys.stdin.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(told, selectors.EVENT_READ)
        selector.register(answers, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                data = os.read(key.fd, SIZE)
                if key.fd == answers and not data:
                    return
                if key.fd == told and (serving := serves(data.decode(errors="replace"))) is not None:
                    sys.stdout.write(command(serving, prefix, med))
                    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
