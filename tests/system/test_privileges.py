"""The user, the rights and the refusal of check programs, with real users and processes."""

import asyncio
import os
import pwd
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exavrrp.config.kinds import Program, Shell
from exavrrp.system import capabilities
from exavrrp.system.checks import Checks, preflight_error
from exavrrp.system.privileges import MOST_LINKS, Identity, Privileges, Refused
from tests.checks import check
from tests.system.conftest import CAP_NET_ADMIN, CAP_NET_RAW, NOBODY, make_ambient

if TYPE_CHECKING:
    from tests.system.conftest import Need, Run

STATUS = """
    sed -n 's/^Cap\\(...\\):[[:space:]]*/\\1=/p' /proc/self/status | grep -v Bnd | tr '\\n' ' '
    echo "user=$(id -u) group=$(id -g) groups=$(id -G)"
"""
"""Everything about a process on one line."""

NONE = "Inh=0000000000000000 Prm=0000000000000000 Eff=0000000000000000 Amb=0000000000000000 "


async def result(probe: Program | Shell) -> tuple[bool, str]:
    """The first result of a check."""
    told: asyncio.Future[tuple[bool, str]] = asyncio.get_running_loop().create_future()

    def tell(name: str, passed: bool, detail: str, seconds: float, value: int | None) -> bool:
        told.set_result((passed, detail))
        return False

    engine = Checks(tell)
    engine.open(asyncio.get_running_loop())
    engine.set([check(probe)])
    try:
        return await told
    finally:
        await engine.close()


@pytest.fixture
def nobody(need: "Need") -> str:
    mapped = Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(0xFFFFFFFF)]
    need(reason="only real root can run a program as another user", unless=os.geteuid() == 0 and mapped)
    return pwd.getpwuid(NOBODY).pw_name


@pytest.fixture
def root(need: "Need") -> None:
    need(reason="needs root", unless=os.geteuid() == 0)


@pytest.fixture
def _in_groups(root: None) -> Iterator[None]:
    before = os.getgroups()
    os.setgroups([0, 4, 27])
    yield
    os.setgroups(before)


@pytest.mark.system
def test_the_check_of_an_agent_with_ambient_capabilities_has_none(
    with_two_capabilities: Callable[[Callable[[], None]], None],
) -> None:
    def body() -> None:
        both = 1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW
        make_ambient(CAP_NET_ADMIN, CAP_NET_RAW)

        def inherited() -> str:
            done = subprocess.run(["/bin/sh", "-c", STATUS], capture_output=True, text=True, check=True)
            return done.stdout.partition("user=")[0]

        everything = " ".join(f"{name}={both:016x}" for name in ("Inh", "Prm", "Eff", "Amb")) + " "
        plain = inherited()
        if os.geteuid() != 0:  # in a user namespace, user 0 has them all
            assert plain == everything, "what a child gets unless it is withheld"
        passed, detail = asyncio.run(result(Shell(STATUS)))
        assert passed
        assert detail.startswith(NONE)
        assert capabilities.missing() == [], "ours are where they were"
        assert inherited() == plain, "and are passed on as before"

    with_two_capabilities(body)


@pytest.mark.system
@pytest.mark.usefixtures("_in_groups")
def test_a_check_of_root_with_a_user_is_that_user_and_nothing_else(run: "Run", nobody: str) -> None:
    group = pwd.getpwnam(nobody).pw_gid
    passed, detail = run(result(Shell(STATUS, nobody)))
    assert passed
    assert detail == f"{NONE}user={NOBODY} group={group} groups={group}"
    assert run(result(Program(("/usr/bin/id", "-u"), nobody))) == (True, str(NOBODY))


@pytest.mark.system
@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("user", [None, "root"])
def test_a_check_of_root_without_a_user_is_root_without_its_capabilities(run: "Run", user: str | None) -> None:
    passed, detail = run(result(Shell(STATUS, user)))
    assert passed
    assert detail.startswith(f"{NONE}user=0 ")
    assert capabilities.missing() == []
    assert subprocess.run(["grep", "-q", "^CapEff:.*[1-9a-f]", "/proc/self/status"], check=False).returncode == 0


