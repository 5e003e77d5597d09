"""Who is ready to take over, and which paths carry beacons, by what the peers have told."""

from ipaddress import ip_address

from exavrrp.beacon.codec import ECHOES, Beacon, Report, flags
from exavrrp.beacon.table import HOLD, Standing, Table, Way
from exavrrp.instance import Fault, Hold
from exavrrp.vrrp.router import Role

OURS, PEER, OTHER = (ip_address(f"2001:db8:ff::1{end}") for end in (1, 2, 3))
ETH0, ETH1 = 1, 2


def report(vrid: int = 7, role: Role = Role.BACKUP, bits: int = 0) -> Report:
    return Report(vrid, role, 150, 150, 1, 2, bits, 100, bytes(7))


def beacon(*reports: Report, path: int = 11, echoes: tuple[int, ...] = ()) -> Beacon:
    return Beacon(6, path, echoes, reports or (report(),))


def table() -> Table:
    found = Table()
    found.take({(OURS, PEER): [7, 8], (OURS, OTHER): [7]})
    return found


def obstacle(role: Role, *reasons: Fault | Hold, age: float = 0.0) -> str:
    standing = Standing(report(role=role, bits=flags(reasons)), age)
    assert standing.ready is (not standing.obstacle)
    return standing.obstacle


def test_who_takes_part_in_the_election_is_ready() -> None:
    assert obstacle(Role.BACKUP) == obstacle(Role.ACTIVE) == obstacle(Role.BACKUP, age=HOLD) == ""


def test_who_does_not_is_not_and_says_why() -> None:
    assert obstacle(Role.BACKUP, age=HOLD + 9) == "silent for 12 s"
    assert obstacle(Role.INITIALIZE, Fault.CHECK, Fault.SESSIONS, Hold.DRAIN) == "in fault (check, sessions)"
    assert obstacle(Role.INITIALIZE, Hold.WAITING, Hold.DRAIN) == "drained"
    assert obstacle(Role.INITIALIZE, Hold.WAITING) == "waiting for its checks, sessions or startup_delay"
    assert obstacle(Role.INITIALIZE) == "not in the election"


def test_who_only_waits_is_about_to_take_part() -> None:
    def joins(role: Role, *reasons: Fault | Hold, age: float = 0.0) -> bool:
        return Standing(report(role=role, bits=flags(reasons)), age).joins

    assert joins(Role.INITIALIZE)
    assert joins(Role.INITIALIZE, Hold.WAITING)
    assert not joins(Role.BACKUP)
    assert not joins(Role.INITIALIZE, Hold.WAITING, age=HOLD + 1)
    assert not joins(Role.INITIALIZE, Hold.WAITING, Hold.DRAIN)
    assert not joins(Role.INITIALIZE, Hold.WAITING, Fault.BIND)


def test_who_was_never_heard_is_unknown() -> None:
    heard = table()
    assert heard.standing(OURS, PEER, 7, 0.0) is None
    assert heard.way(OURS, PEER, ETH0, 0.0) == Way(None, None)
    assert heard.tell(OURS, PEER, [ETH0], 0.0) == ()
    stranger = ip_address("2001:db8:ff::99")
    assert heard.standing(OURS, stranger, 7, 0.0) is None
    assert heard.way(OURS, stranger, ETH0, 0.0) == Way(None, None)
    assert (heard.tell(OURS, stranger, [ETH0], 0.0), heard.vrids(OURS, stranger)) == ((), frozenset())
    assert heard.vrids(OURS, PEER) == {7, 8}


def test_each_router_of_each_peer_has_its_last_report() -> None:
    heard = table()
    heard.hear(OURS, PEER, beacon(report(7), report(8, Role.ACTIVE)), ETH0, 10.0)
    heard.hear(OURS, PEER, beacon(report(7, Role.INITIALIZE)), ETH0, 11.0)
    assert heard.standing(OURS, PEER, 7, 11.5) == Standing(report(7, Role.INITIALIZE), 0.5)
    assert heard.standing(OURS, PEER, 8, 11.5) == Standing(report(8, Role.ACTIVE), 1.5)
    assert heard.standing(OURS, OTHER, 7, 11.5) is None


