"""Machines as pages of the guide describe them: a namespace each, in which blocks of the page are run as they are."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.routers import FRR, ZEBRA_SOCKET, frr_command
from tests.blocks import ROOT, blocks
from tests.system.conftest import Namespace, Need
from tests.system.running import EXABGP, EXABGP_ENVIRONMENT, LIMIT, Line, listens, wait_until


def block(page: str, language: str, number: int = 0) -> str:
    """A block of a page in ``docs/``: by its language, and which of those."""
    return [one.text for one in blocks(language) if one.page == ROOT / "docs" / page][number]


@dataclass(frozen=True)
class Machine:
    """One of them; its files are in ``directory``."""

    host: Namespace
    directory: Path
    need: Need

    def start_bird(self, configuration: str) -> None:
        path = self.directory / "bird.conf"
        path.write_text(configuration)
        with (self.directory / "bird.log").open("w") as log:
            command = [self.need("bird"), "-f", "-c", str(path), "-s", str(self._control)]
            self.host.popen(command, stderr=log)
        wait_until(lambda: listens(self._control), (self.directory / "bird.log").read_text)

    def start_frr(self, configuration: str) -> None:
        """zebra with what is zebra's of it, and bgpd with the rest."""
        self.need("vtysh")
        zebra, bgpd = FRR / "zebra", FRR / "bgpd"
        self.need(reason=f"no {bgpd}", unless=bgpd.exists())
        own = [line for line in configuration.splitlines() if line.startswith("no zebra ")]
        socket = self.directory / ZEBRA_SOCKET
        for program, text in ((zebra, "\n".join(own)), (bgpd, configuration.replace("\n".join(own), ""))):
            with (self.directory / f"{program.name}.log").open("w") as log:
                self.host.popen(frr_command(program.name, f"{text}\n", self.directory), stdout=log, stderr=log)
            wait_until(socket.exists, (self.directory / f"{program.name}.log").read_text)

    @property
    def _control(self) -> Path:
        return self.directory / "bird.ctl"

    def ask_bird(self, command: str) -> str:
        return self.host.run(self.need("birdc"), "-s", str(self._control), *command.split())

    def start_exabgp(self, line: Line, exabgp: str, exavrrp: str, *options: str) -> None:
        """With these files, but for the directories of the agent and its program, which gets the options."""
        self.need(reason=f"no ExaBGP {line}", unless=EXABGP[line].exists())
        places = f'state_directory = "{self.directory}/run"\npersistent_directory = "{self.directory}/lib"'
        self._exavrrp.write_text(exavrrp.replace("[agent]", f"[agent]\n{places}", 1))
        run = f"run {sys.executable} -m exavrrp run --config {self._exavrrp} {' '.join(options)};"
        path = self.directory / "exabgp.conf"
        path.write_text(re.sub(r"\brun .*?;", run, exabgp, count=1))
        with (self.directory / "agent.log").open("w") as log:
            self.host.popen(
                [str(EXABGP[line]), str(path)],
                env={**os.environ, **EXABGP_ENVIRONMENT, "exabgp_log_destination": str(self.directory / "exabgp.log")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    @property
    def _exavrrp(self) -> Path:
        return self.directory / "exavrrp.toml"

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command of exavrrp there."""
        command = [sys.executable, "-m", "exavrrp", *words, "--config", str(self._exavrrp)]
        with self.host:
            return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)

    def first(self, event: str) -> float:
        """When there was the first entry of this event in the journal, in monotonic seconds."""
        entries = (json.loads(line) for line in self.call("events", "--json").stdout.splitlines())
        return float(next(entry["at"]["monotonic"] for entry in entries if entry["event"] == event))

    def log(self) -> str:
        """The end of what the agent has said."""
        return (self.directory / "agent.log").read_text()[-4000:]
