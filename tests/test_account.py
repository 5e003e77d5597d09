"""What `simulate` prints with each transition: what it comes from, as `why` says it on a node."""

import json
from pathlib import Path

import pytest

from tests.test_simulate import FILE, call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "exavrrp.toml"
    written.write_text(FILE, encoding="utf-8")
    return written


RAN_ON = "Before: the agent before had been killed or had crashed, and ExaBGP ran on."
RELOADED = "Before: ExaBGP had ended its agent (SIGTERM) and ran on, as in a full reload (SIGUSR2)."
STOOD = "Verdict: this agent stood still for 4.9"
SILENT = "Verdict: node1 fell silent on every path at once: the node, its agent or its rack, not one link."
RESIGNED = "Verdict: node1 has resigned (priority 0): it was stopped or drained, or cannot serve; see why there."
HUNG = "Verdict: ExaBGP does not answer (it is stopped, or hangs): nothing can be announced, and no BGP session counts."
CARED = "Before: ExaBGP had ended its agent (SIGTERM) and ran on, and a caretaker went on with what is announced."


@pytest.mark.parametrize(
    ("scenario", "causes"),
    [
        ("at 10s kill agent on node1", [("node1: the agent starts", RAN_ON)]),
        (
            "at 10s replace agent on node1",
            [("node1: a caretaker starts", CARED), ("node1: the agent starts", RELOADED)],
        ),
        (
            "at 10s freeze agent on node1; at 15s thaw agent on node1",
            [("node2: backup -> active (active-down-timeout)", SILENT), ("node1: active -> backup (stalled)", STOOD)],
        ),
        (
            "at 10s freeze exabgp on node1; at 20s thaw exabgp on node1",
            [
                ("node1: active -> initialize (unreachable)", HUNG),
                ("node2: backup -> active (peer-resigned)", RESIGNED),
            ],
        ),
        (
            "at 10s fail check web on node1",
            [("node1: active -> initialize (fault)", "Verdict: a check failed: web failing (as the scenario has it).")],
        ),
    ],
)
def test_each_transition_is_told_with_what_it_comes_from(
    file: Path, scenario: str, causes: list[tuple[str, str]]
) -> None:
    """As `why` tells it on a node: the play is that of the same entries."""
    # Of this seed a caretaker begins before the agent does.
    told = " ".join(call(file, "--do", scenario, "--runs", 1, "--seed", 2).stdout.split())
    for words, cause in causes:
        assert f"{words} {cause}" in told


def test_causes_stand_below_what_they_explain_and_in_the_document(file: Path) -> None:
    words = ("--do", "at 10s kill node1", "--runs", 1)
    told = call(file, *words).stdout
    below = "Verdict: node1 fell silent on every path at once: the node, its\n                 agent or its rack"
    assert f"  node2: backup -> active (active-down-timeout)\n               {below}" in told
    assert all(len(line) <= 80 for line in told.splitlines())
    moments = json.loads(call(file, *words, "--json").stdout)["runs"][0]["timeline"]
    assert [one["causes"] for one in moments if "active-down-timeout" in one["what"]][-1] == [SILENT]
    assert [one["causes"] for one in moments if one["what"] == "node2 has bound 2001:db8:53::1"][-1] == []
