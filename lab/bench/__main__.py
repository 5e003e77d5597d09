"""The command line of the bench: `lab/bench/run scale|race …` (which first installs what is missing) or `python -m
lab.bench scale|race …`.

Progress goes to stderr, the result to stdout. What a race has measured so far is in lab/out/race.json at any time.
Exit status: 0 measured, 2 the lab could not be built or the command line is wrong, 130 interrupted. What is measured is
no verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.__main__ import DEFAULT_HOLD, DEFAULT_INTERVAL, hold_time, interrupt, interval, positive, say
from lab.bench import race_report, race_svg, report
from lab.bench.agents import Contender, exavrrp, keepalived, keepalived_version
from lab.bench.events import EVENTS
from lab.bench.plan import MOST
from lab.bench.race import Order as RaceOrder
from lab.bench.race import Result, machine, race
from lab.bench.scale import Order, run
from lab.bench.tools import TOOLS
from lab.privileges import acquire
from lab.run import OUT
from lab.servers import EXABGP, ROOT
from lab.topology import LabError, lab_directory

AGENTS = ("exavrrp", "keepalived")
SETTLE = 6.0
SHORT: dict[str, Any] = {
    "tools": ("exavrrp", "keepalived+exabgp"),
    "events": ("kill-node", "cut-uplink"),
    "repeat": 1,
}
"A race of some 40 s: enough for ratios."


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lab/bench/run", description="Measures exavrrp and what people run today side by side."
    )
    commands = made.add_subparsers(dest="command", required=True)
    scale_parser(commands.add_parser("scale", help="what many virtual routers cost, beside keepalived"))
    race_parser(commands.add_parser("race", help="what users lose when something breaks, with each of four tools"))
    return made


def scale_parser(scale: argparse.ArgumentParser) -> None:
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


def race_parser(made: argparse.ArgumentParser) -> None:
    made.add_argument("--tools", type=listed(TOOLS), default=tuple(TOOLS), metavar="TOOL,…", help=", ".join(TOOLS))
    made.add_argument("--events", type=listed(EVENTS), default=tuple(EVENTS), metavar="EVENT,…", help=", ".join(EVENTS))
    made.add_argument("--repeat", type=positive, default=5, metavar="N", help="rounds, in which all take turns (5)")
    made.add_argument("--interval", type=interval, default=DEFAULT_INTERVAL, metavar="S", help="of adverts (0.1)")
    made.add_argument("--hold", type=hold_time, default=DEFAULT_HOLD, metavar="S", help="BGP hold time (9)")
    made.add_argument("--seed", type=positive, default=1, metavar="N", help="ECMP hashes, when the events come (1)")
    made.add_argument("--short", action="store_true", help="two tools, two events, one round: some 40 s")
    made.add_argument("--scale", type=Path, metavar="FILE", help="what `scale --json` has written, for the report")
    made.add_argument("--again", type=Path, metavar="FILE", help="measure nothing: report what --json has written")
    made.add_argument("--svg", type=Path, metavar="FILE", help="where the picture goes (lab/out/race.svg)")
    made.add_argument("--json", action="store_true", help="one JSON document on stdout, not Markdown")


def listed(known: Mapping[str, object]) -> Callable[[str], tuple[str, ...]]:
    """A reader of names with commas between them."""

    def names(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(text.split(",")))
        if unknown := [each for each in found if each not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return found

    return names


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
        match options.command:
            case "scale":
                acquire(arguments, "lab.bench")
                print(run_scale(options), end="")
            case _:
                print(run_race(options, arguments), end="")
    except LabError as error:
        say(f"lab/bench/run: {error}")
        return 2
    except KeyboardInterrupt:
        say("lab/bench/run: interrupted; everything is removed")
        return 130
    return 0


def run_scale(options: argparse.Namespace) -> str:
    """What goes to stdout. Raises LabError."""
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
    if options.json:
        return json.dumps(report.document(order, version, results, os.cpu_count()), indent=2) + "\n"
    return report.text(order, version, results)


def run_race(options: argparse.Namespace, arguments: Sequence[str]) -> str:
    """What goes to stdout. Raises LabError."""
    scale = read(options.scale) if options.scale else None
    if options.again:
        document = read(options.again)
        document["scale"] = scale or document["scale"]
    else:
        acquire(arguments, "lab.bench")
        document = measured(race_order(options), scale)
    write(options.svg or OUT / "race.svg", race_svg.draw(document))
    return json.dumps(document, indent=2) + "\n" if options.json else race_report.markdown(document)


def race_order(options: argparse.Namespace) -> RaceOrder:
    given = {name: getattr(options, name) for name in ("tools", "events", "repeat")}
    return RaceOrder(
        **(given | (SHORT if options.short else {})), interval=options.interval, hold=options.hold, seed=options.seed
    )


def measured(order: RaceOrder, scale: Mapping[str, Any] | None) -> dict[str, Any]:
    """The document of a whole race; what there is of it is written after each run. Raises LabError."""
    where, results = machine(), list[Result]()
    for result in race(order, say):
        results.append(result)
        write(OUT / "race.json", json.dumps(race_report.document(order, where, results, scale), indent=2) + "\n")
    return race_report.document(order, where, results, scale)


def read(path: Path) -> dict[str, Any]:
    """Raises LabError."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: {error}") from error
    return found


def write(path: Path, text: str) -> None:
    """Raises LabError."""
    try:
        OUT.mkdir(exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from error


if __name__ == "__main__":
    os.umask(0o022)
    # Users have no /sbin in their PATH, where keepalived is.
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    sys.exit(main(sys.argv[1:]))
