"""The Debian package in clean roots of distributions, as an operator has it: ``packaging/test`` runs this.

A root is made by mmdebstrap with nothing in it but apt. Each host of the test bed (``running``) is such a root with a
network namespace of its own; a's ExaBGP is the package's, b's is the distribution's. Both run as the units say: as user
exabgp, with two capabilities. There is no systemd in these roots: what its units do is read from them and done here.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exavrrp import __version__
from tests.system import packages, running
from tests.system.conftest import Namespace, Need
from tests.system.packages import ROOT, Packages
from tests.system.running import Fabric, Host, Monitor, wait_until

pytestmark = pytest.mark.roots

SUITES = os.environ.get("EXAVRRP_ROOTS", "bookworm trixie").split()
MIRROR = "http://deb.debian.org/debian"
OLDER = "0.0.9"
PACKAGED = ("/opt/exavrrp/bin/exabgp", "server")
DISTRIBUTIONS = ("/usr/sbin/exabgp",)
TWO = "-all,+net_admin,+net_raw"
INTERVAL = 2.0
"""Seconds between adverts: an agent that has no CPU for seconds, as while packages are compiled, causes no takeover."""
MINUTES = 600.0
"""Seconds that apt may take."""


def chroot(root: Path, *command: str, good: bool = True) -> "subprocess.CompletedProcess[str]":
    """Runs a command in a root in which nothing else runs."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["chroot", root, *command], env=environment, capture_output=True, text=True, timeout=MINUTES, check=False
    )
    assert not good or done.returncode == 0, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="session")
def place() -> Iterator[Callable[[], Path]]:
    """New directories for roots, in memory: thousands of files are written, and dpkg has each of them synchronized."""
    with tempfile.TemporaryDirectory(prefix="exavrrp-roots-", dir="/dev/shm") as directory:
        yield lambda: Path(tempfile.mkdtemp(dir=directory))


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Packages:
    return packages.build(tmp_path_factory.mktemp("newer"), need)


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Packages:
    """The same, but for its version."""
    tree = packages.copy_of_tree(tmp_path_factory.mktemp("tree"), need)
    place = tree / "src" / "exavrrp" / "__init__.py"
    text = place.read_text()
    place.write_text(text.replace(f'__version__ = "{__version__}"', f'__version__ = "{OLDER}"'))
    assert place.read_text() != text
    return packages.build(tmp_path_factory.mktemp("older"), need, root=tree)


@pytest.fixture(scope="session", params=SUITES)
def clean(request: pytest.FixtureRequest, place: Callable[[], Path], need: Need) -> Path:
    """A root of a distribution, with apt and nothing else, whose services are never started."""
    need(reason="only root can make roots", unless=os.geteuid() == 0)
    archive = ROOT / ".envs" / "roots" / f"{request.param}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        # A mirror may be a frozen copy, of a suite whose index is valid for days only.
        options = ["--variant=minbase", '--aptopt=Acquire::Check-Valid-Until "false"']
        made = archive.with_suffix(".new.tar")
        subprocess.run([need("mmdebstrap"), *options, request.param, made, MIRROR], check=True, timeout=MINUTES)
        made.rename(archive)
    root = place()
    subprocess.run(["tar", "-C", root, "-xf", archive], check=True)
    policy = root / "usr" / "sbin" / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    chroot(root, "apt-get", "update")
    return root


def install(root: Path, package: Path) -> str:
    shutil.copy(package, root / "tmp")
    return chroot(root, "apt-get", "install", "-y", "--no-install-recommends", f"/tmp/{package.name}").stdout


def named(root: Path) -> set[str]:
    """What is called exavrrp, without what apt and dpkg write about their work."""
    found = {path.relative_to(root) for path in root.rglob("*exavrrp*")}
    return {str(path) for path in found if path.parts[0] not in ("tmp", "proc", "sys", "dev")}


def copied(root: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", "--no-target-directory", root, target], check=True)
    return target


@pytest.fixture(scope="session")
def installed(clean: Path, older: Packages, place: Callable[[], Path]) -> Path:
    """A copy of the root with the older package, and the distribution's ExaBGP."""
    root = copied(clean, place())
    chroot(root, "apt-get", "install", "-y", "--no-install-recommends", "exabgp")
    install(root, older.deb)
    return root


@pytest.fixture
def root(installed: Path, place: Callable[[], Path]) -> Callable[[], Path]:
    """Copies of that root."""
    return lambda: copied(installed, place())


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, chatty=True) as built:
        yield built
        for host in built.hosts.values():
            assert "Traceback" not in host.log.tell(), host.log.tell()


