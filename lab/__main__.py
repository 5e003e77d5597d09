"""The command line of the lab: `lab/demo [SCENARIO] …` (which first installs what is missing) or `python -m lab`.

Progress goes to stderr, the result to stdout. Exit status: 0 all as the scenario expects, 1 not so, 2 the lab could
not be built or the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from lab import (  # noqa: F401
    report,
    scenarios_announcements,
    scenarios_attack,
    scenarios_fabric,
    scenarios_reload,
    scenarios_service,
    scenarios_sessions,
    scenarios_vxlan,
)
from lab.addressing import site
from lab.chaos import run as chaos
from lab.privileges import acquire
from lab.run import OUT, Order, Result, run_all
from lab.scenarios import SCENARIOS
from lab.servers import AGENT, EXABGP, MEANS, Means, ServerPlan
from lab.svg import draw
from lab.topology import LabError

DEFAULT_SCENARIO = "kill-node"
DEFAULT_INTERVAL = 0.1
DEFAULT_HOLD = 9
"Seconds; what operators settle on between ExaBGP's 180 s and flapping: keepalive 3, hold 9."
INTERVALS = (0.01, 40.95)
"What an advert can carry: 1 to 4095 centiseconds (RFC 9568 §5.2.7)."


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lab/demo",
        description="Builds a routed data centre in network namespaces, runs a scenario in it, shows the timeline.",
        epilog="Scenarios: lab/demo --list",
    )
    made.add_argument("scenario", nargs="?", default=DEFAULT_SCENARIO, choices=sorted(SCENARIOS), metavar="SCENARIO")
    made.add_argument(
        "--router",
        choices=("bird", "frr", "gobgp"),
        default="bird",
        help="what ToRs and client run (bird); gobgp: the ToRs of one rack, and BIRD the client",
    )
    made.add_argument(
        "--bgp-host",
        choices=("bird", "frr"),
        help="a BGP daemon on each server has the sessions to the routers, and ExaBGP one to it over lo (none)",
    )
    made.add_argument("--exabgp", choices=tuple(EXABGP), default="5", help="4.2 or 5.0 on the servers (5)")
    made.add_argument(
        "--interval", type=interval, default=DEFAULT_INTERVAL, metavar="SECONDS", help="advert_interval (0.1)"
    )
    made.add_argument(
        "--topology",
        choices=("rack", "racks", "unnumbered"),
        default="rack",
        help="one rack, or each server in its own; or one rack whose links have link-local addresses alone",
    )
    made.add_argument(
        "--server-as",
        choices=("one", "distinct", "routers"),
        help="AS numbers of the servers (rack: one for all; racks: one for each; routers: iBGP to the ToRs, in rack)",
    )
    made.add_argument(
        "--standby", choices=("withdraw", "announce"), default="withdraw", help="what a Backup does (withdraw)"
    )
    made.add_argument("--prebind", action="store_true", help="a Backup binds the address beforehand")
    made.add_argument(
        "--takeover",
        type=takeover,
        default=(),
        metavar="med|prepend|local-preference|…,…",
        help="how a new Active's route beats a dead node's (as the scenario needs)",
    )
    made.add_argument("--repeat", type=positive, default=1, metavar="N", help="runs, each in a new lab (1)")
    made.add_argument("--family", type=int, choices=(4, 6), default=6, help="of the virtual address (6)")
    made.add_argument("--hold", type=hold_time, default=DEFAULT_HOLD, metavar="SECONDS", help="BGP hold time (9)")
    made.add_argument(
        "--seed", type=positive, metavar="N", help="of the first run: ECMP hashes, when the event comes (random)"
    )
    made.add_argument(
        "--agent", type=Path, default=AGENT, metavar="PROGRAM", help="the agent to run (.venv/bin/exavrrp)"
    )
    made.add_argument("--record", action="store_true", help="have the agents record, and replay their recordings")
    made.add_argument("--why", action="store_true", help="have exavrrp why name the cause, if the scenario says which")
    made.add_argument("--json", action="store_true", help="one JSON document on stdout: a list of runs")
    made.add_argument("--svg", type=Path, metavar="FILE", help="where the picture goes (lab/out/SCENARIO.svg)")
    made.add_argument(
        "--keep", action="store_true", help="leave the last lab up, with a shell for each machine, until Ctrl-C"
    )
    made.add_argument("--list", action="store_true", help="list the scenarios")
    return made


def interval(text: str) -> float:
    value = float(text)
    if not INTERVALS[0] <= value <= INTERVALS[1]:
        raise argparse.ArgumentTypeError(f"{text} is not between {INTERVALS[0]} and {INTERVALS[1]} seconds")
    return value


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def hold_time(text: str) -> int:
    value = positive(text)
    if value < 3:
        raise argparse.ArgumentTypeError("a BGP hold time is at least 3 seconds (RFC 4271 §4.2)")
    return value


def takeover(text: str) -> tuple[Means, ...]:
    given = tuple(dict.fromkeys(text.split(",")))
    if unknown := [each for each in given if each not in MEANS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is neither {' nor '.join(MEANS)}")
    return tuple(each for each in MEANS if each in given)


def order_of(options: argparse.Namespace) -> Order:
    """Raises LabError."""
    if (options.topology, options.server_as) == ("racks", "routers"):
        raise LabError("--server-as routers needs --topology rack: each rack would be in the same AS")
    if (options.topology, options.router) == ("racks", "gobgp"):
        raise LabError("--router gobgp needs --topology rack: its routes in the kernel have one next hop")
    if (options.topology, options.router) == ("unnumbered", "gobgp"):
        raise LabError("--router gobgp needs --topology rack: it writes no IPv4 routes with IPv6 next hops")
    if (options.topology, options.exabgp) == ("unnumbered", "4"):
        raise LabError(
            "--topology unnumbered needs --exabgp 5: 4.2 has no source-interface, so it cannot connect to fe80::1"
        )
    if options.bgp_host and (options.router == "gobgp" or options.topology == "unnumbered"):
        raise LabError("--bgp-host needs --router bird or frr, and --topology rack or racks")
    plan = ServerPlan(
        family=options.family,
        interval=options.interval,
        hold=options.hold,
        exabgp=options.exabgp,
        agent=options.agent.absolute(),
        site=replace(site(options.topology, options.server_as), host=options.bgp_host),
        standby=options.standby == "announce",
        prebind=options.prebind,
        takeover=options.takeover,
        record=options.record,
        carrier=6 if options.topology == "unnumbered" else None,
    )
    return Order(
        scenario=SCENARIOS[options.scenario],
        router=options.router,
        plan=plan,
        repeat=options.repeat,
        seed=options.seed or secrets.randbelow(1_000_000) + 1,
        keep=options.keep,
        why=options.why,
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def picture(order: Order, results: Sequence[Result], file: Path | None) -> None:
    """Writes the picture of the median run; a default place that cannot be written is no failure."""
    path = file or OUT / f"{order.scenario.name}.svg"
    try:
        if file is None:
            OUT.mkdir(exist_ok=True)
        path.write_text(draw(order, report.median_run(results)))
    except OSError as error:
        if file is not None:
            raise LabError(f"{path}: {error.strerror}") from error
        say(f"no picture: {path}: {error.strerror}")
    else:
        say(f"picture: {path}")


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP end a lab as Ctrl-C does: everything is removed."""
    raise KeyboardInterrupt