def test_a_path_is_known_in_both_directions() -> None:
    heard = table()
    heard.tell(OURS, PEER, [ETH0, ETH1], 0.0)
    for second in range(5):
        heard.hear(OURS, PEER, beacon(path=11, echoes=(ETH1,)), ETH0, 10.0 + second)
    assert heard.way(OURS, PEER, ETH0, 14.5) == Way(0.5, echoed=False)
    assert heard.way(OURS, PEER, ETH1, 14.5) == Way(None, echoed=True)
    for second in range(15, 19):
        heard.hear(OURS, PEER, beacon(path=12, echoes=(ETH0,)), ETH1, float(second))
    assert heard.way(OURS, PEER, ETH0, 18.0) == Way(None, echoed=True)
    assert heard.way(OURS, PEER, ETH1, 18.0) == Way(0.0, echoed=False)
    assert heard.way(OURS, PEER, ETH1, 99.0) == Way(None, None)


def test_who_has_just_begun_has_not_had_the_time_to_hear() -> None:
    heard = table()
    heard.tell(OURS, PEER, [ETH0], 0.0)
    for second in range(10, 20):
        heard.hear(OURS, PEER, beacon(), ETH0, float(second))
        assert heard.way(OURS, PEER, ETH0, float(second)).echoed is (False if second - 10 > HOLD else None)
    heard.hear(OURS, PEER, beacon(), ETH0, 30.0)
    assert heard.way(OURS, PEER, ETH0, 30.0) == Way(0.0, None)


def test_nor_where_a_path_is_new() -> None:
    heard = table()
    for second in range(10, 20):
        heard.tell(OURS, PEER, [ETH0] if second < 15 else [ETH0, ETH1], float(second))
        heard.hear(OURS, PEER, beacon(echoes=(ETH0,)), ETH0, float(second))
        assert heard.way(OURS, PEER, ETH1, float(second)).echoed is (False if second - 15 > HOLD else None)


def test_nor_the_room_where_there_are_more_paths_than_a_beacon_has_echoes() -> None:
    heard, paths = table(), range(1, 2 + ECHOES)
    for second in range(10, 20):
        heard.tell(OURS, PEER, paths, float(second))
        heard.hear(OURS, PEER, beacon(echoes=tuple(paths)[:ECHOES]), ETH0, float(second))
    assert heard.way(OURS, PEER, ETH0, 20.0).echoed is True
    assert heard.way(OURS, PEER, paths[-1], 20.0).echoed is None


def test_a_peer_is_told_which_of_its_paths_are_heard() -> None:
    heard = table()
    heard.hear(OURS, PEER, beacon(path=12), ETH0, 10.0)
    heard.hear(OURS, PEER, beacon(path=11), ETH1, 11.0)
    assert heard.tell(OURS, PEER, [ETH0], 11.0) == (11, 12)
    assert heard.tell(OURS, PEER, [ETH0], 10.1 + HOLD) == (11,)


def test_paths_do_not_add_up() -> None:
    """Whoever forges beacons, where they are not signed, may say any number."""
    heard = table()
    for path in range(100):
        heard.hear(OURS, PEER, beacon(path=path), path, 10.0)
    assert heard.tell(OURS, PEER, [ETH0], 10.0) == tuple(range(100 - ECHOES, 100))
    assert [path for path in range(100) if heard.way(OURS, PEER, path, 10.0).age is not None] == list(
        range(100 - ECHOES, 100)
    )


def test_another_configuration_keeps_what_stays() -> None:
    heard = table()
    heard.hear(OURS, PEER, beacon(report(7), report(8)), ETH0, 10.0)
    heard.hear(OURS, OTHER, beacon(report(7)), ETH0, 10.0)
    heard.take({(OURS, PEER): [7, 9]})
    assert heard.standing(OURS, PEER, 7, 10.0) == Standing(report(7), 0.0)
    assert heard.standing(OURS, PEER, 8, 10.0) is None
    assert heard.standing(OURS, OTHER, 7, 10.0) is None
    assert heard.vrids(OURS, PEER) == {7, 9}