def become(root: Path, host: Host, *program: str) -> list[str]:
    """A script that enters the root and executes ExaBGP, as the unit with the drop-in does; its words follow."""
    user, _, uid, gid, *_ = next(
        line.split(":") for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("exabgp:")
    )
    place = host.directory
    os.chown(place, int(uid), int(gid))
    inside = root / place.relative_to("/")
    return [
        *entered(root, place, inside),
        *(f"install -d -o {uid} -g {gid} .{one}" for one in ("/run/exavrrp", "/var/lib/exavrrp")),
        f"set -- --bounding-set={TWO} --inh-caps={TWO} --ambient-caps={TWO} {shlex.join(program)} $2",
        f'exec chroot . setpriv --reuid {user} --regid {user} --init-groups "$@"',
    ]


def entered(root: Path, place: Path, inside: Path) -> list[str]:
    return [
        "set -eu",
        "mount --make-rprivate /",
        f"mount --bind {root} {root}",
        f"cd {root}",
        "mount --rbind /proc proc; mount --rbind /dev dev; mount --rbind /sys sys",
        f"mkdir -p {inside}",
        f"mount --bind {place} {inside}",
    ]


def configure(host: Host, root: Path, *router: str) -> None:
    """Writes the configuration, with the package's own paths."""
    path = host.configure(*router, interval=INTERVAL)
    text = re.sub(r"^(state|persistent)_directory.*\n", "", path.read_text(), flags=re.MULTILINE)
    path.write_text(text)
    (root / "etc/exavrrp/exavrrp.toml").write_text(text)


def prepare(host: Host, root: Path, need: Need, exabgp: tuple[str, ...], agent: str) -> None:
    configure(host, root, "handover_ceiling = 20")
    host.program = (agent,)
    host.container = (need("unshare"), "--mount", "sh", "-c", "\n".join(become(root, host, *exabgp)), "sh")


