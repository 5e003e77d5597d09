"""What a killed agent leaves on lo is removed by ``exavrrp cleanup``; what somebody serves or announces never is."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from exavrrp.system.lock import Lock
from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.running import Fabric, Host, ended, wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need) as built:
        yield built


def command(host: Host, *options: str) -> list[str]:
    return [sys.executable, "-m", "exavrrp", "cleanup", "--config", str(host.directory / "exavrrp.toml"), *options]


def cleanup(host: Host, *options: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    with host.namespace:
        done = subprocess.run(command(host, *options), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def serving(fabric: Fabric) -> Host:
    """A node alone that serves."""
    fabric.a.start()
    fabric.a.becomes("active")
    wait_until(lambda: fabric.a.bound() and fabric.bird.routes(fabric.vip), fabric.told)
    return fabric.a


def killed(fabric: Fabric) -> Host:
    """A node that served alone, and whose ExaBGP and agent were killed."""
    a = serving(fabric)
    agent = a.agent
    a.exabgp.send_signal(signal.SIGSTOP)  # it starts no other agent, and takes no notice
    os.kill(agent, signal.SIGKILL)
    a.exabgp.kill()
    a.exabgp.wait()
    ended(agent)
    assert a.bound()
    return a


def name_another(host: Host) -> None:
    """The configuration has another address from now on."""
    path = host.directory / "exavrrp.toml"
    path.write_text(path.read_text().replace(host.vip, "2001:db8:53::9"))


def test_what_a_killed_node_leaves_is_removed_once(fabric: Fabric) -> None:
    a = killed(fabric)
    assert cleanup(a) == (0, f"removed {fabric.vip} from lo\n", "")
    assert not a.bound()
    own = a.namespace.run("ip", "-o", "address", "show", "dev", "lo")
    assert all(running.loopback("a", family) in own for family in (4, 6)), "no other address"
    assert cleanup(a) == (0, "", ""), "again"

    # And the next agent serves as ever.
    mark = a.log.mark()
    a.start()
    a.becomes("active", mark)
    wait_until(a.bound, fabric.told)
    assert not a.log.all("leftovers-found", mark)


def test_what_an_earlier_configuration_named_is_removed_too(fabric: Fabric) -> None:
    a = killed(fabric)
    name_another(a)
    assert cleanup(a) == (0, f"removed {fabric.vip} from lo\n", "")
    assert not a.bound()


@pytest.mark.parametrize(("right", "wrong"), [("vrid = 7", "vrid = 700"), ("[virtual_router.web]", "[node.elsewhere]")])
def test_what_the_last_agent_had_is_removed_although_the_file_has_mistakes(
    fabric: Fabric, right: str, wrong: str
) -> None:
    a = killed(fabric)
    path = a.directory / "exavrrp.toml"
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    status, said, why = cleanup(a)
    assert (status, said) == (1, f"removed {fabric.vip} from lo\n")
    assert why.startswith(f"error: {path}:")
    assert not a.bound()
    assert cleanup(a)[:2] == (1, "")


def test_what_an_earlier_configuration_named_is_unbound_under_another_exabgp(fabric: Fabric) -> None:
    a = killed(fabric)
    name_another(a)
    mark = a.log.mark()
    a.start()
    told = a.log.wait("leftovers-found", mark)
    assert (told["addresses"], told["prefixes"]) == ([fabric.vip], [])
    a.becomes("active", mark)
    wait_until(lambda: not a.bound(), fabric.told)


def test_nothing_is_removed_where_an_agent_lives(fabric: Fabric) -> None:
    a = serving(fabric)
    status, said, why = cleanup(a, "--wait", "0")
    assert (status, said) == (3, "")
    assert why == f"error: nothing removed: an agent runs here (process {a.agent}), and looks after its addresses\n"
    assert a.bound()


def test_nothing_is_unbound_that_exabgp_still_announces(fabric: Fabric) -> None:
    a = serving(fabric)
    agent = a.agent
    a.exabgp.send_signal(signal.SIGSTOP)  # it would start another agent at once
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: running.is_zombie(agent), "the agent's end")
    status, said, why = cleanup(a, "--wait", "0")
    assert (status, said) == (3, "")
    announcing = f"ExaBGP (process {a.exabgp.pid}) may still announce for an agent that is gone; stop ExaBGP first"
    assert why == f"error: nothing removed: {announcing}\n"
    assert a.bound()
    mark = a.log.mark()
    a.exabgp.send_signal(signal.SIGCONT)
    a.becomes("active", mark)  # its successor is not in the way of the lock that was held
    assert a.bound()


def test_an_agent_that_is_about_to_end_is_waited_for(fabric: Fabric) -> None:
    a = fabric.a
    a.configure()
    lock = Lock(a.directory / "run")
    lock.open()
    assert lock.take()
    a.namespace.ip(f"addr add {fabric.vip}/128 dev lo")
    waiting = a.namespace.popen(command(a, "--wait", "600"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: _holds_open(waiting.pid, str(lock.path)), "that the lock is asked for")
    assert a.bound()
    lock.release()
    said, why = waiting.communicate(timeout=running.LIMIT)
    assert (waiting.returncode, said, why) == (0, f"removed {fabric.vip} from lo\n", "")
    assert not a.bound()


def test_a_failed_cleanup_is_reported(fabric: Fabric, need: Need) -> None:
    a = fabric.a
    path = a.configure()
    a.namespace.ip(f"addr add {fabric.vip}/128 dev lo")
    with a.namespace:
        unable = [need("setpriv"), "--bounding-set=-net_admin", *command(a)]
        done = subprocess.run(unable, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: not cleaned: ")
    assert "CAP_NET_ADMIN is needed" in done.stderr
    assert a.bound()
    path.write_text(path.read_text().replace(str(a.directory / "run"), "/dev/null/run"))
    status, _, why = cleanup(a)
    assert (status, why) == (1, "error: not cleaned: Not a directory\n")
    path.write_text("")
    assert cleanup(a)[0] == 1


def _holds_open(process: int, path: str) -> bool:
    try:
        return path in running.open_files(process)
    except OSError:
        return False
