"""The caretaker: who goes on when ExaBGP has ended our agent and ExaBGP itself lives on.

ExaBGP does that in its full reload (SIGUSR2), and a moment later a new agent is there. It also does it in any reload
whose file does not load, and then no new agent comes: ExaBGP keeps its sessions and our routes, and listens to nobody.
An address would be announced that nobody looks after, while another node takes over.

So an agent that was told to end alone leaves a process behind that ExaBGP does not know (``run``): in a session of its
own, without ExaBGP's pipes, and with no more rights than the agent had. What it decides is in ``care``. When it has
ended ExaBGP, the unit's ``Restart=`` brings that back, or shows what is wrong.
"""

import asyncio
import os
import sys
from pathlib import Path

from exavrrp import care, ports
from exavrrp.agent import Agent
from exavrrp.bequest import Bequest
from exavrrp.config import Configuration
from exavrrp.node import SUCCEEDED, Node
from exavrrp.roster import Ports
from exavrrp.system import descendants
from exavrrp.system.exabgp import Deaf, Parent
from exavrrp.system.journal import Journal

LOOK = 0.02
"""Seconds between two looks at the lock, and at ExaBGP's children."""


def run(configuration: Configuration, log: Journal, record: Path | None = None, text: bytes | None = None) -> None:
    """Serves as ``Agent.run``, and goes on in a process of its own when ExaBGP ends only the agent.

    Raises ``StartError``, and whatever a bug of ours raised.
    """
    agent = Agent(configuration, log, record, text)
    asyncio.run(agent.run())
    number = os.getpid()
    if agent.bequest is not None and agent.exabgp is not None and os.fork() == 0:
        os.setsid()
        given = (agent.node.configuration, log, record, agent.exabgp, agent.bequest)
        asyncio.run(Caretaker(*given, predecessor=number).run())
        sys.exit()


class Caretaker(Agent):
    """An agent whose ExaBGP is deaf."""

    cares = True

    def __init__(
        self,
        configuration: Configuration,
        log: Journal,
        record: Path | None,
        host: tuple[int, int],
        bequest: Bequest,
        *,
        predecessor: int,
    ) -> None:
        """``host``: the process of ExaBGP; ``bequest``, ``predecessor``: of the agent that ran in this memory."""
        self._given = bequest
        self._host = host
        self._known = {predecessor, os.getpid()}
        self._succession = False
        super().__init__(configuration, log, record, host=host)

    def _make_speaker(self) -> Deaf:
        announced = (router for router in self.configuration.routers if router.name in self._given.announced)
        networks = (network for router in announced for network in router.announce)
        forgotten = (route.network for route in self._forgotten.routes)
        self._deaf = Deaf(Parent(*self._host), (*networks, *forgotten), self._hear)
        return self._deaf

    def _make_node(self, given: Ports) -> Node:
        return care.Caretaker(self.configuration, given, self._given, self._deaf.permit_end)

    def _wait_for_lock(self) -> None:
        self._end(SUCCEEDED)  # whoever has it is the successor

    def _say_started(self) -> None:
        number, _ = self._host
        self.journal.info("caretaker-started", process=os.getpid(), exabgp=number, routers=self.node.commands.names())
        self._loop.call_later(LOOK, self._look)

    def _look(self) -> None:
        if self.node.why is not None:
            return
        self._loop.call_later(LOOK, self._look)
        if self._lock.asked():
            self._end(SUCCEEDED)
            return
        number, _ = self._host
        starts = any(child not in self._known for child in descendants.alike(number))
        if starts is not self._succession:
            self._succession = starts
            self.node.handle(ports.Succession(starts))

    async def _serve(self) -> None:
        await super()._serve()
        if self.node.why == SUCCEEDED:
            return
        if not await self._deaf.end():
            number, _ = self._host
            self.journal.error(
                "exabgp-kill-failed", process=number, detail="it announces our addresses; end it by hand"
            )
        await asyncio.sleep(LOOK)  # who waits for a drain is told