def inside(host: Host, *command: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command as root where the host's ExaBGP runs: in its root, its namespaces."""
    target = [f"--target={host.exabgp.pid}", "--mount", "--net", "--root", "--wd=/"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["nsenter", *target, *command], env=environment, capture_output=True, text=True, timeout=MINUTES, check=False
    )


def is_active(host: Host) -> None:
    """Waits until ``exavrrp status`` says so. After a cancelled drain a node serves on as a Backup at first."""
    command = ("exavrrp", "status", "--is-active", "web")
    wait_until(lambda: inside(host, *command).returncode == 0, lambda: f"{host.name} to be Active: {host.log.tell()}")


def test_it_is_installed_does_nothing_and_goes_away(clean: Path, newer: Packages, place: Callable[[], Path]) -> None:
    root = copied(clean, place())
    assert not named(root)
    install(root, newer.deb)
    assert chroot(root, "exavrrp", "--version").stdout == f"exavrrp, version {__version__}\n"
    assert "5.0." in chroot(root, "/opt/exavrrp/bin/exabgp", "version").stdout
    assert chroot(root, "dpkg", "--verify", "exavrrp").stdout == ""
    assert chroot(root, "id", "-un", "exabgp").stdout == "exabgp\n"
    compiled = list((root / "opt/exavrrp/lib/python3/site-packages/exavrrp").rglob("*.pyc"))
    assert compiled, "a user who may not write there would compile them at each start"

    checked = chroot(root, "exavrrp", "check", good=False)
    assert checked.returncode == 1
    assert "no virtual router; write at least one table" in checked.stderr
    example = "/usr/share/doc/exavrrp/examples/exavrrp.toml"
    assert chroot(root, "exavrrp", "check", "--elsewhere", example).stderr == ""
    assert not list((root / "etc/systemd").rglob("*exavrrp*")), "nothing is enabled"

    chroot(root, "apt-get", "remove", "-y", "exavrrp")
    left = named(root)
    assert {one for one in left if not one.startswith("var/lib/dpkg/")} <= {
        "etc/exavrrp", "etc/exavrrp/exavrrp.toml", "run/exavrrp", "var/lib/exavrrp"
    }  # fmt: skip
    assert "etc/exavrrp/exavrrp.toml" in left
    chroot(root, "apt-get", "purge", "-y", "exavrrp")
    assert named(root) <= {"run/exavrrp"}


def test_a_first_pair_is_upgraded_and_removed(
    root: Callable[[], Path], fabric: Fabric, newer: Packages, need: Need, tmp_path: Path
) -> None:
    a, b = fabric.a, fabric.b
    a.directory.parent.chmod(0o755)
    roots = {"a": root(), "b": root()}
    prepare(a, roots["a"], need, PACKAGED, "/opt/exavrrp/bin/exavrrp")
    prepare(b, roots["b"], need, DISTRIBUTIONS, "/usr/bin/exavrrp")
    for name in ("a", "b"):
        shutil.copy(newer.deb, roots[name] / "tmp")
    fabric.start()
    assert a.log.wait("agent-started")["version"] == OLDER
    assert inside(a, "exavrrp", "check").returncode == 0
    is_active(a)

    # An upgrade of both, the Active first: the address stays, its route too, and nobody moves.
    watched = [Monitor(host.namespace, "address", tmp_path / host.name) for host in (a, b)]
    routes = Monitor(fabric.router, "route", tmp_path / "routes")
    marks = (a.log.mark(), b.log.mark())
    for host, mark in zip((a, b), marks, strict=True):
        upgraded = inside(host, "dpkg", "-i", f"/tmp/{newer.deb.name}")
        assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
        assert "replacing the running agent" in upgraded.stdout
        assert host.log.wait("agent-started", mark)["version"] == __version__

        def serves(host: Host = host) -> bool:
            return '"release":"' + __version__ in inside(host, "exavrrp", "status", "--json").stdout.replace(" ", "")

        wait_until(serves, lambda: f"the new agent to answer:\n{fabric.told()}")
    is_active(a)
    fabric.settled()
    assert [one.changes(fabric.vip) for one in watched] == [[], []], fabric.told()
    assert all(there for _, there in routes.changes(fabric.vip)), fabric.told()
    assert "active" not in {after for _, after, _ in b.log.moves(marks[1])}
    assert "virtual_router.web" in (roots["a"] / "etc/exavrrp/exavrrp.toml").read_text(), "the edited file stays"

    # Whoever serves and has no successor is not removed.
    b.exabgp.terminate()
    b.exabgp.wait(running.LIMIT)
    refused = inside(a, "dpkg", "--remove", "exavrrp")
    assert refused.returncode != 0
    assert "no other node has taken over: stop its ExaBGP first" in refused.stderr
    is_active(a)
    assert chroot(roots["a"], "dpkg-query", "-f", "${Status}", "-W", "exavrrp").stdout.endswith(" ok installed")

    # With one it hands over first.
    mark = b.log.mark()
    b.start()
    b.log.wait("transition", mark)
    removed = inside(a, "dpkg", "--remove", "exavrrp")
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert "remove it from exabgp.conf" in removed.stderr
    fabric.settled("b")
    a.exabgp.terminate()
    a.exabgp.wait(running.LIMIT)
    chroot(roots["a"], "dpkg", "--purge", "exavrrp")
    assert {one for one in named(roots["a"]) if not one.startswith("run/exavrrp")} == set()


def environment_of_container() -> dict[str, str]:
    text = (ROOT / "packaging" / "Containerfile").read_text()
    line = re.search(r"^ENV (.*)$", text, re.MULTILINE)
    assert line
    return dict(word.split("=") for word in line[1].split())


def test_the_entry_point_of_the_container(root: Callable[[], Path], fabric: Fabric, need: Need, tmp_path: Path) -> None:
    """As a container's runtime would start it, but without one: root with two capabilities, in a read-only root."""
    a, b = fabric.a, fabric.b
    a.directory.parent.chmod(0o755)
    containerfile = (ROOT / "packaging" / "Containerfile").read_text()
    entry = re.search(r'^ENTRYPOINT \["(.*)"\]$', containerfile, re.MULTILINE)
    assert entry
    assert f"COPY packaging/entrypoint {entry[1]}\n" in containerfile
    place = root()
    shutil.copy(ROOT / "packaging" / "entrypoint", place / entry[1].lstrip("/"))
    configure(a, place)
    a.program = ("/opt/exavrrp/bin/exavrrp",)
    (place / "etc/exabgp").mkdir(exist_ok=True)
    words = " ".join(f"{name}={value}" for name, value in environment_of_container().items())
    script = [
        *entered(place, a.directory, place / a.directory.relative_to("/")),
        "cp $2 etc/exabgp/exabgp.conf",
        "for one in run/exavrrp var/lib/exavrrp; do mkdir -p $one; mount -t tmpfs tmpfs $one; done",
        "mount -o remount,bind,ro .",
        f"set -- env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin {words} exabgp_log_level=INFO",
        f'exec chroot . "$@" setpriv --bounding-set={TWO} --inh-caps={TWO} {entry[1]}',
    ]
    a.container = (need("unshare"), "--mount", "sh", "-c", "\n".join(script), "sh")
    prepare(b, root(), need, DISTRIBUTIONS, "/usr/bin/exavrrp")
    fabric.start()
    assert inside(a, "touch", "/usr/writable").returncode != 0

    # TERM, as a runtime's "stop" sends it: the other one is Active before ExaBGP ends.
    routes = Monitor(fabric.router, "route", tmp_path / "routes")
    a.exabgp.terminate()
    a.exabgp.wait(running.LIMIT)
    fabric.settled("b")
    assert all(there for _, there in routes.changes(fabric.vip)), "the router always has a route"

    # A file with a mistake: it says so, and starts nothing.
    (place / "etc/exavrrp/exavrrp.toml").write_text("[virtual_router.web]\nvrid = 0\n")
    a.start()
    assert a.exabgp.wait(running.LIMIT) == 1
    assert "virtual_router.web.vrid" in a.log.tell()