@pytest.mark.system
@pytest.mark.parametrize("name", capabilities.FOR_ANOTHER_USER)
def test_root_without_a_capability_for_it_runs_programs_as_nobody_else(
    run: "Run", without_capability: Callable[[int], AbstractContextManager[None]], nobody: str, name: str
) -> None:
    with without_capability(capabilities.NUMBERS[name]):
        assert run(result(Shell("true", "root"))) == (True, "")
        assert run(result(Shell("true"))) == (True, "")
        passed, detail = run(result(Shell("true", nobody)))
        assert not passed
        needs = f"a program of {nobody} needs CAP_SETUID, CAP_SETGID, CAP_KILL, and {name} is missing; "
        assert detail.startswith(f"cannot be started: {needs}")
        found = preflight_error(Shell("true", nobody))
        assert found is not None
        assert found[0] == "user"
        assert found[1].startswith(needs)
        added = f"CapabilityBoundingSet={name}, or its container the user root and --cap-add={name[4:]}, or remove it"
        assert added in found[1]


@pytest.mark.system
def test_where_no_process_can_be_started_a_check_fails(
    with_two_capabilities: Callable[[Callable[[], None]], None], nobody: str
) -> None:
    def body() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        assert asyncio.run(result(Shell("true"))) == (False, "cannot be started: Resource temporarily unavailable")

    with_two_capabilities(body)


@pytest.mark.system
@pytest.mark.parametrize("probe", [Shell("true", "no-such-user"), Program(("/bin/true",), "no-such-user")])
def test_an_unknown_user_is_named(run: "Run", probe: Program | Shell) -> None:
    text = "there is no user no-such-user; write one that exists"
    assert run(result(probe)) == (False, f"cannot be started: {text}")
    assert preflight_error(probe) == ("user", text)


@pytest.mark.system
def test_an_agent_without_root_runs_programs_as_itself(
    with_two_capabilities: Callable[[Callable[[], None]], None], nobody: str
) -> None:
    def body() -> None:
        assert Privileges("/bin/true", nobody).identity() == Identity()
        assert Privileges("/bin/true", None).identity() == Identity()
        assert preflight_error(Program(("/bin/true",))) is None
        assert preflight_error(Program(("/etc/passwd",))) == (
            "command",
            'begins with "/etc/passwd", which this user may not execute; chmod a+x /etc/passwd',
        )
        with pytest.raises(Refused, match="only root can run a program as daemon; remove it, or run ExaBGP as root"):
            Privileges("/bin/true", "daemon").identity()

    with_two_capabilities(body)


