"""The role of ansible/: linted, and run on two nodes of the test bed, over a local connection: ``ansible/test``.

Each node is a network namespace with real ExaBGP; a program that runs exavrrp there stands for the one on a machine.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.system import running
from tests.system.conftest import Namespace, Need
from tests.system.packages import ROOT
from tests.system.running import HOLD, LINGER, MED, VRID, Fabric, Host

pytestmark = pytest.mark.ansible

PROGRAMS = ROOT / ".envs" / "ansible" / "bin"
INTERVAL = 2.0
"""Seconds between adverts: an agent that has no CPU for seconds, as beside Ansible, causes no takeover."""
ROLLING = """
- name: One node after the other
  hosts: exavrrp
  gather_facts: false
  serial: 1
  any_errors_fatal: true
  tasks:
    - name: Hand over
      ansible.builtin.include_role: {name: exavrrp, tasks_from: drain}
    - name: Take part again
      ansible.builtin.include_role: {name: exavrrp, tasks_from: undrain}
"""


def ansible(program: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "ANSIBLE_ROLES_PATH": str(ROOT / "ansible" / "roles"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_NOCOLOR": "true",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [PROGRAMS / program, *arguments],
        cwd=ROOT / "ansible",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass
class Site:
    """Two nodes, and an inventory of them."""

    fabric: Fabric
    directory: Path
    router: dict[str, Any] = field(default_factory=dict)
    """further keys of the virtual router"""

    def inventory(self) -> Path:
        hosts = {name: self._variables(host) for name, host in self.fabric.hosts.items()}
        path = self.directory / "inventory.json"
        path.write_text(json.dumps({"exavrrp": {"hosts": hosts}}))
        return path

    def _variables(self, host: Host) -> dict[str, Any]:
        program = host.directory / "exavrrp"
        program.write_text(f'#!/bin/sh\nexec nsenter --net={host.namespace.path} {sys.executable} -m exavrrp "$@"\n')
        program.chmod(0o755)
        router = {
            "vrid": VRID,
            "addresses": [host.vip],
            "order": ["a", "b"],
            "handover_hold": HOLD,
            "linger": LINGER,
            "bgp": {"med": MED},
            **self.router,
        }
        agent = {
            "advert_interval": INTERVAL,
            "state_directory": str(host.directory / "run"),
            "persistent_directory": str(host.directory / "lib"),
        }
        return {
            "ansible_connection": "local",
            "exavrrp_sources": [host.source],
            "exavrrp_file": str(host.directory / "exavrrp.toml"),
            "exavrrp_program": str(program),
            "exavrrp_user": "",
            "exavrrp_file_group": "root",
            "exavrrp_tables": {"agent": agent, "virtual_router": {"web": router}},
        }

    def play(self, playbook: Path, *options: str) -> "subprocess.CompletedProcess[str]":
        return ansible("ansible-playbook", "-i", self.inventory(), playbook, *options)

    def roll_out(self, *options: str) -> "subprocess.CompletedProcess[str]":
        return self.play(ROOT / "ansible" / "rollout.yml", "-e", "ansible_become=false", *options)

    def files(self) -> dict[str, str]:
        """Everything in the directories of the configurations, but for what others write there."""
        return {
            str(path): path.read_text()
            for host in self.fabric.hosts.values()
            for path in host.directory.glob("exavrrp.toml*")
        }


@pytest.fixture
def site(namespace: Callable[[], Namespace], need: Need, tmp_path: Path) -> Iterator[Site]:
    need(reason="no ansible; see ansible/test", unless=PROGRAMS.exists())
    with running.fabric(namespace, need) as fabric:
        site = Site(fabric, tmp_path)
        done = site.roll_out()  # the first one: no agent is there yet
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no agent answers" in done.stdout
        for host in fabric.hosts.values():
            host.options = ("--node", host.name)
        fabric.start()
        yield site


@pytest.mark.parametrize("command", ["ansible-lint --offline", "yamllint --strict ."])
def test_linters_find_nothing(command: str, need: Need) -> None:
    need(reason="no ansible; see ansible/test", unless=PROGRAMS.exists())
    done = ansible(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_roll_out_changes_what_it_says_and_moves_nothing(site: Site) -> None:
    before = site.files()
    marks = {host.name: host.log.mark() for host in site.fabric.hosts.values()}
    site.router = {"bgp": {"med": MED, "communities": ["65010:7"]}}

    tried = site.roll_out("--check", "--diff")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "virtual_router.web.bgp.communities" in tried.stdout, "the agent says what it would change"
    assert "+communities =" in tried.stdout
    assert site.files() == before

    done = site.roll_out()
    assert done.returncode == 0, done.stdout + done.stderr
    assert all("65010:7" in text for text in site.files().values())
    assert site.files().keys() == before.keys()
    for host in site.fabric.hosts.values():
        host.log.wait("reload-confirmed", marks[host.name])
        assert host.document()["differs"] is False
        assert host.log.all("transition", marks[host.name]) == []
    again = site.roll_out()
    assert again.stdout.count("changed=0") == 2, again.stdout


def test_a_mistake_reaches_no_file(site: Site) -> None:
    before = site.files()
    site.router = {"handover_holt": 3}
    done = site.roll_out()
    assert done.returncode != 0
    assert "handover_holt" in done.stdout
    assert site.files() == before


def test_what_would_move_an_address_is_refused_before_the_file_is_changed(site: Site) -> None:
    before = site.files()
    site.router = {"addresses": ["2001:db8:53::99"]}
    done = site.roll_out()
    assert done.returncode != 0
    assert "allow-move" in done.stdout
    assert site.files() == before


def test_each_node_is_drained_in_its_turn(site: Site, tmp_path: Path) -> None:
    playbook = tmp_path / "rolling.yml"
    playbook.write_text(ROLLING)
    marks = {host.name: host.log.mark() for host in site.fabric.hosts.values()}
    done = site.play(playbook)
    assert done.returncode == 0, done.stdout + done.stderr
    site.fabric.settled("a")
    moved = [record["after"] for record in site.fabric.b.log.all("transition", marks["b"])]
    assert moved[0] == "active", "while a was drained"
    assert site.fabric.a.log.all("transition", marks["a"])[-1]["after"] == "active"
