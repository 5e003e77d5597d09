"""Whole seconds that no two Actives share. A story's times are seconds after one in 2027."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from exavrrp.vrrp.packet import LEAVING
from exavrrp.vrrp.tenures import AHEAD, Tenures

NODES = {name: ip_address(f"2001:db8:ff::{number}") for number, name in enumerate("abc", start=1)}
START = 1_800_000_000


class Story(Tenures):
    """One node's view."""

    def hear(self, at: float, name: str, priority: int = 100) -> None:
        self.heard(NODES[name], priority, START + at)

    def begin(self, at: float) -> int:
        return self.begun(START + at) - START


def test_the_first_one_tells_the_time() -> None:
    one = Story()
    assert one.begin(0.9) == 0
    assert one.begin(1.1) == 1


def test_who_takes_over_within_a_second_takes_the_next_one() -> None:
    one = Story()
    one.hear(0.1, "a")
    one.hear(0.2, "a")
    assert one.begin(0.3) == 1, "however often it was heard"
    one.hear(0.4, "b")
    assert one.begin(0.5) == 3
    one.hear(20.9, "a")
    assert one.begin(21.1) == 21, "it began in the second before"


def test_the_same_one_may_follow_this_node_or_itself() -> None:
    one = Story()
    one.hear(0.1, "a")
    assert one.begin(0.2) == 1
    one.hear(0.3, "a")
    assert one.begin(0.5) == 3
    one.hear(5.1, "a")
    one.hear(5.2, "b", LEAVING)
    one.hear(5.3, "a")
    assert one.begin(5.4) == 6, "another one's farewell is none of its"
    one.hear(10.1, "a")
    one.hear(10.2, "a", LEAVING)
    one.hear(10.3, "a")
    assert one.begin(10.4) == 12


def test_two_that_are_heard_in_turn_do_not_take_the_time_to_come() -> None:
    one = Story()
    for _ in range(20):
        one.hear(0.1, "a")
        one.hear(0.1, "b")
    assert one.begin(0.2) == AHEAD
    assert one.begin(AHEAD) == AHEAD + 1


def test_a_clock_that_was_ahead_does_not_count() -> None:
    one = Story()
    one.hear(0, "a")
    assert one.begin(-AHEAD) == -AHEAD + 3
    assert one.begin(-3600) == -3600


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.2)), max_size=AHEAD))
def test_all_who_hear_the_same_come_to_the_same(begun: list[tuple[str, float]]) -> None:
    """Few that begin within a second: each takes another one, whether it is heard or begins itself."""
    views = {name: Story() for name in NODES}
    now, last = 0.0, None
    taken = []
    for name, pause in begun:
        now += pause
        if name == last:
            continue
        taken.append(views[name].begin(now))
        for other in views.keys() - {name}:
            views[other].hear(now, name)
        last = name
    assert len(set(taken)) == len(taken)
    assert taken == sorted(taken)
