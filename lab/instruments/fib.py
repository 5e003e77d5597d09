"""Writes the best routes of the GoBGP in this namespace into the kernel; what it originates itself is no route there.

    python fib.py GOBGP PREFIX…

GOBGP is the command line client; each PREFIX is originated first, as soon as the daemon answers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

POLL = 0.05
PROTOCOL = "bgp"
"As the routes of other daemons are shown."
NEXT_HOP, REACHABLE = 3, 14
"Types of attributes: NEXT_HOP, MP_REACH_NLRI (RFC 4271, RFC 4760)."


def orders(line: str) -> Iterator[str]:
    """What `ip -batch` is to do for a line of `gobgp monitor global rib -j`: best routes that have changed."""
    said = json.loads(line)
    routes = said if isinstance(said, list) else [one for known in said.values() for one in known if one.get("best")]
    for route in routes:
        prefix = route["nlri"]["prefix"]
        hop = next_hop(route)
        if hop in {"0.0.0.0", "::"}:
            continue
        if route.get("withdrawal"):
            yield f"route del {prefix} proto {PROTOCOL}"
        else:
            yield f"route replace {prefix} via {hop} proto {PROTOCOL}"


def next_hop(route: dict[str, Any]) -> str:
    return next((str(one["nexthop"]) for one in route["attrs"] if one["type"] in {NEXT_HOP, REACHABLE}), "::")


def originate(gobgp: str, prefix: str) -> None:
    family = "ipv6" if ":" in prefix else "ipv4"
    while subprocess.run([gobgp, "global", "rib", "add", "-a", family, prefix], check=False).returncode:
        time.sleep(POLL)


def main(gobgp: str, prefixes: Sequence[str]) -> int:
    for prefix in prefixes:
        originate(gobgp, prefix)
    # A route that the kernel has removed with its link cannot be deleted again: -force goes on.
    with (
        subprocess.Popen(["ip", "-force", "-batch", "-"], stdin=subprocess.PIPE, text=True) as kernel,
        subprocess.Popen(
            [gobgp, "monitor", "global", "rib", "--current", "-j"], stdout=subprocess.PIPE, text=True
        ) as monitor,
    ):
        assert kernel.stdin is not None
        assert monitor.stdout is not None
        for line in monitor.stdout:
            for order in orders(line):
                kernel.stdin.write(f"{order}\n")
            kernel.stdin.flush()
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
