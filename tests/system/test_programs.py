"""Check programs with real processes: environment, rights, and that no process stays behind.

No privileges are needed.
"""

import asyncio
import contextlib
import errno
import os
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.config import Check
from exavrrp.config.kinds import Program, Shell
from exavrrp.system import children, descendants
from exavrrp.system.checks import Checks, preflight_error
from exavrrp.system.checks.outcome import DETAIL
from exavrrp.system.checks.programs import CHUNK, OUTPUT_PAUSE, TAIL, ProgramRun, last_line
from exavrrp.system.checks.scheduling import CLOSING_LIMIT, STAGGER, Schedule
from tests import checks
from tests.checks import LONG

if TYPE_CHECKING:
    from tests.system.conftest import Run, Until


def check(*command: str, name: str = "web", interval: float = LONG, timeout: float = LONG) -> Check:
    return checks.check(Program(command), name=name, interval=interval, timeout=timeout)


def shell(script: str, **options: Any) -> Check:
    return replace(check("", **options), probe=Shell(script))


@dataclass
class Results:
    """The results, in order."""

    told: list[tuple[str, bool, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __call__(self, name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        assert value is None
        self.told.append((name, passed, detail))
        self.seconds.append(seconds)
        return False


@contextlib.asynccontextmanager
async def running(*checks: Check) -> AsyncIterator[tuple[Checks, Results]]:
    results = Results()
    engine = Checks(results)
    engine.open(asyncio.get_running_loop())
    engine.set(checks)
    try:
        yield engine, results
    finally:
        await engine.close()


def gone(pid: int) -> bool:
    """Whether the process has ended (an orphan's zombie may wait for a slow init)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def pids(path: Path) -> list[int]:
    """The process numbers in a file, if it is complete."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [int(line) for line in text.split("\n")[:-1]]


def schedule(engine: Checks) -> Schedule:
    """The schedule of the first check."""
    return next(iter(engine.schedules.values()))


def child(engine: Checks) -> ProgramRun | None:
    """The running process of the first check."""
    run = schedule(engine).run
    assert run is None or isinstance(run, ProgramRun)
    return run


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    before = sorted(Path("/proc/self/fd").iterdir())
    yield
    assert sorted(Path("/proc/self/fd").iterdir()) == before


async def first(until: "Until", *checks: Check) -> tuple[str, bool, str]:
    """The first result."""
    async with running(*checks) as (_, results):
        await until(lambda: results.told)
        return results.told[0]


@pytest.mark.parametrize(
    ("script", "passed", "detail"),
    [
        ("exit 0", True, ""),
        ("echo one; echo two; echo", True, "two"),
        ("echo out; echo err >&2; exit 0", True, "err"),
        ("exit 7", False, "exit status 7"),
        ("echo 'no answer'; exit 1", False, "exit status 1: no answer"),
        ("echo dying; kill -SEGV $$", False, "killed by SIGSEGV: dying"),
        ("kill -40 $$", False, "killed by signal 40"),
        ("printf 'a\\tb\\033[31m \\377'", True, "a�b�[31m �"),
        ("printf '10%%\\r20%%\\r'", True, "20%"),
        ("head -c 100000 /dev/zero | tr '\\0' x", True, "x" * 200),
        ("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo a line that is not the last; done; echo end", True, "end"),
    ],
)
def test_exit_status_and_last_line_are_the_result(
    run: "Run", until: "Until", script: str, passed: bool, detail: str
) -> None:
    assert run(first(until, shell(script))) == ("web", passed, detail)


@given(st.binary(max_size=TAIL) | st.text(max_size=TAIL).map(str.encode))
def test_any_output_becomes_one_printable_line(output: bytes) -> None:
    said = last_line(output)
    assert said.isprintable()
    assert len(said) <= DETAIL


def test_a_program_that_cannot_be_started_has_failed(run: "Run", until: "Until", tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("exit 0\n")
    script = tmp_path / "no-interpreter"
    script.write_text("#!/absent/interpreter\n")
    text = tmp_path / "no-format"
    text.write_text("exit 0\n")
    script.chmod(0o755)
    text.chmod(0o755)
    for program, detail in (
        (tmp_path / "absent", "No such file or directory"),
        (plain, "Permission denied"),
        (tmp_path, "Permission denied"),
        (script, "No such file or directory"),
        (text, "Exec format error"),
    ):
        assert run(first(until, check(str(program)))) == ("web", False, f"cannot be started: {detail}")


def test_preflight_errors_name_their_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"

    def of(path: object) -> tuple[str, str] | None:
        return preflight_error(Program((str(path), "an argument")))

    assert of(program) == ("command", f'begins with "{program}", which does not exist; install it, or correct the path')
    found = of(f"{program} -x")
    assert found is not None
    assert found[1].endswith("correct the path (arguments are words of their own; a command line is for shell)")
    program.write_text("#!/bin/sh\n")
    found = of(program)
    assert found is not None
    assert re.fullmatch(f'begins with "{program}", which .* may not execute; chmod a\\+x {program}', found[1])
    program.chmod(0o755)
    assert of(program) is None
    assert of(tmp_path) == ("command", f'begins with "{tmp_path}", which is a directory; write the program in it')
    long = f"/{'x' * 5000}"
    assert of(long) == (
        "command",
        f'begins with "{long}", which cannot be looked at (File name too long); correct the path',
    )
    assert preflight_error(Shell("anything")) is None


def test_a_program_gets_nothing_of_ours(
    run: "Run", until: "Until", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "1")
    report = tmp_path / "report"
    script = f"""
        exec >>{report}
        readlink /proc/$$/fd/0
        umask
        pwd
        env | cut -d= -f1 | sort | tr '\\n' ' '; echo
        echo $EXAVRRP_CHECK
        cut -d' ' -f6 /proc/$$/stat; echo $$
        exec ls /proc/self/fd
    """
    before = os.umask(0o137)
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)  # noqa: FBT003 — no keyword
    try:
        assert run(first(until, shell(script)))[1]
    finally:
        os.close(leak)
        os.umask(before)
    stdin, umask, cwd, environment, name, session, pid, *descriptors = report.read_text().splitlines()
    assert (stdin, umask, cwd, name) == ("/dev/null", "0022", "/", "web")
    assert set(environment.split()) - {"PWD", "_", "SHLVL", "OLDPWD"} == {"EXAVRRP_CHECK", "HOME", "LANG", "PATH"}
    assert session == pid
    assert descriptors == ["0", "1", "2", "3"]  # the last is that of ls itself, for the directory


FAMILY = """
    trap '{trap}' TERM
    note() {{ echo $(exec sh -c 'echo $PPID') >>{file}; while :; do sleep 0.01; done; }}
    (trap '{trap}' TERM; note) &
    (trap '{trap}' TERM; (trap '{trap}' TERM; note) & wait) &
    note
"""
"""A shell with a child and a grandchild, each of which notes its number."""


@pytest.mark.parametrize("trap", ["exit 3", ""], ids=["obeys SIGTERM", "ignores SIGTERM"])
def test_a_timeout_is_a_failure_at_once_and_ends_the_whole_group(
    run: "Run", until: "Until", tmp_path: Path, trap: str, elapse: Callable[[float], None]
) -> None:
    file = tmp_path / "pids"

    async def body() -> None:
        async with running(shell(FAMILY.format(trap=trap, file=file), timeout=3.0)) as (_, results):
            await until(lambda: len(pids(file)) == 3)
            elapse(3.0)
            await until(lambda: results.told)
            if not trap:
                assert not any(map(gone, pids(file)))  # the result does not wait for their end
            assert results.told == [("web", False, "not done within 3 s")]
            assert results.seconds[0] >= 3.0
            assert len(pids(file)) == 3
            await until(lambda: all(map(gone, pids(file))))
        assert len(results.told) == 1

    run(body())


def test_sigterm_comes_before_sigkill_so_that_a_program_can_clean_up(
    run: "Run", until: "Until", tmp_path: Path
) -> None:
    cleaned = tmp_path / "cleaned"

    async def body() -> None:
        script = f"trap 'touch {cleaned}; exit 1' TERM; while :; do sleep 0.01; done"
        # Again and again: on a busy machine it may be ended before it has set its trap.
        async with running(shell(script, interval=0.2, timeout=0.1)):
            await until(cleaned.exists)

    run(body())


def test_what_a_program_leaves_behind_ends_with_it_and_does_not_delay_its_result(
    run: "Run", until: "Until", tmp_path: Path
) -> None:
    file = tmp_path / "pids"

    async def body() -> None:
        async with running(shell(f"sleep {LONG} & echo $! >{file}; echo fine")) as (_, results):
            await until(lambda: results.told)
            assert results.told == [("web", True, "fine")]
            await until(lambda: all(map(gone, pids(file))))

    run(body())
    assert len(pids(file)) == 1


def test_a_daemon_that_holds_the_output_open_does_not_delay_the_result(
    run: "Run", until: "Until", tmp_path: Path
) -> None:
    file = tmp_path / "pids"
    try:
        script = f"""
            setsid sh -c 'echo $$ >{file}.new; mv {file}.new {file}; exec sleep {LONG}' &
            while ! [ -e {file} ]; do sleep 0.01; done
            echo fine
        """
        assert run(first(until, shell(script))) == ("web", True, "fine")
        assert not any(map(gone, pids(file)))
    finally:
        for pid in pids(file):
            os.kill(pid, signal.SIGKILL)


def test_runs_of_one_check_never_overlap(run: "Run", until: "Until", tmp_path: Path) -> None:
    async def body() -> None:
        script = f"mkdir {tmp_path}/lock || exit 1; sleep 0.15; rmdir {tmp_path}/lock"
        async with running(shell(script, interval=0.02)) as (_, results):
            await until(lambda: len(results.told) >= 4)
            assert {passed for _, passed, _ in results.told} == {True}

    run(body())


def test_a_program_that_cannot_be_killed_counts_as_failing_again_and_again(
    run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = os.killpg

    async def body() -> None:
        async with running(shell(f"echo x; exec sleep {LONG}", interval=0.1, timeout=0.15)) as (_, results):
            monkeypatch.setattr(os, "killpg", lambda group, number: None)
            await until(lambda: len(results.told) >= 3)
            assert results.told[0] == ("web", False, "not done within 0.15 s")
            assert all(detail.startswith("still there after ") for _, _, detail in results.told[1:])
            assert {passed for _, passed, _ in results.told} == {False}
            monkeypatch.setattr(os, "killpg", kill)

    run(body())


def test_a_program_that_even_close_cannot_kill_is_left_after_a_limit(
    run: "Run", until: "Until", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = os.killpg
    file = tmp_path / "pids"

    async def body() -> None:
        loop = asyncio.get_running_loop()
        engine = Checks(Results())
        engine.open(loop)
        engine.set([shell(f"echo $$ >{file}; exec sleep {LONG}")])
        await until(lambda: pids(file))
        monkeypatch.setattr(os, "killpg", lambda group, number: None)
        started = loop.time()
        await engine.close()
        assert CLOSING_LIMIT <= loop.time() - started < LONG
        monkeypatch.setattr(os, "killpg", kill)
        kill(pids(file)[0], signal.SIGKILL)
        await asyncio.to_thread(os.waitpid, pids(file)[0], 0)

    run(body())


def test_sub_second_intervals_keep_their_rhythm(run: "Run", until: "Until") -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        async with running(check("/bin/true", interval=0.1)) as (engine, results):
            start = schedule(engine).due
            await until(lambda: len(results.told) >= 6)
            assert loop.time() >= start + 0.5
            beats = (schedule(engine).due - start) / 0.1
            assert beats == pytest.approx(round(beats), abs=1e-6)  # not later by the duration of each run

    run(body())


def test_intervals_missed_in_a_pause_are_not_made_up_for(
    run: "Run", until: "Until", elapse: Callable[[float], None]
) -> None:
    async def body() -> None:
        async with running(check("/bin/true", interval=100.0)) as (engine, results):
            await until(lambda: results.told)
            missed = schedule(engine).due
            elapse(1050.0 + missed - asyncio.get_running_loop().time())
            for _ in range(2):  # turns of the loop: time for one beat, and not for ten
                await asyncio.sleep(0)
            assert schedule(engine).due == pytest.approx(missed + 1100)
            await until(lambda: len(results.told) > 1)
            assert len(results.told) == 2

    run(body(), 10 * LONG)


def test_first_starts_are_spread_but_soon() -> None:
    intervals = [(str(number), LONG) for number in range(11)] + [("fast", 0.12)]

    async def body() -> list[float]:
        engine = Checks(Results())
        engine.open(asyncio.get_running_loop())
        engine.set([check("/bin/true", name=name, interval=interval) for name, interval in intervals])
        starts = [schedule.due for schedule in engine.schedules.values()]
        await engine.close()
        return [start - starts[0] for start in starts]

    assert asyncio.run(body()) == pytest.approx([number * STAGGER for number in range(11)] + [0.11])


def test_a_flood_of_output_is_read_slowly_and_not_kept(
    run: "Run", until: "Until", elapse: Callable[[float], None]
) -> None:
    async def body() -> None:
        async with running(check("/usr/bin/yes", "flood")) as (engine, results):
            await until(lambda: (current := child(engine)) is not None and current.received > 20 * CHUNK)
            process = child(engine)
            assert process is not None
            assert process.received <= CHUNK * (3 + process.lasted() / OUTPUT_PAUSE)
            elapse(LONG)
            await until(lambda: results.told)
            assert results.told[0] == ("web", False, "not done within 600 s")
            assert len(process.tail) <= TAIL

    run(body(), 10 * LONG)


def test_much_output_does_not_block_a_program(run: "Run", until: "Until") -> None:
    script = "head -c 2000000 /dev/zero; echo; echo end"
    assert run(first(until, shell(script))) == ("web", True, "end")


def test_a_program_that_closes_its_output_is_waited_for(
    run: "Run", until: "Until", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"echo said; exec >&- 2>&-; mkdir {tmp_path}/closed; while [ -e {tmp_path}/closed ]; do sleep 0.01; done"

    async def body() -> None:
        loop = asyncio.get_running_loop()
        remove, removed = loop.remove_reader, threading.Event()

        def ends(output: int) -> bool:
            removed.set()
            return remove(output)

        monkeypatch.setattr(loop, "remove_reader", ends)
        async with running(shell(script)) as (_, results):
            await until((tmp_path / "closed").exists)
            await until(removed.is_set)
            assert results.told == []
            (tmp_path / "closed").rmdir()
            await until(lambda: results.told)
            assert results.told == [("web", True, "said")]

    run(body())


@pytest.mark.parametrize("trap", ["exit 0", ""], ids=["obeys SIGTERM", "ignores SIGTERM"])
def test_close_ends_and_reaps_running_programs_and_reports_nothing_more(
    run: "Run", until: "Until", tmp_path: Path, trap: str
) -> None:
    file = tmp_path / "pids"

    async def body() -> None:
        loop = asyncio.get_running_loop()
        async with running(shell(FAMILY.format(trap=trap, file=file))) as (engine, results):
            await until(lambda: len(pids(file)) == 3)
            started = loop.time()
            await engine.close()
            assert loop.time() - started < LONG
            for number in pids(file):
                assert number not in descendants.children(os.getpid()), "reaped"
            assert results.told == []
        await until(lambda: all(map(gone, pids(file))))

    run(body())


def test_a_cancelled_close_kills_at_once(run: "Run", until: "Until", tmp_path: Path) -> None:
    file = tmp_path / "pids"

    async def body() -> None:
        engine = Checks(Results())
        engine.open(asyncio.get_running_loop())
        engine.set([shell(f"trap '' TERM; echo $$ >{file}; while :; do sleep 0.01; done")])
        await until(lambda: pids(file))
        closing = asyncio.ensure_future(engine.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert gone(pids(file)[0])

    run(body())


def test_close_without_open_and_without_checks() -> None:
    async def body() -> None:
        await Checks(Results()).close()
        engine = Checks(Results())
        engine.open(asyncio.get_running_loop())
        engine.set([])
        await engine.close()

    asyncio.run(body())


def test_a_result_may_close_the_engine(run: "Run", until: "Until") -> None:
    async def body() -> None:
        closing: list[asyncio.Future[None]] = []

        def result(name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
            closing.append(asyncio.ensure_future(engine.close()))
            return True

        engine = Checks(result)
        engine.open(asyncio.get_running_loop())
        engine.set([check("/bin/true"), shell(f"sleep {LONG}", name="slow")])
        await until(lambda: closing)
        await closing[0]
        assert len(closing) == 1

    run(body())


@pytest.fixture
def _no_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(pid: int, flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", absent)


@pytest.mark.usefixtures("_no_pidfd")
@pytest.mark.parametrize(
    ("script", "timeout", "expected"),
    [
        ("echo fine", LONG, ("web", True, "fine")),
        ("sleep 0.1; exit 4", LONG, ("web", False, "exit status 4")),
        (f"exec sleep {LONG}", 0.1, ("web", False, "not done within 0.1 s")),
    ],
)
def test_without_pidfd_a_childs_end_is_looked_for(
    run: "Run", until: "Until", script: str, timeout: float, expected: tuple[str, bool, str]
) -> None:
    assert run(first(until, shell(script, timeout=timeout))) == expected


@pytest.mark.usefixtures("_no_pidfd")
def test_a_program_that_was_done_while_we_were_away_has_not_timed_out(
    run: "Run", until: "Until", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "POLL", LONG)

    async def body() -> None:
        before = set(descendants.children(os.getpid()))
        async with running(check("/bin/true", timeout=0.3)) as (engine, results):
            await until(lambda: child(engine))
            [number] = set(descendants.children(os.getpid())) - before
            os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 — the loop is away
            await until(lambda: results.told)
            assert results.told == [("web", True, "")]

    run(body())


def test_an_ignored_sigchld_does_not_make_every_check_pass(run: "Run", until: "Until") -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert run(first(until, shell("exit 5"))) == ("web", False, "exit status 5")
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_thread_that_is_refused_starts_nothing_later(
    run: "Run", until: "Until", monkeypatch: Any, tmp_path: Path
) -> None:
    """At the user's limit of processes no thread can be started either; the next start works."""
    children.release()
    refused = tmp_path / "refused"
    start = children.starter(("/usr/bin/touch", str(refused)), {})

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(OSError, match="Resource temporarily unavailable"):
            start()
    assert run(first(until, check("/bin/true"))) == ("web", True, "")
    assert not refused.exists()


def test_many_runs_leave_no_child_behind(run: "Run", until: "Until") -> None:
    def numbers() -> set[int]:
        return set(descendants.children(os.getpid()))

    async def body() -> None:
        checks = [check("/bin/true", name=str(number), interval=0.02) for number in range(5)]
        async with running(*checks) as (_, results):
            await until(lambda: len(results.told) >= 50)
            assert {name for name, _, _ in results.told} == set("01234")

    before = numbers()
    run(body())
    assert numbers() == before


def test_a_check_that_stays_keeps_its_beats_and_its_process(run: "Run", until: "Until", tmp_path: Path) -> None:
    """Other checks come, change and go while its program runs."""

    log = tmp_path / "log"

    async def scenario() -> None:
        file = log.with_name("number")
        slow = shell(f"echo $$ >{file}; exec sleep {LONG}", name="slow", interval=0.05, timeout=LONG)
        steady = shell(f"echo x >>{log}", name="steady", interval=0.05)
        async with running(slow, steady) as (engine, results):
            await until(lambda: pids(file))
            [number] = pids(file)
            schedules = dict(engine.schedules)
            for turn in range(10):
                other = shell(f"sleep {LONG}", name="other", interval=1 + turn)
                engine.set([steady, slow, other])
                await until(lambda: engine.schedules["other"].run is not None)
            engine.set([slow, steady])
            assert engine.schedules == schedules
            count = len(told(results, "steady"))
            await until(lambda: len(told(results, "steady")) > count)
            assert pids(file) == [number]
            os.kill(number, 0)  # raises if it is gone
            assert not told(results, "other"), "none of them came to its end"
            await until(lambda: all(one.finished.is_set() for one in engine.ending))
            engine.set([slow, steady])
            assert engine.ending == []

    run(scenario())


def test_a_check_that_is_another_now_begins_when_the_last_one_has_ended(
    run: "Run", until: "Until", tmp_path: Path
) -> None:
    log = tmp_path / "log"

    async def scenario() -> None:
        stubborn = shell(f"trap 'echo term >>{log}' TERM; echo $$ >>{log}.pids; while :; do sleep 0.01; done")
        after = shell(f"echo $$ >>{log}.pids; echo after >>{log}")
        async with running(stubborn) as (engine, results):
            await until(lambda: pids(Path(f"{log}.pids")))
            engine.set([after])
            [number] = pids(Path(f"{log}.pids"))
            os.kill(number, 0)  # raises if it is gone
            await until(lambda: results.told)
            assert gone(number), "killed, and reaped, before"
            assert results.told == [("web", True, "")]
            engine.set([])
            await asyncio.sleep(CLOSING_LIMIT)
            assert engine.schedules == {}
            assert len(pids(Path(f"{log}.pids"))) == 2, "begun once"

    run(scenario())
    assert log.read_text() == "term\nafter\n"


def test_what_has_not_begun_yet_need_not_be_ended(run: "Run", until: "Until", tmp_path: Path) -> None:
    """A check that changes, and is then removed, while the first program is being ended."""

    log = tmp_path / "log"

    async def scenario() -> None:
        stubborn = shell(f"trap '' TERM; echo $$ >>{log}; while :; do sleep 0.01; done")
        async with running(stubborn) as (engine, results):
            await until(lambda: pids(log))
            engine.set([shell(f"echo x >>{log}")])
            engine.set([])
            [ending] = engine.ending
            await until(ending.finished.is_set)
            await asyncio.sleep(CLOSING_LIMIT)
            assert len(pids(log)) == 1
            assert results.told == []

    run(scenario())


def test_close_waits_for_programs_that_are_being_ended(run: "Run", until: "Until", tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def scenario() -> None:
        stubborn = shell(f"trap '' TERM; echo $$ >>{log}; while :; do sleep 0.01; done")
        async with running(stubborn) as (engine, _):
            await until(lambda: pids(log))
            engine.set([])
        [number] = pids(log)
        assert gone(number)

    run(scenario())


def told(results: Results, name: str) -> list[tuple[str, bool, str]]:
    return [one for one in results.told if one[0] == name]
