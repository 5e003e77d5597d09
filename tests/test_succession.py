"""Several nodes and what they count, whoever of them dies, or hears nothing for a while: an Active's route is the best.

Times are seconds, adverts come every 0.1 s, and nothing is forgotten. A node's route is as good as the number of silent
failures that it counts (``takeover = ["prepend"]``). Routers keep the route of a node that has died.
"""

import math
from collections import deque
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp import presence
from exavrrp.instance import Effect, Instance
from exavrrp.presence import Handover, Step
from exavrrp.routes import Level
from exavrrp.takeover import CALM
from exavrrp.vrrp import router
from exavrrp.vrrp.packet import Advertisement
from exavrrp.vrrp.router import Advertise, Role

VIP = ip_address("2001:db8:53::1")
INTERVAL, STALE = 0.1, 1e6
DELAY = 0.001
"""Seconds until an advert arrives."""


class Node:
    """One node; what it announces goes to ``World.routes``."""

    def __init__(self, name: str, number: int, priority: int, world: "World") -> None:
        self.name = name
        self.world = world
        self.source = ip_address(f"2001:db8:ff::{number}")
        settings = router.Settings(7, priority, INTERVAL, self.source, (VIP,))
        handover = presence.Settings(Handover.MAKE_BEFORE_BREAK, hold=0.2, linger=0.2, ceiling=5.0, stale=STALE)
        self.instance = Instance(name, settings, handover, STALE)
        self.dead = self.deaf = False
        self.was_deaf = False

    @property
    def serves(self) -> bool:
        return not self.dead and self.instance.router.role is Role.ACTIVE

    def carry_out(self, effects: list[Effect]) -> None:
        now = self.world.now
        for effect in effects:
            match effect:
                case Advertise(priority):
                    self.world.say(self, self.instance.router.advertisement(priority))
                case Step.BIND:
                    self.carry_out(self.instance.bound(now))
                case Step.WITHDRAW:
                    self.carry_out(self.instance.withdrawn(now))
                case _:
                    pass
        if self.instance.presence.level is Level.ACTIVE:
            self.world.routes[self.name] = self.instance.takeovers.failures.number
        else:
            self.world.routes.pop(self.name, None)

    @property
    def deadline(self) -> float:
        deadline = self.instance.deadline
        return math.inf if self.dead or deadline is None else deadline


class World:
    """Nodes of falling priority."""

    def __init__(self, names: str) -> None:
        self.now = 0.0
        self.routes: dict[str, int] = {}
        """the silent failures with which each route was made that routers have"""
        self._under_way: deque[tuple[float, Node, Advertisement]] = deque()
        self.nodes = {name: Node(name, number, 200 - 10 * number, self) for number, name in enumerate(names)}
        for node in self.nodes.values():
            node.carry_out(node.instance.start(self.now))
        self.run(10 * INTERVAL)

    def say(self, sender: Node, advertisement: Advertisement) -> None:
        self._under_way.append((self.now + DELAY, sender, advertisement))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            arrives = self._under_way[0][0] if self._under_way else math.inf
            node = min(self.nodes.values(), key=lambda one: one.deadline)
            if min(arrives, node.deadline) > until:
                break
            if arrives <= node.deadline:
                self.now, sender, advertisement = self._under_way.popleft()
                self._arrive(sender, advertisement)
            else:
                self.now = node.deadline
                node.carry_out(node.instance.timeout(self.now))
        self.now = until

    def _arrive(self, sender: Node, advertisement: Advertisement) -> None:
        for node in self.nodes.values():
            if node is not sender and not (node.dead or node.deaf):
                node.carry_out(node.instance.received(sender.source, advertisement, 1, [1], self.now))

    def act(self, what: str, name: str) -> None:
        node = self.nodes[name]
        match what:
            case "dies":
                node.dead = True
            case "deaf":
                node.deaf = node.was_deaf = True
            case "hears":
                node.deaf = False

    def rightful(self) -> Node | None:
        """The best of those who live and hear, if it is Active."""
        able = (node for node in self.nodes.values() if not (node.dead or node.deaf))
        best = next(able, None)
        return best if best is not None and best.serves else None

    def rivals(self) -> dict[str, int]:
        """The routes that routers have besides that one's."""
        best = self.rightful()
        return {name: number for name, number in self.routes.items() if best is None or name != best.name}


