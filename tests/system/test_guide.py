"""The configurations of other programs in the guide: each program says of its own whether it is right.

A mistake in the middle of one is an error of that program, too: so what it accepts it has read.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.blocks import Block, blocks
from tests.system.conftest import Need
from tests.system.running import LINES
from tests.system.test_examples import EXAMPLES, program_of

pytestmark = pytest.mark.system

NONSENSE = "nonsense of the tests"
NEIGHBOR = """
neighbor 2001:db8:1:1::1 {
    router-id 192.0.2.11; local-address 2001:db8:1:1::2; local-as 65010; peer-as 65000;
    inherit exavrrp;
    family { ipv6 unicast; }
}
"""
SERVICE = """
[Unit]
Description=ExaBGP

[Service]
ExecStart=/bin/true
"""


def accepted(*command: str | Path, **environment: str) -> bool:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "nknown" not in done.stderr


def spoilt(text: str) -> str:
    """The text with nonsense in the middle."""
    lines = text.splitlines()
    place = len(lines) // 2
    return "\n".join([*lines[:place], NONSENSE, *lines[place:], ""])


@pytest.mark.parametrize("block", blocks("bird"), ids=str)
def test_bird_understands_its_configuration(block: Block, need: Need, tmp_path: Path) -> None:
    text = block.text if "router id" in block.text else f"router id 192.0.2.1;\nprotocol device {{ }}\n{block.text}"
    path = tmp_path / "bird.conf"
    path.write_text(text)
    assert accepted(need("bird"), "-p", "-c", path)
    path.write_text(f"{text}\n{NONSENSE}\n")
    assert not accepted(need("bird"), "-p", "-c", path)


@pytest.mark.parametrize("block", blocks("frr"), ids=str)
def test_frr_understands_its_configuration(block: Block, need: Need, tmp_path: Path) -> None:
    path = tmp_path / "frr.conf"
    path.write_text(block.text)
    assert accepted(need("vtysh"), "-C", "-f", path)
    path.write_text(spoilt(block.text))
    assert not accepted(need("vtysh"), "-C", "-f", path)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("block", blocks("exabgp"), ids=str)
def test_exabgp_understands_its_configuration(block: Block, line: str, need: Need, tmp_path: Path) -> None:
    program = program_of(line, need)
    text = block.text
    if not re.search(r"^process ", text, re.MULTILINE):
        text = (EXAMPLES / "stanza.conf").read_text() + text
    if not re.search(r"^neighbor ", text, re.MULTILINE):
        text += NEIGHBOR
    path = tmp_path / "exabgp.conf"
    validate = "--validate" if line.startswith("4") else "validate"
    path.write_text(text.replace("/opt/exavrrp/bin/exavrrp", "/bin/true"))
    if line.startswith("4") and "source-interface" in text:
        assert not accepted(program, validate, path), "it has come to 5.0"
        return
    assert accepted(program, validate, path)
    path.write_text(path.read_text().replace("{", "{ nonsense;", 1))
    assert not accepted(program, validate, path)


@pytest.mark.parametrize("block", blocks("ini"), ids=str)
def test_systemd_understands_its_units(block: Block, need: Need, tmp_path: Path) -> None:
    """A whole unit, or a drop-in for one; its programs are others."""
    text = re.sub(r"/(?:opt/exavrrp|usr)/bin/\S+", "/bin/true", block.text)
    drop_in = "ExecStart=/" not in text
    unit = tmp_path / "exabgp.service"
    unit.write_text(SERVICE if drop_in else text)
    if drop_in:
        (tmp_path / "exabgp.service.d").mkdir()
        (tmp_path / "exabgp.service.d" / "more.conf").write_text(text)
    done = subprocess.run(
        [need("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", unit],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
