"""The election, the addresses and the routes of whole nodes, simulated: whatever befalls them, by seed.

    pytest tests/simulation                    200 seeds
    pytest tests/simulation --seed 17          one, with its whole transcript
    pytest tests/simulation --seeds 100000     as many as you like, on all cores; nice(1) is advisable

A failure is one line with the seed and the commit, and the last of what each node heard, said and decided. Which
promises are kept at every moment ``invariants`` and ``service`` say, what is demanded in the end ``rest``; what is real
in a simulated node and what is not ``exavrrp.simulation.process``. That all of this can fail, ``test_broken.py`` shows.
"""

import os
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest

from exavrrp.system.exabgp import Deaf
from tests.commit import commit
from tests.simulation import scenarios, seeds
from tests.simulation.simulation import Simulation

pytestmark = pytest.mark.simulation

ROOT = Path(__file__).parents[2]

MOST_SHOWN = 10
"""Failures that are told in full."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        config = metafunc.config
        chosen = config.getoption("--seed")
        name = commit()
        if chosen is not None:
            metafunc.parametrize("seed", [chosen])
        elif config.getoption("--seeds"):
            metafunc.parametrize("seed", [])
        else:
            metafunc.parametrize("seed", seeds.of_commit(name))


def test_seed(seed: int, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = request.config.getoption("--seed") is not None
    if chosen:
        simulation = Simulation(seed)
        try:
            simulation.run()
        finally:
            with capsys.disabled():
                sys.stdout.write("\n" + "\n".join(simulation.transcript.lines()) + "\n")
        return
    failure = seeds.simulate(seed)
    if failure is not None:
        pytest.fail(seeds.told(failure, commit()), pytrace=False)


def test_many_seeds(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    count = request.config.getoption("--seeds")
    if not count:
        pytest.skip("asked for with --seeds N")
    first = request.config.getoption("--first")
    name, begun, last = commit(), time.monotonic(), 0.0
    failed: list[int] = []
    with capsys.disabled():
        for done, failures in seeds.many(range(first, first + count)):
            for failure in failures:
                failed.append(failure.seed)
                shown = seeds.told(failure, name) if len(failed) <= MOST_SHOWN else f"{failure.seed}: {failure.what}"
                sys.stdout.write(f"\n{shown}\n")
            passed = time.monotonic() - begun
            if passed - last >= 10.0 or done == count:
                last = passed
                sys.stdout.write(f"\n{done} of {count} seeds in {passed:.0f} s, {len(failed)} failed")
            sys.stdout.flush()
    assert not failed, f"{len(failed)} of {count} seeds failed: {failed[:100]}"


@pytest.mark.parametrize("history", range(4))
def test_an_exabgp_that_accepts_nothing_is_not_ended_to_withdraw_it(history: int) -> None:
    simulation = Simulation(history)
    simulation.temper.calm()
    node, *others = simulation.machines
    node.list_in()
    for one in (node, *others):
        one.start()
    simulation.world.run(10.0)
    exabgp = node.exabgp
    assert exabgp is not None
    node.fail_reload()
    simulation.world.run(20.0)
    assert node.exabgp is exabgp
    assert exabgp.alive


@pytest.mark.parametrize("history", range(4))
def test_what_nobody_could_withdraw_is_known_to_every_successor(history: int) -> None:
    assert scenarios.nobody_can_withdraw(history), "the end of ExaBGP has withdrawn it"


@pytest.mark.parametrize("history", range(4))
def test_an_exabgp_whose_new_agent_starts_is_not_ended(history: int) -> None:
    assert not scenarios.a_successor_is_slow(history)


@pytest.mark.parametrize("history", [1, 3, 6, 9])
def test_the_repair_of_a_failed_reload_ends_no_session(history: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scenarios.a_failed_reload_is_repaired(history) == []
    monkeypatch.setattr(Deaf, "reload", lambda self: None)
    assert scenarios.a_failed_reload_is_repaired(history), "ExaBGP 5.0 ends them by itself"


@pytest.mark.parametrize("history", [2, 10, 27, 141])
def test_an_active_that_dies_beside_a_deaf_node_has_a_worse_route_than_its_successor(history: int) -> None:
    assert scenarios.an_active_dies_beside_a_deaf_node(history)


@pytest.mark.parametrize("place", [1, 3, 5, 8, 11, 12, -1, -2, -3, -4])
def test_what_nodes_record_is_decided_again(place: int, tmp_path: Path) -> None:
    """In another process, in which sets have another order; caretakers, successors and what befalls them included."""
    simulation = Simulation(seeds.of_commit(commit())[place])
    for machine in simulation.machines:
        machine.recordings = {}
    simulation.run()
    recordings = [lines for machine in simulation.machines for lines in (machine.recordings or {}).values()]
    assert recordings
    file = tmp_path / "recording"
    file.write_bytes(b"".join(chain.from_iterable(recordings)))
    replayed = subprocess.run(
        [sys.executable, "-m", "exavrrp", "replay", "--transitions", str(file)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert replayed.stdout.count(" began as process ") >= len(recordings)


def test_a_seed_is_one_history() -> None:
    for seed in (3, 4, 5):
        first, second = Simulation(seed), Simulation(seed)
        first.run()
        second.run()
        assert first.transcript.digest() == second.transcript.digest()
        assert len(first.transcript.entries) > 100


def test_a_seed_is_one_history_in_every_process() -> None:
    program = (
        "from tests.simulation.simulation import Simulation\n"
        "for seed in (6, 7, 130):\n"
        "    one = Simulation(seed); one.run(); print(one.transcript.digest())\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONHASHSEED": number},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(told[0].split()) == 3
