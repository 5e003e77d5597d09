"""The caretaker: a process that looks after announced addresses when ExaBGP has ended its agent and keeps running.

ExaBGP ends its agent in a full reload (SIGUSR2), and starts a new one a moment later. It also ends it in any reload
whose configuration does not load, and then it starts no new one: it keeps its sessions and our routes, and reads no
commands. It would go on announcing an address that no agent looks after, while another node takes over.

So an agent that ExaBGP has ended leaves a process behind (``run``) that ExaBGP does not know of. It has a session
(setsid(2)) of its own, none of ExaBGP's pipes, and no more rights than the agent had. Its decisions are in ``care``.
When it has ended ExaBGP, the unit's ``Restart=`` starts ExaBGP again, or systemd shows why that fails.
"""

import asyncio
import os
import sys
from pathlib import Path

from exavrrp import care, ports
from exavrrp.agent import Agent
from exavrrp.bequest import Bequest
from exavrrp.chronicle import SUCCEEDED
from exavrrp.config import Configuration
from exavrrp.node import Node
from exavrrp.roster import Ports
from exavrrp.system import clock, descendants
from exavrrp.system.exabgp import Deaf, Parent
from exavrrp.system.log import LogWriter
from exavrrp.system.reload import Source

POLL = 0.02
"""Seconds between two polls of the lock and of ExaBGP's children."""


def run(configuration: Configuration, log: LogWriter, record: Path | None = None, source: Source | None = None) -> None:
    """Run the agent, and then a caretaker in a process of its own if ExaBGP has ended only the agent.

    The parameters are those of ``Agent``. Raises ``StartError``, and any exception of a bug in the agent.
    """
    agent = Agent(configuration, log, record, source)
    clock.run(agent.run())
    number = os.getpid()
    if agent.bequest is not None and agent.exabgp is not None and os.fork() == 0:
        os.setsid()
        given = (agent.node.configuration, log, record, agent.exabgp, agent.bequest)
        clock.run(Caretaker(*given, predecessor=number).run())
        sys.exit()


class Caretaker(Agent):
    """An agent whose ExaBGP does not read its commands (``exabgp.Deaf``)."""

    cares = True

    def __init__(
        self,
        configuration: Configuration,
        log: LogWriter,
        record: Path | None,
        host: tuple[int, int],
        bequest: Bequest,
        *,
        predecessor: int,
    ) -> None:
        """``host``: ExaBGP's process (number, start time); ``bequest``, ``predecessor``: of the agent before the fork.

        ``predecessor`` is the process number.
        """
        self._bequest = bequest
        self._host = host
        self._successors = care.Successors(descendants.command(), {predecessor, os.getpid()})
        self._succession = False
        super().__init__(configuration, log, record, host=host)

    def _make_speaker(self) -> Deaf:
        kept = care.kept(self.configuration, self._bequest, self._forgotten.routes)
        self._deaf = Deaf(Parent(*self._host), kept, self._hear)
        return self._deaf

    def _make_node(self, given: Ports) -> Node:
        return care.Caretaker(self.configuration, given, self._bequest, self._deaf)

    def _wait_for_lock(self) -> None:
        self._end(SUCCEEDED)  # the process that holds the lock is the successor

    def _say_started(self) -> None:
        number, _ = self._host
        self.log.info("caretaker-started", process=os.getpid(), exabgp=number, routers=self.node.commands.names())
        self._grace = self._loop.time() + care.GRACE
        self._loop.call_later(POLL, self._poll)

    def _poll(self) -> None:
        if self.node.why is not None:
            return
        self._loop.call_later(POLL, self._poll)
        if self._lock.is_requested():
            self._end(SUCCEEDED)
            return
        number, _ = self._host
        starts = self._successors.start(descendants.commands(number), in_grace=self._loop.time() < self._grace)
        if starts is not self._succession:
            self._succession = starts
            self.node.handle(ports.Succession(starts))

    async def _serve(self) -> None:
        await super()._serve()
        if self.node.why == SUCCEEDED:
            return
        if not await self._deaf.end():
            number, _ = self._host
            self.log.error("exabgp-kill-failed", process=number, detail="it announces our addresses; end it by hand")
        await asyncio.sleep(POLL)  # clients that wait for a drain get their answer
