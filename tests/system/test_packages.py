"""What is in the packages: nothing missing, nothing too much, the same bytes each time.

What they do on clean machines: ``test_roots.py``.
"""

import gzip
import hashlib
import json
import os
import re
import stat
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import manuals
import pytest

from exavrrp import __version__
from exavrrp.config import ConfigError, load
from exavrrp.config.schema import STATE_DIRECTORY
from exavrrp.control import SOCKET
from tests.system import packages
from tests.system.conftest import Need
from tests.system.packages import DEBIAN, ROOT, Packages

pytestmark = pytest.mark.system

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
LIBRARIES = {
    *(one.partition(">=")[0].replace("-", "_") for one in REQUIRED),
    *("markdown_it_py", "mdurl", "pygments"),  # which rich needs
}
NOT_FOR_OTHERS = (".ci/", ".gitignore")
"""Files of the repository that a source archive does without."""
GUIDE = [str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.*")]
EXAMPLES = ("exabgp-4.2.conf", "exabgp-5.0.conf", "exavrrp.toml", "stanza.conf")
INSTALLED = {
    "etc/exavrrp/exavrrp.toml",
    "opt/exavrrp/bin/exabgp",
    "opt/exavrrp/bin/exavrrp",
    "opt/exavrrp/bin/python3",
    *(f"opt/exavrrp/lib/python{python}" for python in PYTHONS),
    "opt/exavrrp/pyvenv.cfg",
    "usr/bin/exavrrp",
    "usr/lib/systemd/system/exavrrp-exporter.service",
    "usr/lib/systemd/system/exavrrp.service",
    "usr/lib/systemd/system/exavrrp.service.d/exavrrp.conf",
    "usr/lib/sysusers.d/exavrrp.conf",
    "usr/lib/tmpfiles.d/exavrrp.conf",
    "usr/share/bash-completion/completions/exavrrp",
    *(f"usr/share/doc/exavrrp/examples/{one}" for one in EXAMPLES),
    *(f"usr/share/doc/exavrrp/{one}" for one in ("NEWS.gz", "README.md", "changelog.gz", "copyright")),
    *(f"usr/share/doc/exavrrp/{one}" for one in GUIDE),
    "usr/share/exavrrp/exabgp.service.d/exavrrp.conf",
    *(f"usr/share/exavrrp/monitoring/{one}" for one in ("dashboard.json", "prometheus.yml", "rules.yml")),
    "usr/share/fish/vendor_completions.d/exavrrp.fish",
    "usr/share/lintian/overrides/exavrrp",
    *(f"usr/share/man/man{one[-1]}/{one}.gz" for one in manuals.PAGES),
    "usr/share/python3/runtime.d/exavrrp.rtupdate",
    "usr/share/zsh/vendor-completions/_exavrrp",
}
"""Everything that the Debian package installs, except the libraries."""
SITE = "opt/exavrrp/lib/python3/site-packages"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Packages:
    with packages.shared(tmp_path_factory, "packages") as directory:
        return packages.build(directory, need)


@pytest.fixture(scope="module")
def tree(built: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package, unpacked."""
    return packages.unpack(built.deb, tmp_path_factory.mktemp("unpacked") / "tree")


@pytest.fixture(scope="module")
def sources(need: Need) -> set[str]:
    """The files of the Python package, as an installation has them."""
    return {name.removeprefix("src/") for name in packages.tracked(need) if name.startswith("src/exavrrp/")}


def test_a_wheel_is_the_package_and_its_metadata(built: Packages, sources: set[str]) -> None:
    about = f"exavrrp-{__version__}.dist-info"
    metadata = {f"{about}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    with zipfile.ZipFile(built.wheel) as wheel:
        assert set(wheel.namelist()) == sources | metadata
        for name in sources:
            assert wheel.read(name) == (ROOT / "src" / name).read_bytes(), name
        assert "exavrrp/py.typed" in sources
        assert wheel.read(f"{about}/entry_points.txt").decode().split() == [
            "[console_scripts]",
            "exavrrp",
            "=",
            "exavrrp.cli:main",
        ]
        told = wheel.read(f"{about}/METADATA").decode()
    required = re.findall(r"^Requires-Dist: ([\w-]+)>=[\d.]+$", told, re.MULTILINE)
    assert sorted(required) == sorted(one.partition(">=")[0] for one in PROJECT["dependencies"])


def test_a_source_archive_is_what_git_has(built: Packages, need: Need) -> None:
    wanted = {name for name in packages.tracked(need) if not name.startswith(NOT_FOR_OTHERS)}
    with tarfile.open(built.sdist) as archive:
        found = {member.name.partition("/")[2] for member in archive.getmembers()}
    assert found - {".gitignore"} == wanted | {"PKG-INFO"}


def test_the_debian_package_installs_these_files(tree: Path, sources: set[str]) -> None:
    found = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()}
    found = {name for name in found if not name.startswith("DEBIAN/")}
    assert {name for name in found if not name.startswith(f"{SITE}/")} == INSTALLED

    in_site = {name.removeprefix(f"{SITE}/") for name in found if name.startswith(f"{SITE}/")}
    about = {name for name in in_site if ".dist-info/" in name}
    assert {name.partition("-")[0] for name in about} == {*LIBRARIES, "exavrrp"}
    assert {name for name in in_site - about if name.startswith("exavrrp/")} == sources
    assert all((tree / SITE / name).read_bytes() == (ROOT / "src" / name).read_bytes() for name in sources)

    compiled = {name for name in in_site if name.endswith(".so")}
    names = {name.replace("markdown_it_py", "markdown_it") for name in LIBRARIES}
    assert {name.split("/")[0] for name in in_site - about - compiled} == {*names, "exavrrp"}
    modules: dict[str, set[str]] = {}
    for name in compiled:
        module, python = re.fullmatch(r"(.*)\.cpython-3(\d+)-[\w-]+\.so", name).groups()  # type: ignore[union-attr]
        modules.setdefault(module, set()).add(f"3.{python}")
    assert any(module.startswith("msgspec/") for module in modules)
    assert all(pythons == set(PYTHONS) for pythons in modules.values()), modules
    assert not [name for name in in_site if "__pycache__" in name]


def test_the_debian_package_is_for_every_python_that_it_has_modules_for(tree: Path, built: Packages) -> None:
    control = (tree / "DEBIAN" / "control").read_text()
    assert "@" not in control.replace("@localhost", "")
    assert f"Version: {__version__.replace('.dev', '~dev')}\n" in control
    assert f"python3 (>= {PYTHONS[0]}), python3 (<< 3.{int(PYTHONS[-1][2:]) + 1})" in control
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert built.deb.stat().st_size < 4 << 20


def test_files_of_the_debian_package_are_roots_and_nobody_else_can_change_them(built: Packages, tree: Path) -> None:
    listed = subprocess.run(["dpkg-deb", "--contents", built.deb], capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in listed.splitlines()} == {"root/root"}
    for path in tree.rglob("*"):
        mode = path.lstat().st_mode
        if not path.is_symlink():
            assert mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH) == 0, path
            assert mode & stat.S_IROTH, path
    lines = (tree / "DEBIAN" / "md5sums").read_text().splitlines()
    sums = {name: told for told, name in (line.split("  ") for line in lines)}
    for name, told in sums.items():
        assert hashlib.md5((tree / name).read_bytes()).hexdigest() == told, name
    regular = {path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()}
    assert {tree / name for name in sums} == {path for path in regular if path.parent != tree / "DEBIAN"}


def test_the_debian_package_configures_nothing(tree: Path) -> None:
    """Not one virtual router, no exabgp.conf, and no unit of another package that it would change."""
    assert (tree / "DEBIAN" / "conffiles").read_text() == "/etc/exavrrp/exavrrp.toml\n"
    with pytest.raises(ConfigError) as found:
        load(tree / "etc" / "exavrrp" / "exavrrp.toml")
    assert "no virtual router; write at least one table" in str(found.value)
    unit = (tree / "usr/lib/systemd/system/exavrrp.service").read_text()
    assert "AssertPathExists=/etc/exabgp/exabgp.conf\n" in unit
    assert [*(tree / "etc/exabgp").iterdir()] == []
    [after] = [line for line in unit.splitlines() if line.startswith("ExecStartPost=-")]
    assert f" {STATE_DIRECTORY}/{SOCKET} " in after
    assert not (tree / "usr/lib/systemd/system/exabgp.service.d").exists()
    scripts = "".join((tree / "DEBIAN" / name).read_text() for name in ("postinst", "prerm", "postrm"))
    assert not re.search(
        r"systemctl.* (enable|start|restart)|deb-systemd-(helper|invoke) (enable|start|restart)", scripts
    )


def test_units_of_the_debian_package_are_understood_by_systemd(tree: Path, need: Need, tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    units = tmp_path / "units"
    (units / "exavrrp.service.d").mkdir(parents=True)
    for name in ("exavrrp-exporter.service", "exavrrp.service", "exavrrp.service.d/exavrrp.conf"):
        text = (tree / "usr/lib/systemd/system" / name).read_text()
        (units / name).write_text(text.replace("/opt/exavrrp/bin/", f"{tree}/opt/exavrrp/bin/"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", *units.glob("*.service")],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_programs_of_the_debian_package_run_with_the_python_of_this_machine(tree: Path, need: Need) -> None:
    """In a mount namespace in which /opt is the package's. Nothing of this machine's own packages is seen."""
    command = need("unshare")
    script = f"""
        set -eu
        mount --make-rprivate /
        mount --bind {tree}/opt /opt
        cd /
        PYTHONPATH=/nonsense {tree}/usr/bin/exavrrp --version
        /opt/exavrrp/bin/exabgp version
        /opt/exavrrp/bin/python3 -I -c 'import json, msgspec, sys, tomli, h11, exavrrp.cli.run
print(json.dumps([[path for path in sys.path if "packages" in path], [m.__file__ for m in (msgspec, tomli, h11)]]))'
    """
    done = subprocess.run([command, "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours, _, *theirs, places = done.stdout.splitlines()
    assert ours == f"exavrrp, version {__version__}"
    assert any("5.0." in line for line in [_, *theirs])
    path, files = json.loads(places)
    assert len(path) == 1
    assert all(one.startswith(f"{path[0]}/") for one in files)


def test_lintian_finds_nothing_without_a_stated_reason(built: Packages, need: Need) -> None:
    lintian = [need("lintian"), "--allow-root", "--fail-on", "error,warning", "--no-tag-display-limit"]
    done = subprocess.run([*lintian, built.deb], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    overrides = (DEBIAN / "lintian-overrides").read_text()
    assert overrides.startswith("# ")
    assert "mismatched-override" not in done.stdout


@pytest.mark.parametrize("name", manuals.PAGES)
def test_a_manual_page_is_shown_in_80_columns_without_a_warning(name: str, tree: Path, need: Need) -> None:
    with gzip.open(tree / f"usr/share/man/man{name[-1]}/{name}.gz") as page:
        done = subprocess.run(
            [need("groff"), "-man", "-ww", "-Tutf8", "-rLL=80n", "-P-c", "-P-b", "-P-u"],
            input=page.read(),
            capture_output=True,
            check=False,
        )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    lines = done.stdout.decode().splitlines()
    assert len(lines) > 300
    assert [line for line in lines if len(line) > 80] == []


def test_the_same_commit_makes_the_same_bytes(built: Packages, tmp_path: Path, need: Need) -> None:
    """From another directory, with another umask, locale and time zone."""
    another = packages.copy_of_tree(tmp_path / "elsewhere", need)
    when = subprocess.run(
        [need("git"), "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True, check=True
    ).stdout.strip()
    again = packages.build(
        tmp_path / "again", need, root=another, umask=0o077, SOURCE_DATE_EPOCH=when, TZ="Asia/Tokyo", LC_ALL="C.UTF-8"
    )
    for first, second in zip(built.all, again.all, strict=True):
        assert first.name == second.name
        assert first.read_bytes() == second.read_bytes(), first.name
