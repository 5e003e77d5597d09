"""Recordings of the lab: the output of a replay, and its differences from the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.recordings import Decision, decisions, replay
from tests.lab.build import agent

TOLD = """\
2026-11-22T12:00:00.000Z exavrrp 1.0 began as process 4711
2026-11-22T12:00:00.000Z web: initialize → backup (startup)
2026-11-22T12:00:01.000Z web: backup → active (peer-resigned: 2001:db8::1 said priority 0 (just) now)
the agent ended while it wrote the next line
"""
DECIDED = (
    Decision("web", "initialize", "backup", "startup", ""),
    Decision("web", "backup", "active", "peer-resigned", "2001:db8::1 said priority 0 (just) now"),
)
LOG = [agent(0, "node1", "transition", before="initialize", after="backup", reason="startup", detail="")]
OTHERS = [
    agent(0, "node2", "transition", before="backup", after="initialize", reason="fault"),
    agent(1, "node1", "address-bound"),
]


def test_what_is_told_of_transitions() -> None:
    assert decisions(TOLD) == DECIDED


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Replays as it is told by the file."""
    path = tmp_path / "exavrrp"
    path.write_text('#!/bin/sh\n[ "$1 $2" = "replay --transitions" ] || exit 9\n. "$3"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo 'now web: initialize → backup (startup)'", None),
        ("", "node1's recording has 0 transitions, and others than the 1 of its log"),
        (
            "echo 'now web: initialize → backup (startup)'; echo 'line 7: else' >&2; echo '    more' >&2; exit 1",
            "node1's recording: line 7: else more",
        ),
    ],
)
def test_a_replay_has_to_say_what_the_log_says(
    program: Path, tmp_path: Path, script: str, complaint: str | None
) -> None:
    file = tmp_path / "recording"
    file.write_text(script + "\n")
    assert replay(program, file, "node1", [*OTHERS, *LOG]).complaint == complaint
