"""Random scenarios of ``exavrrp simulate``: whatever is played, no promise is broken, and what is undone heals.

As ``test_simulation.py`` does with troubles of its own, but with the events that users write, and with configurations
as theirs: a promise that does not hold here would make a story of ``simulate`` wrong.
"""

from pathlib import Path
from random import Random

import pytest

from exavrrp.config import Configuration, load, node_names
from exavrrp.simulation import scenario
from exavrrp.simulation.scenario import (
    DEMANDED,
    PARTS,
    WITH_CHECK,
    WITH_INTERFACE,
    WITH_NODE,
    WITH_ROUTER,
    Event,
    Known,
    Part,
    Verb,
)
from exavrrp.simulation.stage import Stage, Terms, known

pytestmark = pytest.mark.simulation

SEEDS = 30

FILE = """\
[agent]
advert_interval = 0.1
[node.node1]
sources = ["2001:db8:ff::11", "192.0.2.11"]
[node.node2]
sources = ["2001:db8:ff::12", "192.0.2.12"]
[node.node3]
sources = ["2001:db8:ff::13", "192.0.2.13"]
[virtual_router.web]
vrid = 7
order = ["node1", "node2", "node3"]
addresses = ["2001:db8:53::1", "192.0.2.53"]
checks = ["web"]
{router}
[virtual_router.web.bgp]
{bgp}
[virtual_router.dns]
vrid = 8
order = ["node2", "node3", "node1"]
addresses = ["2001:db8:53::2"]
[check.web]
command = ["/bin/true"]
interval = 0.2
timeout = 0.2
"""

ROUTERS = ("", 'standby = "announce"', "preempt = false", 'handover = "break-before-make"')
BGP = ("", "med = 50", 'takeover = ["prepend"]', 'takeover = ["med", "local-preference"]')

HEALING = {
    Verb.KILL: Verb.START,
    Verb.STOP: Verb.START,
    Verb.FREEZE: Verb.THAW,
    Verb.CUT: Verb.MEND,
    Verb.GRAY: Verb.CLEAR,
    Verb.MUTE: Verb.UNMUTE,
    Verb.DEAFEN: Verb.UNDEAFEN,
    Verb.PARTITION: Verb.REJOIN,
    Verb.FAIL: Verb.PASS,
    Verb.DRAIN: Verb.UNDRAIN,
}
"""What undoes what."""

LASTS = 12.0
"""Seconds of trouble."""


def drawn(random: Random, names: Known, at: float) -> Event:
    """Any event but a reload."""
    node = random.choice(list(names.nodes))
    verb = random.choice([verb for verb in Verb if verb is not Verb.RELOAD])
    part, what = random.choice(PARTS.get(verb, (Part.HOST,))), None
    if verb in WITH_INTERFACE:
        what = random.choice([*names.interfaces[node], *([] if verb in DEMANDED else [None])])
    elif verb in WITH_CHECK:
        what = random.choice(list(names.checks[node]))
    elif verb in WITH_ROUTER:
        what = random.choice([None, *names.routers[node]])
    elif verb in WITH_NODE:
        what = random.choice([None, *(one for one in names.nodes if one != node)])
    return Event(at, verb, node, part, what)


def healed(event: Event, at: float) -> Event | None:
    """What undoes an event; None: it ends by itself."""
    if event.verb not in HEALING or (event.verb is Verb.KILL and event.part is not Part.HOST):
        return None
    return Event(at, HEALING[event.verb], event.node, event.part, event.what)


def given(directory: Path, random: Random) -> dict[str, Configuration]:
    path = directory / "exavrrp.toml"
    path.write_text(FILE.format(router=random.choice(ROUTERS), bgp=random.choice(BGP)))
    return {name: load(path, node=name) for name in node_names(path)}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_undone_heals(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    nodes = given(tmp_path, random)
    names = known(nodes)
    times = sorted(round(5.0 + random.uniform(0.0, LASTS), 3) for _ in range(random.randint(1, 8)))
    troubles = [drawn(random, names, at) for at in times]
    end = [after for event in troubles if (after := healed(event, 5.0 + LASTS)) is not None]
    words = "\n".join(f"at {scenario.shown(event.at)} {event}" for event in (*troubles, *end))
    terms = Terms(hold=random.choice((9.0, 180.0)), convergence=random.choice((0.002, 0.05)), tail=40.0)
    story = Stage(nodes, terms, seed, {}).play(scenario.read(words, names))
    for router in story.spans:
        serving = story.serving(router, story.end)
        assert not serving.lossy, f"{router}: {serving}\n{words}"
        assert len(serving.nodes) == 1, f"{router}: {serving}\n{words}"
