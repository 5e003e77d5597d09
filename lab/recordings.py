"""Replays the agents' recordings (`exavrrp replay`), and compares the decisions with their logs.

Owns: the call of `exavrrp replay` and the reading of its output. Must not know: the lab that the recordings come from.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.facts import AgentEvent

LIMIT = 60.0
"Seconds for a replay, which takes one."


@dataclass(frozen=True, slots=True)
class Decision:
    """A transition, by a log or a replay."""

    router: str
    before: str
    after: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Recording:
    """One agent's recording, replayed."""

    node: str
    replayed: tuple[Decision, ...]
    complaint: str | None
    "what the replay, or the comparison with the log, has found wrong"

    def document(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "transitions": [
                {"router": each.router, "before": each.before, "after": each.after, "reason": each.reason}
                for each in self.replayed
            ],
        }


def replay(agent: Path, file: Path, node: str, log: Iterable[AgentEvent]) -> Recording:
    """Replays a recording, and compares its transitions with those that the node's agent has logged."""
    argv = [str(agent), "replay", "--transitions", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    replayed = decisions(done.stdout)
    logged = tuple(decision(each) for each in log if (each.node, each.event) == (node, "transition"))
    complaint = None
    if done.returncode:
        complaint = f"{node}'s recording: {' '.join(done.stderr.split())}"
    elif replayed != logged:
        complaint = f"{node}'s recording has {len(replayed)} transitions, and others than the {len(logged)} of its log"
    return Recording(node, replayed, complaint)


def decision(logged: AgentEvent) -> Decision:
    """A log line of a transition."""
    return Decision(*(logged.field(name) for name in ("router", "before", "after", "reason", "detail")))


_DECISION = re.compile(r"\S+ (\S+): (\w+) → (\w+) \(([\w-]+)(?:: (.*))?\)")


def decisions(told: str) -> tuple[Decision, ...]:
    """The transitions that `exavrrp replay --transitions` prints."""
    found = (_DECISION.fullmatch(line) for line in told.splitlines())
    return tuple(Decision(*(part or "" for part in match.groups())) for match in found if match)
