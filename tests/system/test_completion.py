"""What a user gets who presses Tab: in real shells, with the scripts that the Debian package installs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exavrrp.cli import COMMANDS
from tests.system.conftest import LIMIT, Need
from tests.system.packages import completion

pytestmark = pytest.mark.system

GOOD = """\
[agent]
sources = ["2001:db8:ff::11"]
peers = ["2001:db8:ff::12"]
[virtual_router.web]
vrid = 7
addresses = ["2001:db8:53::1"]
[virtual_router.dns]
vrid = 8
addresses = ["2001:db8:53::2"]
"""

BASH = """
    . "$0"
    complete -p exavrrp | grep -q -e '-F _exavrrp_completion'
    COMP_WORDS=(exavrrp "$@") COMP_CWORD=$# COMPREPLY=()
    _exavrrp_completion exavrrp
    printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = """
    source $argv[1]
    complete -C "exavrrp $argv[2..]" | string split --fields 1 \\t
    true  # "split" fails where there is nothing to split
"""
ZSH = """
    zmodload zsh/zpty
    zpty shell "TERM=dumb zsh -f -i"
    zpty -w shell "autoload -U compinit; compinit -u -D; . $0"
    zpty -w shell 'exavrrp() { print -r -- "${argv[-1]}" >offered; print do""ne }'
    zpty -w shell "exavrrp $*"$'\\t'
    zpty -r -m shell seen '*done*'
    cat offered
"""
"""A real line editor in a terminal of its own. After Tab comes Enter; then the line's last word is the whole one."""


def offered(shell: str, need: Need, directory: Path, *words: str) -> list[str]:
    """What the shell offers for the last one of the words that follow ``exavrrp``."""
    script = directory / "completion"
    script.write_text(completion(shell))
    options, text = {"bash": (["--norc"], BASH), "fish": (["--no-config"], FISH), "zsh": (["-f"], ZSH)}[shell]
    done = subprocess.run(
        [need(shell), *options, "-c", text, script, *words],
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
        },
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["dr"], "drain"),
        (["drain", "--unt"], "--until-restart"),
        (["drain", "--config", "FILE", "w"], "web"),
        (["status", "--config", "FILE", "--is-active", "d"], "dns"),
    ],
    ids=["command", "option", "router", "value"],
)
def test_a_word_is_completed(shell: str, words: list[str], whole: str, need: Need, tmp_path: Path) -> None:
    file = tmp_path / "exavrrp.toml"
    file.write_text(GOOD)
    assert offered(shell, need, tmp_path, *(word.replace("FILE", str(file)) for word in words)) == [whole]


def test_every_command_is_offered_and_of_a_bad_file_nothing(need: Need, tmp_path: Path) -> None:
    assert offered("bash", need, tmp_path, "") == list(COMMANDS)
    file = tmp_path / "exavrrp.toml"
    file.write_text(GOOD.replace("vrid = 7", "vrid = 0"))
    assert offered("bash", need, tmp_path, "undrain", "--config", str(file), "") == []
