"""Which BGP session is which."""

from ipaddress import ip_address

from exavrrp.neighbors import Session, ordered, overlap

PEER, OTHER, OURS, OURS_TOO = map(ip_address, ("10.255.0.1", "10.255.0.2", "10.0.0.2", "10.0.1.2"))
ALL, ONE, TWO = Session(PEER), Session(PEER, OURS), Session(PEER, OURS_TOO)


def test_an_address_covers_all_sessions_to_it_and_a_pair_covers_one() -> None:
    assert ALL.covers(ONE)
    assert ALL.covers(TWO)
    assert ONE.covers(ONE)
    assert not ONE.covers(TWO)
    assert not ONE.covers(Session(OTHER, OURS))
    assert ONE.covers(ALL), "our end is not known: it may be this one"


def test_overlap() -> None:
    assert overlap([ONE, TWO, Session(OTHER)]) is None
    assert overlap([ONE, Session(OTHER), TWO, ALL]) == (ALL, ONE)
    assert overlap([]) is None


def test_as_people_read_it() -> None:
    assert [str(one) for one in sorted((TWO, ONE, ALL), key=ordered)] == [
        "10.255.0.1 from 10.0.0.2",
        "10.255.0.1 from 10.0.1.2",
        "10.255.0.1",
    ]
