"""Checks that need no child process: probes of the network or the kernel, with a timeout.

``ProbeRun`` is one run of a probe, as a task of the event loop; to the schedule it is what a child process is.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from exavrrp.config.kinds import Asked, File, Http, Interface, Prefix, Process, Tcp
from exavrrp.system.checks import kernel, web
from exavrrp.system.checks.outcome import Outcome, Tell

LATE = 0.1
"""Seconds. A time-out that comes later than this finds us guilty, not the service: it gets its time once more."""

Running = Coroutine[Any, Any, Outcome]
"""A probe under way. Raises OSError where there is no answer."""


def probe_factory(probe: Asked) -> Callable[[], Running]:
    """What starts the probe anew each time it is called."""
    match probe:
        case Tcp():
            return lambda: connect(probe)
        case Http():
            return Web(probe).ask
        case File():
            return lambda: kernel.file(probe)
        case Process():
            return lambda: kernel.process(probe)
        case Interface():
            return lambda: kernel.interface(probe)
        case Prefix():
            return lambda: kernel.route(probe)


class ProbeRun:
    """One run of a probe, from its start until nothing is left of it."""

    def __init__(
        self,
        running: Running,
        timeout: float,
        loop: asyncio.AbstractEventLoop,
        tell: Tell,
        gone: Callable[[], None],
    ) -> None:
        self.finished = asyncio.Event()
        self._timeout = timeout
        self._loop = loop
        self._tell_outcome: Tell | None = tell
        self._gone = gone
        self._started = loop.time()
        self._due = self._started + timeout
        self._pardoned = False
        self._task = loop.create_task(running)
        self._task.add_done_callback(self._done)
        self._timer = loop.call_at(self._due, self._time_out)

    @property
    def overdue(self) -> bool:
        """Whether the outcome has been told and the task is still there."""
        return self._tell_outcome is None

    def lasted(self) -> float:
        """Seconds since the start."""
        return self._loop.time() - self._started

    def silence(self) -> None:
        """Tell no outcome."""
        self._tell_outcome = None

    def end(self, grace: float) -> None:  # noqa: ARG002 — the protocol's; a task needs no grace
        """Cancel it."""
        self._timer.cancel()
        self._task.cancel()

    def abandon(self) -> None:
        """Be done with it at once."""
        self.silence()
        self.end(0)

    def _time_out(self) -> None:
        now = self._loop.time()
        if now - self._due > LATE and not self._pardoned:
            self._pardoned = True
            self._due = now + self._timeout
            self._timer = self._loop.call_at(self._due, self._time_out)
        elif not self._task.done():
            self._task.cancel()
            self._tell(Outcome(passed=False, detail=f"not done within {self._timeout:g} s"))

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
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        tell, self._tell_outcome = self._tell_outcome, None
        if tell is not None:
            tell(outcome)


class Web:
    """HTTP requests of one check, which share a TLS context.

    Reading all certificate authorities takes so long that it is done before the first election, not during one.
    """

    def __init__(self, probe: Http) -> None:
        self._probe = probe
        self._context: ssl.SSLContext | None = None
        self._lack = self._prepare()

    def _prepare(self) -> str | None:
        """Read the authorities; why that failed."""
        try:
            self._context = web.context(self._probe)
        except OSError as error:
            return f"ca_file: {web.why(error)}"
        return None

    async def ask(self) -> Outcome:
        """Ask once. Raises OSError."""
        if self._lack is not None:
            self._lack = self._prepare()
        if self._lack is not None:
            return Outcome(passed=False, detail=self._lack)
        return await web.ask(self._probe, self._context)


async def connect(probe: Tcp) -> Outcome:
    """Whether a connection is accepted. Raises OSError."""
    where = probe.tcp
    family = socket.AF_INET6 if where.address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.settimeout(0)
        await asyncio.get_running_loop().sock_connect(opened, (str(where.address), where.port))
        # With nobody listening on a port of our own that the kernel gives out, it may connect us to ourselves.
        if opened.getsockname() == opened.getpeername():
            return Outcome(passed=False, detail="Connection refused")
    return Outcome(passed=True)
