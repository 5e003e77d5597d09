"""The canary: wakes up every few milliseconds, and writes down when it was late.

It wants next to nothing of a processor. Whenever it is late, so is every other process of its priority: a timer of the
agent that is late then is late because of the machine.

It writes `TIME LATENESS`, both in ns: when it should have woken up, and how late it did, if that was TOO_LATE or more.
A lateness that still goes on when the canary is killed is not written.

    python canary.py
"""

from __future__ import annotations

import sys
import time

PERIOD = 5_000_000
TOO_LATE = 5_000_000
"ns; an idle kernel is late by 0.1 ms."


def main() -> None:
    due = time.time_ns() + PERIOD
    while True:
        time.sleep(max(due - time.time_ns(), 0) / 1e9)
        late = time.time_ns() - due
        if late >= TOO_LATE:
            sys.stdout.write(f"{due} {late}\n")
            sys.stdout.flush()
        due += PERIOD * (1 + max(late, 0) // PERIOD)


if __name__ == "__main__":
    main()