CHAOS = "chaos"
"No scenario: random faults, with a command line of its own."


def main(arguments: Sequence[str]) -> int:
    is_chaos = list(arguments[:1]) == [CHAOS]
    options = chaos.parser().parse_args(arguments[1:]) if is_chaos else parser().parse_args(arguments)
    if not is_chaos and options.list:
        told = {name: each.summary for name, each in SCENARIOS.items()} | {CHAOS: "random faults, one or two at a time"}
        width = max(map(len, told))
        print("\n".join(f"{name:{width}}  {summary}" for name, summary in told.items()))
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        acquire(arguments)
        if is_chaos:
            return chaos.main(options, say)
        order = order_of(options)
        results = run_all(order, say)
        picture(order, results, options.svg)
    except LabError as error:
        say(f"lab/demo: {error}")
        return 2
    except KeyboardInterrupt:
        say("lab/demo: interrupted; everything is removed")
        return 130
    print(
        json.dumps(report.document(order, results), indent=2) if options.json else report.text(order, results), end=""
    )
    if options.json:
        print()
        for violation in report.violations(order, results):
            say(f"VIOLATED: {violation}")
    return 1 if report.violations(order, results) else 0


if __name__ == "__main__":
    os.umask(0o022)
    # Users have no /sbin in their PATH, where nft is.
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    sys.exit(main(sys.argv[1:]))