@pytest.fixture
def program(root: None, tmp_path: Path) -> Path:
    """A program that root alone can change, and everybody run."""
    for folder in (tmp_path, tmp_path / "opt", tmp_path / "opt" / "bin"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    file = tmp_path / "opt" / "bin" / "check"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def refused(run: "Run", program: Path, user: str | None = None) -> str:
    """Why ``program`` is not run; checking the configuration says the same."""
    probe = Program((str(program),), user)
    passed, detail = run(result(probe))
    assert not passed
    reason = detail.removeprefix("cannot be started: ")
    assert preflight_error(probe) == ("command", f'begins with "{program}", which {reason}')
    return reason


@pytest.mark.system
def test_a_program_that_others_can_change_is_not_run_as_root(run: "Run", program: Path, nobody: str) -> None:
    folder = program.parent
    assert run(result(Program((str(program),)))) == (True, "")
    program.chmod(0o757)
    assert refused(run, program) == f"everybody can change; chmod o-w {program}"
    program.chmod(0o775)
    os.chown(program, 0, NOBODY)
    assert re.fullmatch(f"group [a-z0-9]+ can change; chmod g-w {program}", refused(run, program))
    os.chown(program, 0, 12345)
    assert refused(run, program) == f"group 12345 can change; chmod g-w {program}"
    os.chown(program, 0, 0)
    assert run(result(Program((str(program),)))) == (True, ""), "writable by root's own group"
    os.chown(program, 12345, 0)
    assert refused(run, program) == f"user 12345 can change; chown root {program}"
    os.chown(program, NOBODY, 0)
    assert refused(run, program) == f"user {nobody} can change; chown root {program}"
    os.chown(program, 0, 0)
    folder.chmod(0o777)
    assert refused(run, program) == f"everybody can change (because of {folder}); chmod o-w {folder}"
    folder.chmod(0o1777)
    assert run(result(Program((str(program),)))) == (True, ""), "what is in a sticky folder stays its owner's"
    os.chown(folder, NOBODY, 0)
    assert refused(run, program) == f"user {nobody} can change (because of {folder}); chown root {folder}"


@pytest.mark.system
def test_every_link_on_the_way_to_a_program_is_looked_at(run: "Run", program: Path, tmp_path: Path) -> None:
    there, open_to_all = tmp_path / "there", tmp_path / "open"
    open_to_all.mkdir()
    (open_to_all / "link").symlink_to("../opt/./bin/../bin")
    there.symlink_to(open_to_all / "link")
    (tmp_path / "check").symlink_to(there / "check")
    assert run(result(Program((str(tmp_path / "check"),)))) == (True, "")
    open_to_all.chmod(0o777)
    reason = refused(run, tmp_path / "check")
    assert reason == f"everybody can change (because of {open_to_all}); chmod o-w {open_to_all}"


@pytest.mark.system
def test_a_link_of_another_user_in_a_sticky_folder_is_refused(
    run: "Run", program: Path, tmp_path: Path, nobody: str
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "check"
    link.symlink_to(program)
    assert run(result(Program((str(link),)))) == (True, "")
    os.lchown(link, NOBODY, 0)
    assert refused(run, link) == f"user {nobody} can change; chown root {link}"


@pytest.mark.system
def test_links_that_lead_nowhere_end(run: "Run", program: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    text = "Too many levels of symbolic links"
    assert run(result(Program((str(tmp_path / "loop"),)))) == (False, f"cannot be started: {text}")
    found = preflight_error(Program((str(tmp_path / "loop"),)))
    assert found is not None
    assert "cannot be looked at" in found[1] or "does not exist" in found[1]
    previous = program
    for number in range(MOST_LINKS):
        previous = tmp_path / f"link{number}"
        previous.symlink_to(f"link{number - 1}" if number else program)
    assert run(result(Program((str(previous),)))) == (True, "")


@pytest.mark.system
def test_the_user_of_a_check_may_own_its_program(run: "Run", program: Path, nobody: str, tmp_path: Path) -> None:
    reachable = tmp_path
    while reachable != Path("/") and reachable.stat().st_mode & 0o001:
        reachable = reachable.parent
    os.chown(program, NOBODY, 0)
    # pytest's folders are root's alone: the program can be owned by its user, but not be reached.
    Privileges(str(program), nobody).identity()
    with pytest.raises(Refused):
        Privileges(str(program), "daemon").identity()
    if reachable != Path("/"):
        found = preflight_error(Program((str(program),), nobody))
        assert found is not None
        assert found[0] == "command"
        assert re.search(f"user {nobody} may not execute; chmod a\\+x /", found[1])


@pytest.mark.system
def test_a_program_that_its_user_may_not_execute_is_reported_without_a_run(program: Path, nobody: str) -> None:
    program.chmod(0o644)
    expected = f'begins with "{program}", which user root may not execute; chmod a+x {program}'
    assert preflight_error(Program((str(program),))) == ("command", expected)
    program.chmod(0o611)
    os.chown(program, 12345, 0)
    found = preflight_error(Program((str(program),)))
    assert found is not None, "owned by another user"
    os.chown(program, 0, 12345)
    program.chmod(0o701)
    assert preflight_error(Program((str(program),))) is None


@pytest.mark.system
def test_in_a_user_namespace_the_real_root_is_trusted(need: "Need") -> None:
    code = (
        "from exavrrp.system.privileges import Privileges, Identity\n"
        "assert Privileges('/bin/sh', None).identity() == Identity()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    unshare = [need("unshare"), "--user", "--map-root-user"]
    allowed = subprocess.run([*unshare, "/bin/true"], capture_output=True, check=False).returncode == 0
    need(reason="no user namespaces here", unless=allowed)
    done = subprocess.run(
        [*unshare, sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
