"""The state files: the next agent reads what one has written, and no content of a file does harm."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exavrrp.config import Configuration
from exavrrp.control import FILE_LIMIT
from exavrrp.neighbors import Session
from exavrrp.ports import Forgotten
from exavrrp.routes import Attributes, Route
from exavrrp.system import state
from exavrrp.system.state import DrainFile, KeptConfiguration, ReplayCounterFile, State, announcer, bound_before
from exavrrp.vrrp import auth
from exavrrp.vrrp.auth import Flow
from tests.system import disks
from tests.system.commanded import Told, has_other_users, let_others_in
from tests.system.conftest import Need

LIVE = """
import sys
from pathlib import Path
from exavrrp.system.state import State
from tests.system.commanded import Told
log = Told()
life = State(Path(sys.argv[1]), log)
life.open()
print(*sorted(life.recall()), *log.events())
if len(sys.argv) > 2:
    life.note(dict.fromkeys(sys.argv[2:], "active"))
"""
"""One life in a process of its own: says what it inherits, and notes what it announces."""

ROOT = Path(__file__).resolve().parents[2]
HERE, THERE = ip_address("192.0.2.11"), ip_address("192.0.2.12")


def live(directory: Path, *announced: str) -> str:
    command = [sys.executable, "-c", LIVE, str(directory), *announced]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def log() -> Told:
    return Told()


def opened(directory: Path, log: Told) -> State:
    life = State(directory, log)
    life.open()
    return life


# This life


def test_an_agent_under_the_same_exabgp_knows_what_the_last_one_announced(tmp_path: Path) -> None:
    assert live(tmp_path, "web", "dns") == ""
    assert live(tmp_path) == "dns web"
    assert live(tmp_path, "mail") == "dns web", "reading changes nothing"
    assert live(tmp_path) == "mail"


def test_an_agent_under_another_exabgp_inherits_nothing(tmp_path: Path) -> None:
    assert live(tmp_path, "web") == ""
    between = 'import os, subprocess, sys; sys.exit(subprocess.run([sys.executable, "-c", *sys.argv[1:]]).returncode)'
    command = [sys.executable, "-c", between, LIVE, str(tmp_path)]
    other = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert other.stdout.strip() == ""
    assert live(tmp_path) == "web"


def test_an_agent_in_another_boot_inherits_nothing(tmp_path: Path, log: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path, log).note({"web": "active"})
    assert opened(tmp_path, log).recall() == {"web"}
    (tmp_path / "boot_id").write_text("00000000-0000-0000-0000-000000000000\n")
    monkeypatch.setattr(state, "BOOT_ID", tmp_path / "boot_id")
    assert opened(tmp_path, log).recall() == frozenset()
    for nothing in (tmp_path / "missing", tmp_path / "empty"):
        (tmp_path / "empty").write_text("")
        monkeypatch.setattr(state, "BOOT_ID", nothing)
        assert opened(tmp_path, log).recall() == frozenset()
    assert log.lines == []


def test_the_time_of_a_takeover_outlives_the_agent(tmp_path: Path, log: Told) -> None:
    opened(tmp_path, log).note({"web": "active", "dns": None}, {"web": 1_800_000_000, "dns": 1_700_000_000})
    later = opened(tmp_path, log)
    assert (later.since("web"), later.since("dns"), later.since("mail")) == (1_800_000_000, None, None)
    assert [later.was_active(name) for name in ("web", "dns", "mail")] == [True, False, False]


def test_silent_takeovers_outlive_the_agent_and_its_exabgp(tmp_path: Path, log: Told) -> None:
    opened(tmp_path, log).note({"web": "active"}, silences={"web": (2, 20.25)})
    silent = "from exavrrp.system.state import State; life = State(Path(sys.argv[1]), None); life.open()"
    program = f"import sys; from pathlib import Path; {silent}; print(life.recall(), life.silent('web'))"
    under_another = [sys.executable, "-c", program, str(tmp_path)]
    told = subprocess.run(under_another, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert told == "frozenset() (2, 20.25)\n", "no address, and yet the number"
    assert opened(tmp_path, log).silent("dns") is None


@pytest.mark.parametrize("now", ["another\n", ""])
def test_no_state_outlives_a_boot(tmp_path: Path, log: Told, monkeypatch: pytest.MonkeyPatch, now: str) -> None:
    opened(tmp_path, log).note({"web": "active"}, {"web": 1_800_000_000}, {"web": (2, 1.5)})
    before = opened(tmp_path, log)
    assert (before.silent("web"), before.was_active("web")) == ((2, 1.5), True)
    boot = tmp_path / "boot_id"
    boot.write_text(now)
    monkeypatch.setattr(state, "BOOT_ID", boot)
    later = opened(tmp_path, log)
    assert (later.silent("web"), later.was_active("web"), later.since("web")) == (None, False, None)


def test_state_of_an_unknown_boot_is_not_inherited(tmp_path: Path, log: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "BOOT_ID", tmp_path / "nothing")
    opened(tmp_path, log).note({"web": "active"}, silences={"web": (2, 1.5)})
    later = opened(tmp_path, log)
    assert (later.silent("web"), later.was_active("web")) == (None, False)


def test_what_is_not_announced_is_not_noted(tmp_path: Path, log: Told) -> None:
    life = opened(tmp_path, log)
    life.note({"web": "active", "dns": None, "mail": "leaving", "news": "standby"})
    assert opened(tmp_path, log).recall() == {"web", "mail"}, "who stood by has not served"
    life.note({"web": None, "dns": None})
    assert opened(tmp_path, log).recall() == frozenset()


def test_what_may_be_announced_is_noted_and_counts_under_the_same_exabgp_alone(tmp_path: Path, log: Told) -> None:
    opened(tmp_path, log).note({"web": None, "dns": "active"}, offered={"web", "dns"})
    assert [opened(tmp_path, log).may_be_announced(name) for name in ("web", "dns", "mail")] == [True, True, False]
    other = State(tmp_path, log, exabgp=(1, 1))
    other.open()
    assert not other.may_be_announced("web")


def test_what_has_not_changed_is_not_written_again(tmp_path: Path, log: Told) -> None:
    life = opened(tmp_path, log)
    life.note({"web": "active"})
    first = life.path.stat().st_ino
    life.note({"web": "active", "dns": None})
    assert life.path.stat().st_ino == first
    life.note({"web": "leaving"})
    assert life.path.stat().st_ino != first


def test_a_state_file_that_cannot_be_written_is_logged_and_retried(tmp_path: Path, log: Told) -> None:
    life = opened(tmp_path, log)
    life.path.mkdir()
    (life.path / "x").write_text("")
    for _ in range(3):
        life.note({"web": "active"})  # asked to at each advert: once is enough
        life.look()
    assert log.events() == ["state-file-write-failed"]
    assert "Is a directory" in log.detail("state-file-write-failed")
    life.note({"web": "leaving"})
    assert log.events() == ["state-file-write-failed"] * 2, "another note is another attempt"
    (life.path / "x").unlink()
    life.path.rmdir()
    life.look()
    assert opened(tmp_path, log).recall() == {"web"}
    assert list(tmp_path.iterdir()) == [life.path], "nothing else is left behind"


@pytest.mark.parametrize("removed", ["file", "directory"])
def test_a_state_file_that_somebody_removes_is_written_again(tmp_path: Path, log: Told, removed: str) -> None:
    life = opened(tmp_path / "run", log)
    life.look()
    assert not life.path.parent.exists(), "there is nothing to be written yet"
    life.path.parent.mkdir()
    life.note({"web": "active"})
    first = life.path.stat().st_ino
    life.look()
    assert life.path.stat().st_ino == first, "it is there"
    life.path.unlink()
    if removed == "directory":
        life.path.parent.rmdir()
    life.note({"web": "active"})
    life.look()
    assert opened(tmp_path / "run", log).recall() == {"web"}
    assert log.events() == []


def test_a_write_that_fails_when_the_file_is_gone_is_logged(tmp_path: Path, log: Told) -> None:
    life = opened(tmp_path, log)
    life.note({"web": "active"})
    life.path.unlink()
    (tmp_path / "state.json.new").mkdir()
    life.look()
    life.look()
    assert log.events() == ["state-file-write-failed"]
    (tmp_path / "state.json.new").rmdir()
    life.look()
    assert opened(tmp_path, log).recall() == {"web"}


@pytest.mark.system
def test_a_note_that_a_full_disk_does_not_take_does_not_leave_an_older_one_that_is_wrong(
    tmp_path: Path, log: Told, need: Need, need_root: None
) -> None:
    with disks.small(tmp_path, need):
        life = opened(tmp_path, log)
        life.note({"web": "active"})
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "filling").write_bytes(bytes(1 << 20))
        life.note({"web": None})
        assert log.events() == ["state-file-write-failed"]
        assert opened(tmp_path, log).recall() == frozenset()


def test_a_configuration_is_kept_for_the_next_agent_under_the_same_exabgp(
    tmp_path: Path, log: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptConfiguration(tmp_path, log)
    assert kept.recall() is None
    kept.save(b"secret")
    assert kept.recall() is None, "whose it is stands in the note"
    opened(tmp_path, log).note({"web": "active"})
    assert kept.recall() == kept.path
    assert kept.path.read_bytes() == b"secret"
    assert kept.path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(os, "getppid", os.getpid)
    assert kept.recall() is None
    monkeypatch.undo()
    (tmp_path / "state.json").write_text("{")
    assert kept.recall() is None


def test_an_older_configuration_is_not_kept_in_place_of_one_that_cannot_be_written(tmp_path: Path, log: Told) -> None:
    kept = KeptConfiguration(tmp_path, log)
    opened(tmp_path, log).note({"web": "active"})
    kept.save(b"old")
    (tmp_path / "kept.toml.new").mkdir()
    kept.save(b"new")
    assert log.events() == ["state-file-write-failed"]
    assert kept.recall() is None


def test_a_predecessor_that_was_killed_while_it_wrote_does_no_harm(tmp_path: Path, log: Told) -> None:
    os.mkfifo(tmp_path / "state.json.new")  # who opens it to write would wait for a reader
    opened(tmp_path, log).note({"web": "active"})
    assert opened(tmp_path, log).recall() == {"web"}


def test_a_parent_that_cannot_be_seen_is_no_exabgp(tmp_path: Path, log: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 1 << 30)
    opened(tmp_path, log).note({"web": "active"})
    assert opened(tmp_path, log).recall() == frozenset()


@pytest.mark.parametrize("level", [None, "active"])
def test_an_exabgp_that_lives_may_announce_although_nothing_is_noted_yet(
    tmp_path: Path, log: Told, level: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert announcer(tmp_path) is None
    opened(tmp_path, log).note({"web": level})
    assert announcer(tmp_path) == os.getppid()
    monkeypatch.setattr(state, "BOOT_ID", tmp_path / "nothing")
    assert announcer(tmp_path) is None


# What the configuration names no more

ANNOUNCED = (
    Route(IPv6Network("2001:db8:53::1/128"), Attributes(med=5, communities=("65010:1",), as_path=(65010, 65010))),
    Route(IPv6Network("2001:db8:53::2/128"), Attributes(med=5, communities=("65010:1",), as_path=(65010, 65010))),
    Route(
        IPv4Network("192.0.2.0/25"),
        Attributes(
            local_preference=0,
            large_communities=("1:2:3",),
            next_hop="192.0.2.1",
            neighbors=(Session(THERE), Session(HERE, THERE)),
            next_hops=((Session(HERE, THERE), "192.0.2.2"),),
        ),
    ),
)
BOUND = frozenset(map(ip_address, ("2001:db8:53::1", "2001:db8:53::2", "192.0.2.53")))


def naming(*addresses: str) -> Configuration:
    """A configuration of these, as far as anybody looks at it here."""
    router = SimpleNamespace(owned=tuple(map(ip_network, addresses)))
    return cast(Configuration, SimpleNamespace(addresses=frozenset(map(ip_address, addresses)), routers=(router,)))


def noted(directory: Path, log: Told) -> None:
    life = opened(directory, log)
    life.may_bind(BOUND)
    life.may_announce("web", ANNOUNCED[:1])
    life.may_announce("web", ANNOUNCED[:2])
    life.may_announce("dns", ANNOUNCED[2:])
    life.note({"web": "active"})


def test_the_state_of_the_last_agent_is_read_exactly(tmp_path: Path, log: Told) -> None:
    noted(tmp_path, log)
    assert State(tmp_path, log).forgotten(naming()) == Forgotten(BOUND, ANNOUNCED)
    named = naming("2001:db8:53::1", "2001:db8:53::9")
    left = State(tmp_path, log).forgotten(named)
    assert left == Forgotten(BOUND - named.addresses, ANNOUNCED[1:])
    assert left.on_lo == left.addresses
    assert bound_before(tmp_path) == BOUND
    life = opened(tmp_path, log)
    assert life.names([ANNOUNCED[0].network, ip_network("192.0.2.53")])
    assert not life.names([ip_network("192.0.2.53")])


def test_another_exabgp_announces_nothing_that_is_left(
    tmp_path: Path, log: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted(tmp_path, log)
    monkeypatch.setattr(os, "getppid", os.getpid)
    assert State(tmp_path, log).forgotten(naming()) == Forgotten(BOUND, ANNOUNCED), "a shell under ExaBGP, perhaps"
    assert not opened(tmp_path, log).is_foreign
    monkeypatch.setattr(state, "is_exabgp", lambda number: number == os.getpid())
    assert opened(tmp_path, log).is_foreign
    left = State(tmp_path, log).forgotten(naming())
    assert left == Forgotten(BOUND, ())
    assert left.on_lo == frozenset(), "unbound at once"
    monkeypatch.setattr(state, "BOOT_ID", tmp_path / "nothing")
    assert State(tmp_path, log).forgotten(naming()) == Forgotten()
    assert bound_before(tmp_path) == frozenset(), "nothing outlives a boot"


def test_a_note_of_an_earlier_release_names_nothing(tmp_path: Path, log: Told) -> None:
    opened(tmp_path, log).note({"web": "active"})
    written = json.loads((tmp_path / "state.json").read_text())
    del written["addresses"], written["announcements"]
    (tmp_path / "state.json").write_text(json.dumps(written))
    assert State(tmp_path, log).forgotten(naming()) == Forgotten()
    life = opened(tmp_path, log)
    assert life.recall() == {"web"}
    assert life.names([ip_network("192.0.2.53")]), "nobody knows"
    assert not log.lines


@pytest.mark.parametrize("wrong", ['"addresses": ["web"]', '"announcements": [{"prefixes": ["192.0.2.1/24"]}]'])
def test_a_state_file_with_a_bad_address_is_ignored_and_logged(tmp_path: Path, log: Told, wrong: str) -> None:
    opened(tmp_path, log).note({"web": "active"})
    path = tmp_path / "state.json"
    key = wrong.partition(":")[0]
    path.write_text(path.read_text().replace(f"{key}: []", wrong))
    assert State(tmp_path, log).forgotten(naming()) == Forgotten()
    assert opened(tmp_path, log).recall() == frozenset()
    assert log.events() == ["state-file-ignored"]


# Drained routers


def test_drains_are_read_as_they_were_written(tmp_path: Path, log: Told) -> None:
    file = DrainFile(tmp_path / "deep" / "lib", log)
    before = os.umask(0o137)  # ExaBGP's
    try:
        file.open()
    finally:
        os.umask(before)
    assert file.recall() == {}
    for drained in ({"web": None, "dns": 1795000000.5}, {}):
        file.save(drained)
        assert file.recall() == drained
    assert file.path.parent.stat().st_mode & 0o777 == 0o755
    assert file.path.parent.parent.stat().st_mode & 0o777 == 0o755
    assert file.path.stat().st_mode & 0o777 == 0o644
    assert log.lines == []


def test_a_directory_that_cannot_be_made_is_logged_with_the_remedy(tmp_path: Path, log: Told) -> None:
    (tmp_path / "file").write_text("")
    file = DrainFile(tmp_path / "file" / "lib", log)
    file.open()
    assert "Not a directory; a drain will not survive a restart: " in log.detail("drain-not-persistent")
    assert "agent.persistent_directory" in log.detail("drain-not-persistent")
    with pytest.raises(NotADirectoryError):
        file.save({"web": None})
    assert file.recall() == {}


@pytest.mark.system
def test_a_directory_of_another_user_is_logged(
    tmp_path: Path, need: Need, with_two_capabilities: Callable[[Callable[[], None]], None], log: Told
) -> None:
    need(reason="no user besides root in this user namespace", unless=has_other_users())
    path = tmp_path / "lib"
    path.mkdir(mode=0o755)
    let_others_in(tmp_path)

    def body() -> None:
        DrainFile(path, log).open()
        assert "this user may not write in it; " in log.detail("drain-not-persistent")
        with pytest.raises(PermissionError):
            DrainFile(path, log).save({"web": None})

    with_two_capabilities(body)


# Whatever is in the files

FILES: list[tuple[str, Callable[[Path], object]]] = [
    ("garbage", lambda path: path.write_bytes(b"\xff\x00{")),
    ("empty", lambda path: path.write_bytes(b"")),
    ("large", lambda path: path.write_bytes(b" " * (FILE_LIMIT + 2) + b"{}")),
    ("directory", Path.mkdir),
    ("pipe", os.mkfifo),
    ("loop", lambda path: path.symlink_to(path)),
]


@pytest.mark.parametrize("make", [make for _, make in FILES], ids=[name for name, _ in FILES])
def test_a_bad_state_file_is_ignored_and_logged(tmp_path: Path, log: Told, make: Callable[[Path], object]) -> None:
    make(tmp_path / "state.json")
    make(tmp_path / "drained.json")
    assert opened(tmp_path, log).recall() == frozenset()
    assert DrainFile(tmp_path, log).recall() == {}
    assert log.events() == ["state-file-ignored", "state-file-ignored"]


@pytest.fixture(name="scratch", scope="module")
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


@given(st.binary(max_size=300) | st.text(max_size=80).map(str.encode))
@example(b'{"version":1,"boot":null,"exabgp":[1,2,3],"routers":{}}')
@example(b'{"version":1,"boot":null,"exabgp":null,"routers":{"web":{}}}')
@example(b'{"version":1,"drained":{"web":1e309}}')
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_a_file_reading_it_raises_nothing(scratch: Path, content: bytes) -> None:
    log: Any = Told()
    for name in ("state.json", "drained.json"):
        (scratch / name).write_bytes(content)
    assert opened(scratch, log).recall() == frozenset()
    assert State(scratch, log).forgotten(naming()) == Forgotten()
    found = DrainFile(scratch, log).recall()
    assert all(isinstance(name, str) and (end is None or end >= 0) for name, end in found.items())


# The numbers of signed adverts

FLOWS = [Flow(HERE, HERE, 7), Flow(HERE, THERE, 7), Flow(IPv6Address("::1"), IPv6Address("::2"), 255)]


def wrong(log: Told) -> list[str]:
    """What was logged besides what was found."""
    return [event for event in log.events() if event != "replay-counters-loaded"]


@contextlib.contextmanager
def marks(directory: Path, log: Told, flows: Sequence[Flow] = FLOWS) -> Iterator[tuple[ReplayCounterFile, int]]:
    file = ReplayCounterFile(directory, log)
    known = file.set(flows)
    try:
        yield file, known
    finally:
        file.close()


def test_replay_counters_are_there_for_the_next_agent(tmp_path: Path, log: Told) -> None:
    with marks(tmp_path, log) as (file, known):
        assert known == 0
        assert [file.get(flow) for flow in FLOWS] == [None, None, None]
        for number, flow in enumerate(FLOWS, start=1):
            file[flow] = auth.Sequence((1 << 64) - number)
            assert file.get(flow) == (1 << 64) - number
    with marks(tmp_path, log) as (file, known):
        assert known == 3
        assert [file.get(flow) for flow in FLOWS] == [(1 << 64) - number for number in (1, 2, 3)]
    assert log.events() == ["replay-counters-loaded"] * 2
    assert (tmp_path / "marks").stat().st_mode & 0o777 == 0o600


def test_replay_counters_of_link_local_sources_are_there_for_the_next_agent(tmp_path: Path, log: Told) -> None:
    """Where two have one address on two interfaces, none is told a number that may be replayed."""
    local, sender = IPv6Address("fe80::1"), IPv6Address("fe80::2")
    flows = [Flow(IPv6Address(f"{local}%{link}"), sender, 7) for link in ("eth0", "eth1")]
    with marks(tmp_path, log, flows) as (file, _):
        for number, flow in zip((9, 5), flows, strict=True):
            file[flow] = auth.Sequence(number)
        assert file.set(flows[1:]) == 1
        assert file.get(flows[1]) == 5, "as long as the process lives it knows them apart"
        file.set(flows)
        file[flows[0]] = auth.Sequence(9)
    with marks(tmp_path, log, flows) as (file, known):
        assert known == 2
        assert [file.get(flow) for flow in flows] == [9, 9]


def test_replay_counters_of_as_many_peers_and_routers_as_one_source_can_have(tmp_path: Path, log: Told) -> None:
    local = IPv6Address("2001:db8:ff::")
    flows = [Flow(local, local + peer, vrid) for vrid in range(1, 256) for peer in range(256)]
    with marks(tmp_path, log, flows) as (file, _):
        for flow in flows:
            file[flow] = auth.Sequence(1)
    with marks(tmp_path, log, flows) as (_, known):
        assert known == len(flows)


def test_replay_counters_follow_the_configuration(tmp_path: Path, log: Told) -> None:
    with marks(tmp_path, log) as (file, _):
        file[FLOWS[1]] = auth.Sequence(5)
    other = Flow(HERE, THERE, 8)
    with marks(tmp_path, log, [other, FLOWS[1]]) as (file, known):
        assert known == 1
        assert file.get(FLOWS[1]) == 5
        assert file.get(other) is None
        assert file.get(FLOWS[0]) is None, "of no router any more"
    with marks(tmp_path, log) as (file, known):
        assert known == 1


def test_flows_come_and_go_and_the_others_keep_their_numbers(tmp_path: Path, log: Told) -> None:
    other = Flow(HERE, THERE, 8)
    with marks(tmp_path, log) as (file, _):
        for number, flow in enumerate(FLOWS, start=1):
            file[flow] = auth.Sequence(number)
        before = (tmp_path / "marks").stat().st_ino
        assert file.set(FLOWS[::-1]) == 3
        assert (tmp_path / "marks").stat().st_ino == before, "the same flows: nothing is written"
        assert file.set([other, *FLOWS[1:]]) == 2
        assert [file.get(flow) for flow in (*FLOWS, other)] == [None, 2, 3, None]
        file[other] = auth.Sequence(9)
        file[FLOWS[1]] = auth.Sequence(5)
        assert file.set([other, *FLOWS]) == 3
        assert [file.get(flow) for flow in (*FLOWS, other)] == [None, 5, 3, 9], "who comes back begins anew"
        file[FLOWS[0]] = auth.Sequence(4)
    with marks(tmp_path, log, [*FLOWS, other]) as (file, known):
        assert known == 4, "all of it is there for the next life"
        assert file.get(FLOWS[1]) == 5
    assert wrong(log) == []


def test_numbers_go_on_where_other_flows_cannot_be_written(tmp_path: Path, log: Told) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    with marks(directory, log) as (file, _):
        file[FLOWS[0]] = auth.Sequence(1)
        directory.rename(tmp_path / "elsewhere")
        assert file.set(FLOWS[:2]) == 1
        assert wrong(log) == ["state-file-write-failed"]
        assert file.get(FLOWS[0]) == 1
        file[FLOWS[1]] = auth.Sequence(2)
        (tmp_path / "elsewhere").rename(directory)
        assert file.set(FLOWS) == 2
    with marks(directory, log) as (file, known):
        assert known == 2
    assert wrong(log) == ["state-file-write-failed"]


MARKED = """
import os, signal, sys
from ipaddress import ip_address
from pathlib import Path
from exavrrp.system.state import ReplayCounterFile
from exavrrp.vrrp.auth import Flow
from tests.system.commanded import Told
here = ip_address("192.0.2.11")
file = ReplayCounterFile(Path(sys.argv[1]), Told())
file.set([Flow(here, here, 7)])
for number in range(1, 1001):
    file[Flow(here, here, 7)] = number
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_replay_counters_outlive_a_killed_process(tmp_path: Path, log: Told) -> None:
    done = subprocess.run([sys.executable, "-c", MARKED, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    with marks(tmp_path, log) as (file, _):
        assert file.get(FLOWS[0]) == 1000


@pytest.mark.parametrize(
    "content", [b"", b"exavrrp marks 1\n.", b"exavrrp marks 2\n", state.MAGIC + bytes(48), b"x" * 100]
)
def test_a_bad_replay_counter_file_is_logged_and_taken_for_empty(tmp_path: Path, log: Told, content: bytes) -> None:
    (tmp_path / "marks").write_bytes(content)
    with marks(tmp_path, log) as (file, known):
        assert known == 0
        file[FLOWS[0]] = auth.Sequence(9)
    assert wrong(log) == ["state-file-ignored"]
    with marks(tmp_path, log) as (_, known):
        assert known == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda rest: state.MAGIC + rest)))
def test_reading_replay_counters_never_raises(tmp_path: Path, log: Told, content: bytes) -> None:
    (tmp_path / "marks").write_bytes(content)
    with marks(tmp_path, log) as (file, known):
        assert known <= len(FLOWS)
        file[FLOWS[0]] = auth.Sequence(1)
        assert file.get(FLOWS[0]) == 1


def test_replay_counters_that_cannot_be_saved_serve_this_process(tmp_path: Path, log: Told) -> None:
    with marks(tmp_path / "missing", log) as (file, known):
        assert known == 0
        file[FLOWS[0]] = auth.Sequence(1)
        assert file.get(FLOWS[0]) == 1
    assert wrong(log) == ["state-file-write-failed"]
