"""How long the commands take to start: `python -m tests.benchmarks.start` (root for `run`; a minute).

Reported in ms beyond a bare interpreter, and as a ratio to it: medians of alternating rounds. A socket that stands for
the agent answers `status` and `drain` at once. For `run` it is the time from exec to the first packet that is handled:
a second node is Active and advertises every 10 ms, and the recording has the time of the first advert that was heard.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from socket import AF_UNIX, socket
from statistics import median

from exavrrp.control import SOCKET, Done, Moved, StatusAnswer, encode
from exavrrp.view import Outcome, RouterView
from tests.benchmarks.nodes import ANSWERS, Node, Plan, Site
from tests.system.running import wait_until

ROUNDS = 21

ROUTER = RouterView(
    name="web", vrid=7, role="active", priority=100, explanation="100", bound=True, level="active", drained=False
)
CONFIGURATION = """
[agent]
sources = ["2001:db8:ff::11"]
peers = ["2001:db8:ff::12"]
state_directory = "{directory}"

[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1/128"]
"""


def serve(listening: socket) -> None:
    """Answers each request, for ever."""
    status = encode(StatusAnswer(release="1", process=1, time=datetime.now(UTC), routers=(ROUTER,)))
    drained = encode(Done(routers=(Moved(name="web", outcome=Outcome.DRAINED),)))
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(status if b"status" in connection.recv(4096) else drained)


def whole(*command: str) -> float:
    """Seconds from exec to exit."""
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def compare(cases: Mapping[str, Callable[[], float]]) -> None:
    """Prints a row for each, beside an interpreter that does nothing."""
    bare: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        bare.append(whole(sys.executable, "-c", "pass"))
        for name, measure in cases.items():
            found[name].append(measure())
    for name, times in found.items():
        above = median(seconds - least for seconds, least in zip(times, bare, strict=True))
        ratio = median(seconds / least for seconds, least in zip(times, bare, strict=True))
        print(f"{name:<12}{median(times) * 1000:7.1f}{above * 1000:9.1f}{ratio:8.1f}")


def first_packet(node: Node) -> float:
    """Seconds from the exec of an agent on ``node`` to the first packet that it handles."""
    recording = node.directory / "recording"
    recording.unlink(missing_ok=True)
    answers = node.namespace.popen([sys.executable, str(ANSWERS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_until(lambda: Path(f"/proc/{answers.pid}/wchan").read_text() != "0", "the other end of the pipes")
    command = [sys.executable, "-m", "exavrrp", "run", "--config", str(node.directory / "exavrrp.toml")]
    begin = time.monotonic()
    agent = node.namespace.popen(
        [*command, "--record", str(recording)], stdin=answers.stdout, stdout=answers.stdin, stderr=subprocess.DEVNULL
    )
    heard = wait_until(lambda: first_heard(recording), "an advert in the recording")
    assert heard is not None
    agent.send_signal(signal.SIGTERM)
    agent.wait()
    answers.kill()
    answers.wait()
    return heard - begin


def first_heard(recording: Path) -> float | None:
    """When the first advert was heard, in seconds of the monotonic clock."""
    lines = recording.read_bytes().split(b"\n")[:-1] if recording.exists() else []
    return next((event["at"] for event in map(json.loads, lines) if "Arrived" in str(event.get("told"))), None)


def compare_commands() -> None:
    """Those that end by themselves."""
    with tempfile.TemporaryDirectory() as directory, socket(AF_UNIX) as listening:
        path = Path(directory, "exavrrp.toml")
        path.write_text(CONFIGURATION.format(directory=directory))
        listening.bind(str(Path(directory, SOCKET)))
        listening.listen()
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        exavrrp = partial(whole, sys.executable, "-m", "exavrrp")
        compare(
            {
                "--version": partial(exavrrp, "--version"),
                "--help": partial(exavrrp, "--help"),
                "status": partial(exavrrp, "status", "--config", str(path)),
                "drain": partial(exavrrp, "drain", "--config", str(path)),
                "check": partial(exavrrp, "check", "--elsewhere", str(path)),
            }
        )


def compare_run() -> None:
    """The agent, beside one that is Active."""
    with tempfile.TemporaryDirectory(prefix="exavrrp-", dir="/dev/shm") as directory:
        built = Site(Plan(nodes=2, routers=1, interval=0.01), Path(directory))
        try:
            active, backup = built.nodes
            active.start()
            wait_until(lambda: active.log.all("transition")[-1:], "the first node to be Active")
            compare({"run": partial(first_packet, backup)})
        finally:
            built.close()


def main() -> None:
    """Prints a table."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has been compiled
    print("                 ms    above   ratio")
    compare_commands()
    if os.geteuid() == 0:
        compare_run()


if __name__ == "__main__":
    main()
