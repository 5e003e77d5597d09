"""The manuals of keepalived and ExaBGP's health check: each keyword is a key of ours, or has an advice.

And ``exavrrp import`` knows each one of keepalived.
"""

import gzip
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from exavrrp.config.advice import HEADERS
from exavrrp.config.foreign import FOREIGN, HEALTHCHECK, KEEPALIVED
from exavrrp.keepalived.nearest import UNKNOWN
from exavrrp.keepalived.reading import Source, Unreadable, read
from exavrrp.keepalived.translating import translated
from tests.system.conftest import Need

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]

PROSE = {"start", "val1"}
"""What is in bold type as well, and is no keyword."""

OURS = {name for kind in HEADERS for name in kind.__struct_fields__}


def keywords(manual: str) -> Iterator[str]:
    """What keepalived.conf(5) shows in bold type at the beginning of a line: keywords, and blocks of LVS.

    Lines that begin with a full stop are commands of roff, those with @, $ or ~ examples of something else.
    """
    for bold in re.findall(r"^[ \t]*(?:@\w+[ \t]+)?\\fB([^\\\s]+)", manual, re.MULTILINE):
        for word in bold.split("|"):
            if re.fullmatch(r"[a-z][a-z0-9_-]*|[A-Z]+_(?:GET|CHECK)|SSL", word):
                yield word.lower().replace("-", "_")


@pytest.fixture(name="manual", scope="module")
def _manual(need: Need, tmp_path_factory: pytest.TempPathFactory) -> str:
    """keepalived.conf(5); out of the package where the machine keeps no manuals."""
    name = "usr/share/man/man5/keepalived.conf.5.gz"
    installed = Path("/", name)
    if not installed.exists():
        directory = tmp_path_factory.mktemp("manual")
        script = "apt-get download -q keepalived && dpkg -x keepalived_*.deb ."
        done = subprocess.run(["sh", "-c", script], cwd=directory, capture_output=True, text=True, check=False)
        need(reason=f"no manual of keepalived, and none to be had ({done.stderr.strip()})", unless=done.returncode == 0)
        installed = directory / name
    with gzip.open(installed, "rt", encoding="utf-8") as file:
        return file.read()


def test_every_keyword_of_keepalived_has_its_counterpart_or_a_reason_why_there_is_none(manual: str) -> None:
    found = set(keywords(manual)) - PROSE
    assert len(found) > 300
    assert {"nopreempt", "track_interface", "ssl_get", "fork_delay", "vrrp_garp_master_delay", "payload"} <= found
    assert found - OURS - KEEPALIVED.keys() == set()


ELSEWHERE = {"interfaces", "max_hops"}
"""Keywords of blocks of which nothing is imported (garp_group, bfd_instance), and keys of ours."""

SAMPLE = """
{outside}
global_defs {{ {everywhere} }}
vrrp_script x {{
    script /bin/x
    {check}
}}
vrrp_track_process x {{
    process x
    {check}
}}
track_file x {{
    file /x
    {check}
}}
vrrp_sync_group g {{
    group {{ a }}
    {everywhere}
}}
vrrp_instance a {{
    virtual_router_id 7
    interface eth0
    virtual_ipaddress {{ 192.0.2.53 }}
    track_script {{ x }}
    track_process {{ x }}
    track_file {{ x weight 0 }}
    {everywhere}
}}
"""
"""A keyword in each place where one may stand."""


def told_of(word: str) -> set[str]:
    """What the importer says of a keyword at each place; "refused" where it needs a value that it has not."""
    found = set()
    for place in ("outside", "check", "everywhere"):
        text = SAMPLE.format(**{"outside": "", "check": "", "everywhere": "", place: f"{word} 1"})
        try:
            made = translated(read(Source("k", "/", text.encode()), lambda *_: [], "a", "a"), {})
        except Unreadable:
            found.add("refused")
        else:
            found |= {one.remark for one in made.entries if one.text.split()[0] == word}
    return found


def test_every_keyword_of_keepalived_is_known_to_import(manual: str) -> None:
    unknown = {word for word in set(keywords(manual)) - PROSE if not told_of(word) - {UNKNOWN}}
    assert unknown == ELSEWHERE
    assert told_of("nonsense") == {UNKNOWN}


@pytest.mark.parametrize("major", [4, 5])
def test_every_option_of_exabgps_health_check_has_its_counterpart_or_a_reason(need: Need, major: int) -> None:
    python = ROOT / f".envs/exabgp{major}/bin/python"
    need(reason=f"no ExaBGP {major}: run tests/run", unless=python.exists())
    help_ = subprocess.run(
        [python, "-m", "exabgp", "healthcheck", "--help"], capture_output=True, text=True, check=True
    ).stdout
    options = {
        one.replace("-", "_") for one in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", help_.partition("options:")[2])
    }
    assert {"fast_interval", "up_metric", "withdraw_on_down", "cmd"} <= options
    assert options - OURS - HEALTHCHECK.keys() - KEEPALIVED.keys() - {"help"} == set()
    assert HEALTHCHECK.keys() <= FOREIGN.keys()
