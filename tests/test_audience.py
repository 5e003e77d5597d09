"""Which neighbors list our process: when each is tested, and what is remembered."""

from ipaddress import ip_address

from exavrrp.neighbors import Session
from exavrrp.speaker.neighbors import Audience
from exavrrp.speaker.prefixes import BACKOFF

ONE, OTHER = (Session(ip_address(peer), ip_address("10.0.0.9")) for peer in ("10.0.0.1", "10.0.0.2"))


def tried(audience: Audience, session: Session, listed: bool) -> bool:
    audience.is_tried(session)
    return audience.answered(session, listed, 0.0)


def test_a_session_that_comes_up_is_tested_once() -> None:
    audience = Audience()
    audience.came_up(ONE)
    assert audience.due == [ONE]
    assert tried(audience, ONE, listed=True), "nothing was known of it"
    assert audience.due == []
    assert not tried(audience, ONE, listed=True)
    assert not tried(audience, ONE, listed=False)
    assert not audience.knows_deaf(ONE), "one answer may have been another's"
    assert tried(audience, ONE, listed=False)
    assert audience.knows_deaf(ONE)
    audience.came_up(ONE)
    assert (audience.due, audience.knows_deaf(ONE)) == ([ONE], False), "a new session is another matter"


def test_a_session_that_goes_down_is_forgotten() -> None:
    audience = Audience()
    audience.came_up(ONE)
    audience.went_down(ONE)
    assert audience.due == []
    for _ in range(2):
        tried(audience, ONE, listed=False)
    assert audience.knows_deaf(ONE)
    audience.went_down(ONE)
    assert not audience.knows_deaf(ONE)


def test_inconclusive_tests_are_retried_with_back_off() -> None:
    audience = Audience()

    def waits() -> float | None:
        return audience.retrials.get(ONE)

    for delay in BACKOFF[:2]:
        tried(audience, ONE, listed=False)
        assert waits() == delay
    tried(audience, ONE, listed=True)
    assert waits() is None
    tried(audience, ONE, listed=False)
    audience.came_up(ONE)
    tried(audience, ONE, listed=False)
    assert waits() == BACKOFF[0], "a new session"
    audience.tick(BACKOFF[0])
    assert (audience.due, waits()) == ([ONE], None)


def test_all_sessions_are_tested_again() -> None:
    audience = Audience()
    tried(audience, ONE, listed=True)
    audience.try_again([ONE, OTHER])
    assert audience.due == [ONE, OTHER]
    assert not tried(audience, ONE, listed=True), "no news"


def test_another_configuration_is_noticed() -> None:
    audience = Audience()
    assert not audience.read(["neighbor 10.0.0.1 {", "}"]), "there was none before"
    assert not audience.read(["neighbor 10.0.0.1 {", "}"])
    assert audience.read(["neighbor 10.0.0.1 {", "api {", "}", "}"])