def told(story: str, names: str = "abcd") -> World:
    """Lines: ``NODE dies``, ``NODE deaf``, ``NODE hears`` or ``wait SECONDS``."""
    world = World(names)
    for line in story.split(";"):
        match line.split():
            case ["wait", seconds]:
                world.run(float(seconds))
            case [name, what]:
                world.act(what, name)
    return world


def check(world: World) -> None:
    best = world.rightful()
    if best is not None:
        ours = world.routes[best.name]
        assert all(ours > theirs for theirs in world.rivals().values()), (best.name, world.routes)


STORIES = {
    "an Active dies, and a third node takes over": "a dies; wait 1",
    "and the next": "a dies; wait 1; b dies; wait 1",
    "a deaf node beside it": "c deaf; wait 2",
    "the Active dies beside a deaf node": "c deaf; wait 2; a dies; wait 1",
    "and its successor dies, too": "c deaf; wait 2; a dies; wait 1; b dies; wait 1; c dies; wait 1",
    "both die at once": "c deaf; wait 2; a dies; c dies; wait 1",
    "a node is deaf for the second time": "c deaf; wait 2; c hears; wait 1; c deaf; wait 3",
    "the first time it is Active for one advert": "c deaf; wait 0.35; c hears; wait 0.05; c deaf; wait 1",
    "the first time it is Active for two": "c deaf; wait 0.45; c hears; wait 0.05; c deaf; wait 1",
    "the deaf node was away before": "c deaf; wait 2; c hears; wait 4; a dies; wait 1",
    "the next best was deaf, and the Active dies 4 s after that": "b deaf; wait 2; b hears; wait 4; a dies; wait 1",
    "another one is deaf, and the Active dies 4 s after it became so": "c deaf; wait 4; a dies; wait 1",
    "a second one becomes deaf while the first one goes on": "b deaf; wait 12; c deaf; wait 1",
    "a node is deaf for the second time beside another one": (
        "c deaf; wait 1; b deaf; wait 1; b hears; wait 12; b deaf; wait 1"
    ),
    "it hears the other one first": "c deaf; wait 1; b deaf; wait 1.03; b hears; wait 12; b deaf; wait 1",
    "and the other one is, too": (
        "c deaf; wait 1; b deaf; wait 1; b hears; wait 12; c hears; wait 12; c deaf; wait 1; b deaf; wait 1"
    ),
    "the next best was deaf, and the Active dies beside another deaf node": (
        "b deaf; wait 2; b hears; wait 12; d deaf; wait 1; a dies; wait 1"
    ),
    "a node is deaf for one advert beside the follower of a dead one, and again": (
        "a dies; wait 12; c deaf; wait 0.35; c hears; wait 0.05; c deaf; wait 1"
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_an_active_s_route_is_better_than_any_that_was_left(story: str) -> None:
    check(told(STORIES[story]))


LIMITS = {
    "the Active hears again beside a deaf node, and dies": (
        "d deaf; wait 1; a deaf; wait 1; a hears; wait 12; a dies; wait 1; d hears; wait 12; c dies; wait 1",
        {"a": 4, "b": 3},
    ),
}
"""In docs/why/limits.md: what a better Active counts for itself that hears again."""


@pytest.mark.parametrize("story", LIMITS)
def test_what_a_node_counts_that_hears_again_may_be_no_less_than_what_the_active_does(story: str) -> None:
    told_of, routes = LIMITS[story]
    assert told(told_of).routes == routes


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["dies", "deaf", "hears"]),
        st.sampled_from("abcd"),
        st.sampled_from([1.0, 1.03, 1.05, 2.5, 12.0]),
    ),
    max_size=6,
)


@given(ACTS)
def test_whatever_befalls_one_that_always_heard(acts: list[tuple[str, str, float]]) -> None:
    """No better Active hears again while another one is deaf: see ``LIMITS`` for that, and for who was deaf itself."""
    world = World("abcd")
    for what, name, pause in acts:
        living = [one for one in world.nodes.values() if not one.dead]
        if what == "hears" and living and living[0].name == name and any(one.deaf for one in living[1:]):
            continue
        world.act(what, name)
        world.run(pause)
        if what == "hears":
            world.run(CALM + 1.0)  # else traffic is reclaimed later the next time
    world.run(3.0)
    best = world.rightful()
    if best is not None and not best.was_deaf:
        check(world)
