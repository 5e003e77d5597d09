"""The command line of the bench: `lab/bench/run scale …` (which first installs what is missing) or `python -m lab.bench
scale …`.

Progress goes to stderr, the result to stdout. Exit status: 0 measured, 2 the lab could not be built or the command line
is wrong, 130 interrupted. What is measured is no verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.__main__ import interrupt, interval, positive, say
from lab.bench import report
from lab.bench.agents import Contender, exavrrp, keepalived, keepalived_version
from lab.bench.plan import MOST
from lab.bench.scale import Order, run
from lab.privileges import acquire
from lab.servers import EXABGP, ROOT
from lab.topology import LabError, lab_directory

AGENTS = ("exavrrp", "keepalived")
SETTLE = 6.0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="lab/bench/run", description="Measures exavrrp and keepalived side by side.")
    commands = made.add_subparsers(dest="command", required=True)
    scale = commands.add_parser("scale", help="what many virtual routers cost")
    scale.add_argument(
        "--routers", type=counts, default=(1, 50, 200, MOST), metavar="N,…", help=f"at most {MOST} (1,50,200,{MOST})"
    )
    scale.add_argument("--seconds", type=seconds, default=10.0, metavar="S", help="of each measurement (10)")
    scale.add_argument(
        "--settle",
        type=seconds,
        default=SETTLE,
        metavar="S",
        help=f"before each measurement ({SETTLE:g}; keepalived repeats gratuitous messages after 5)",
    )
    scale.add_argument("--repeat", type=positive, default=1, metavar="N", help="rounds, in which all take turns (1)")
    scale.add_argument("--interval", type=interval, default=0.1, metavar="S", help="advert_interval (0.1)")
    scale.add_argument("--agents", type=agents, default=AGENTS, metavar="AGENT,…", help="exavrrp,keepalived")
    scale.add_argument(
        "--source", type=Path, action="append", default=[], metavar="DIR", help="another checkout of exavrrp, too"
    )
    scale.add_argument("--exabgp", choices=tuple(EXABGP), default="5", help="4.2 or 5.0 under exavrrp (5)")
    scale.add_argument(
        "--bursts", type=positive, default=1, metavar="N", help="in which a stand-in sends its adverts, an interval (1)"
    )
    scale.add_argument("--realtime", action="store_true", help="agents with real-time scheduling")
    scale.add_argument("--takeover", action="store_true", help="a node that is Active for all dies, too")
    scale.add_argument("--three", action="store_true", help="three agents on this machine, too")
    scale.add_argument("--profile", type=Path, metavar="DIR", help="write where exavrrp spends its time to DIR")
    scale.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return made


def counts(text: str) -> tuple[int, ...]:
    found = tuple(map(positive, text.split(",")))
    if max(found) > MOST:
        raise argparse.ArgumentTypeError(f"at most {MOST}: 255 of each family")
    return found


def agents(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if unknown := [each for each in found if each not in AGENTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is neither {' nor '.join(AGENTS)}")
    return found


def seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"{text} is no time to measure for")
    return value


def contenders(names: Sequence[str], sources: Sequence[Path], directory: Path) -> list[Contender]:
    """Who takes part: this checkout, other ones, keepalived. Raises LabError."""
    found = [exavrrp(ROOT, directory, "exavrrp")] if "exavrrp" in names else []
    found += [exavrrp(source, directory, f"exavrrp {source}") for source in sources]
    return found + ([keepalived()] if "keepalived" in names else [])


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        acquire(arguments, "lab.bench")
        with lab_directory(say) as directory:
            order = Order(
                routers=options.routers,
                contenders=contenders(options.agents, options.source, directory),
                interval=options.interval,
                settle=options.settle,
                seconds=options.seconds,
                repeat=options.repeat,
                bursts=options.bursts,
                exabgp=options.exabgp,
                realtime=options.realtime,
                takeover=options.takeover,
                three=options.three,
                profile=options.profile,
            )
            version = next((keepalived_version(each) for each in order.contenders if not each.announces), "")
            results = list(run(order, directory, say))
    except LabError as error:
        say(f"lab/bench/run: {error}")
        return 2
    except KeyboardInterrupt:
        say("lab/bench/run: interrupted; everything is removed")
        return 130
    if options.json:
        print(json.dumps(report.document(order, version, results), indent=2))
    else:
        print(report.text(order, version, results), end="")
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    # Users have no /sbin in their PATH, where keepalived is.
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    sys.exit(main(sys.argv[1:]))
