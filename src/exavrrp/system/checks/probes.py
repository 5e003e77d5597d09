"""Checks that need no child process: probes of the network or the kernel, with a timeout.

``ProbeRun`` is one run of a probe, as a task of the event loop; to the schedule it is what a child process is.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from exavrrp.config.kinds import Asked, File, Http, Interface, Prefix, Process, Tcp
from exavrrp.system.checks import kernel, web
from exavrrp.system.checks.outcome import OnOutcome, Outcome

LATE = 0.1
"""Seconds. A timeout that fires later than this was delayed by us, so the service gets the same time once more."""

Running = Coroutine[Any, Any, Outcome]
"""A probe that runs. Raises OSError without an answer."""


def probe_factory(probe: Asked, contexts: web.Contexts) -> Callable[[], Running]:
    """A function that starts the probe each time it is called."""
    match probe:
        case Tcp():
            return lambda: connect(probe)
        case Http():
            context = contexts.of(probe)
            return lambda: request(probe, context)
        case File():
            return lambda: kernel.file(probe)
        case Process():
            return lambda: kernel.process(probe)
        case Interface():
            return lambda: kernel.interface(probe)
        case Prefix():
            return lambda: kernel.route(probe)


class ProbeRun:
    """One run of a probe, from its start until its task has ended."""

    def __init__(
        self,
        running: Running,
        timeout: float,
        loop: asyncio.AbstractEventLoop,
        on_outcome: OnOutcome,
        gone: Callable[[], None],
    ) -> None:
        self.finished = asyncio.Event()
        self._timeout = timeout
        self._loop = loop
        self._on_outcome: OnOutcome | None = on_outcome
        self._gone = gone
        self._started = loop.time()
        self._due = self._started + timeout
        self._extended = False
        self._task = loop.create_task(running)
        self._task.add_done_callback(self._done)
        self._timer = loop.call_at(self._due, self._time_out)

    @property
    def overdue(self) -> bool:
        """Whether the outcome has been reported and the task still runs."""
        return self._on_outcome is None

    def lasted(self) -> float:
        """Seconds since the start."""
        return self._loop.time() - self._started

    def discard_outcome(self) -> None:
        """Report no outcome."""
        self._on_outcome = None

    def end(self, grace: float) -> None:  # noqa: ARG002 — the protocol's; a task needs no grace
        """Cancel it."""
        self._timer.cancel()
        self._task.cancel()

    def abandon(self) -> None:
        """Cancel it, and report no outcome."""
        self.discard_outcome()
        self.end(0)

    def _time_out(self) -> None:
        now = self._loop.time()
        if now - self._due > LATE and not self._extended:
            self._extended = True
            self._due = now + self._timeout
            self._timer = self._loop.call_at(self._due, self._time_out)
        elif not self._task.done():
            self._task.cancel()
            self._report(Outcome(passed=False, detail=f"not done within {self._timeout:g} s"))

    def _done(self, task: "asyncio.Task[Outcome]") -> None:
        self._timer.cancel()
        self.finished.set()
        self._gone()
        if task.cancelled():
            return
        try:
            outcome = task.result()  # a bug of ours is raised again here, for the loop's exception handler
        except OSError as error:
            outcome = Outcome(passed=False, detail=web.why(error))
        self._report(outcome)

    def _report(self, outcome: Outcome) -> None:
        on_outcome, self._on_outcome = self._on_outcome, None
        if on_outcome is not None:
            on_outcome(outcome)


async def request(probe: Http, context: web.Context | None) -> Outcome:
    """Send one HTTP request. Raises OSError."""
    secure, error = (None, None) if context is None else await asyncio.shield(context.load())
    if error is not None:
        return Outcome(passed=False, detail=f"ca_file: {web.why(error)}")
    return await web.ask(probe, secure)


async def connect(probe: Tcp) -> Outcome:
    """Whether a connection is accepted. Raises OSError."""
    where = probe.tcp
    family = socket.AF_INET6 if where.address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.settimeout(0)
        await asyncio.get_running_loop().sock_connect(opened, (str(where.address), where.port))
        # A TCP self-connection: nobody listens on that local port, and the kernel has chosen it for our end, too.
        if opened.getsockname() == opened.getpeername():
            return Outcome(passed=False, detail="Connection refused")
    return Outcome(passed=True)
