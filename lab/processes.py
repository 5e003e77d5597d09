"""The programs that run in the namespaces: started, watched, ended.

Owns: how a program gets into a namespace, where its output goes, and that none outlives the lab. Must not know what the
programs are.

Every program is started through `setpriv --pdeathsig KILL`: the kernel ends it when the lab is killed. (A program that
changes its user loses this setting; the next lab that starts finds it by its namespace.) Nothing runs as a daemon in
the background.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.topology import LabError, Namespace

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8", "TZ": "UTC", "HOME": "/"}
"Nothing of the caller's environment: a PYTHONPATH or LD_PRELOAD must not change what is measured."

POLL = 0.01
"Seconds between polls of a condition."


class Late(LabError):
    """A condition was not met within its limit."""


@dataclass(slots=True)
class Program:
    """A running program and its files."""

    name: str
    namespace: Namespace
    process: subprocess.Popen[str]
    output: Path
    log: Path
    may_end: bool = False
    "it has been asked to"

    def last_words(self, lines: int = 8) -> str:
        """The end of stderr, and of stdout if stderr has nothing."""
        text = self.log.read_text(errors="replace").strip() or self.output.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None


@dataclass(slots=True)
class Processes:
    """Everything this lab has started."""

    directory: Path
    programs: list[Program] = field(default_factory=list)

    def start(
        self,
        namespace: Namespace,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> Program:
        """Starts a program in a namespace; stdout goes to MACHINE.NAME.out, stderr to MACHINE.NAME.log."""
        stem = f"{namespace.machine.name}.{name}"
        output, log = self.directory / f"{stem}.out", self.directory / f"{stem}.log"
        with output.open("a") as out, log.open("a") as err:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *namespace.argv(*argv)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                text=True,
                env=ENVIRONMENT | dict(environment or {}),
                start_new_session=True,
            )
        program = Program(name, namespace, process, output, log)
        self.programs.append(program)
        return program

    def await_condition(self, what: str, limit: float, condition: Callable[[], bool]) -> None:
        """Polls until `condition` holds; raises Late after `limit` seconds, LabError when a program has ended on its
        own.
        """
        give_up = time.monotonic() + limit
        while True:
            late = time.monotonic() > give_up  # the last look is made after the limit: we may have had no CPU
            if condition():
                return
            if dead := [program for program in self.programs if program.ended and not program.may_end]:
                program = dead[0]
                machine = program.namespace.machine.name
                raise LabError(
                    f"waiting for {what}: {program.name} on {machine} has ended"
                    f" (exit {program.process.returncode}):\n{program.last_words()}"
                )
            if late:
                raise Late(f"{what}: not within {limit:g} s")
            time.sleep(POLL)

    def forget(self, namespace: Namespace) -> None:
        """Forgets the programs of a machine that was powered off."""
        for program in [program for program in self.programs if program.namespace is namespace]:
            program.process.kill()
            self.let_go(program)

    def ending(self, program: Program) -> None:
        """From now on the end of this program is expected: it has been asked to end."""
        program.may_end = True

    def let_go(self, program: Program) -> None:
        """Waits for the end of a program that is ending, and forgets it."""
        program.process.wait(timeout=10)
        if program.process.stdin:
            program.process.stdin.close()
        self.programs.remove(program)

    def stop(self) -> None:
        for program in reversed(self.programs):
            program.process.kill()
        for program in list(self.programs):
            self.let_go(program)
