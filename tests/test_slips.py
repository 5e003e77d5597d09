"""Files that are no TOML: each answer names the key, the line and what to write."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.config.diagnosis import MOST_PROBLEMS
from exavrrp.config.slips import explain
from tests.conftest import Problems

WEB = "[virtual_router.web]\n"
SLIPS: list[tuple[str, int, str, str]] = [
    # the file, the line, the key, what is said behind tomli's reason
    (f"{WEB}vrid = 7\naddresses = [“2001:db8:53::1”]", 3, "virtual_router.web.addresses", "write straight quotes"),
    (
        f"{WEB}addresses = [2001:db8:53::1]",
        2,
        "virtual_router.web.addresses",
        'write addresses = ["2001:db8:53::1"]; text',
    ),
    (
        f"{WEB}addresses = ['2001:db8:53::1' '2001:db8:53::2']",
        2,
        "virtual_router.web.addresses",
        'write addresses = ["2001:db8:53::1", "2001:db8:53::2"]; text stands in quotes, with a comma between two',
    ),
    (f"{WEB}addresses = ('192.0.2.1',)", 2, "virtual_router.web.addresses", 'write addresses = ["192.0.2.1"]'),
    (
        f"{WEB}addresses = [\n'192.0.2.1',\n'192.0.2.2'\nvrid = 7",
        2,
        "virtual_router.web.addresses",
        "is a list without an e",
    ),
    (
        f"{WEB}source = 2001:db8::1",
        2,
        "virtual_router.web.source",
        'write source = "2001:db8::1"; text stands in quotes',
    ),
    (
        f"{WEB}source = 192.0.2.1  # own",
        2,
        "virtual_router.web.source",
        'write source = "192.0.2.1"; text stands in quotes',
    ),
    (f"{WEB}handover = make-before-break", 2, "virtual_router.web.handover", 'write handover = "make-before-break"'),
    (f'{WEB}group = "web', 2, "virtual_router.web.group", 'is text without an end; write " behind it'),
    (f"{WEB}preempt = False", 2, "virtual_router.web.preempt", "write preempt = false; true or false"),
    (f"{WEB}preempt = no", 2, "virtual_router.web.preempt", "write preempt = false; true or false"),
    (f"{WEB}preempt yes", 2, "virtual_router.web.preempt", "write preempt = true; true or false"),
    (f"{WEB}preempt = None", 2, "virtual_router.web.preempt", "has no value; write one, or remove the key"),
    (f"{WEB}preempt =", 2, "virtual_router.web.preempt", "has no value; write one, or remove the key"),
    (f"{WEB}nopreempt", 2, "virtual_router.web.nopreempt", "unknown key; write preempt = false"),
    (f"{WEB}preempt", 2, "virtual_router.web.preempt", "write preempt = true; each key has a value"),
    (f"{WEB}virtual_router_id 51", 2, "virtual_router.web.virtual_router_id", "unknown key; write vrid = 51"),
    (f"{WEB}advert_int = 1s", 2, "virtual_router.web.advert_int", "unknown key; write advert_interval = 1.0"),
    (
        "[agent]\nadvert_interval = 1s",
        2,
        "agent.advert_interval",
        "write advert_interval = 1.0; seconds, without a unit",
    ),
    (
        "[agent]\nadvert_interval = 100ms",
        2,
        "agent.advert_interval",
        "write advert_interval = 0.1; seconds, without a un",
    ),
    ("[check.a]\ninterval = 2 min", 2, "check.a.interval", "write interval = 120.0; seconds, without a unit"),
    ("[check.a]\ninterval = 2h # long", 2, "check.a.interval", "write interval = 7200.0; seconds, without a unit"),
    ("[check.a]\ninterval = 0,5", 2, "check.a.interval", "write interval = 0.5; as TOML writes a number"),
    (
        "[check.a]\ninterval = .5",
        2,
        "check.a.interval",
        "write interval = 0.5; digits stand on both sides of the point",
    ),
    ("[check.a]\nfall = 03", 2, "check.a.fall", "write fall = 3; as TOML"),
    ("[check.a]\nfall: 3", 2, "check.a.fall", "write fall = 3; as TOML"),
    ("[check.a]\nfall = 3;", 2, "check.a.fall", "nothing stands behind a value; remove the last character"),
    ("[check.a]\nfall = 3,", 2, "check.a.fall", "nothing stands behind a value; remove the last character"),
    ("[check.a]\nfall = 3 // runs", 2, "check.a.fall", "write # where a comment begins"),
    ("[check.a]\nfall = +", 2, "check.a.fall", "write a whole number of runs from 1 to 1000"),
    ("; a comment\n[check.a]\nfall = 3", 1, "", "write # where a comment begins"),
    ("[check.a\nfall = 3", 1, "", "write [check.a]: the header of a table ends with ]"),
    ("[virtual_router web]\nvrid = 3", 1, "", "write [virtual_router.web]"),
    ("[virtual_router.web.bgp]\nmed 5", 2, "virtual_router.web.bgp.med", "write med = 5"),
    ("[virtual_router.web]\nbgp = {a]", 2, "virtual_router.web.bgp", "write a table [virtual_router.web.bgp]"),
    (
        "[virtual_router.web.bgp]\nstandby {",
        2,
        "virtual_router.web.bgp.standby",
        "write a table [virtual_router.web.bgp.standby]",
    ),
    ("[virtual_router.web.bgp.standby]\nmed 5", 2, "virtual_router.web.bgp.standby.med", "write med = 5"),
    (f"{WEB}group {{web}}", 2, "virtual_router.web.group", 'in quotes, such as "web"; text stands in quotes'),
    ("vrid 7", 1, "vrid", "write vrid = 7"),
    (f"{WEB}vrid = 7\nvrid = 8", 3, "virtual_router.web", "write each key once"),
    (f"{WEB}vrid = 7\n{WEB}priority = 8", 3, "virtual_router.web", "write each table once, with all its keys below it"),
]


@pytest.mark.parametrize(("text", "line", "key", "message"), SLIPS, ids=lambda value: str(value)[-30:])
def test_a_syntax_error_is_reported_with_the_intended_line(
    problems: Problems, text: str, line: int, key: str, message: str
) -> None:
    [problem] = problems(text)
    assert (problem.line, problem.key) == (line, key)
    assert re.match(r"not TOML: [^;]+; ", problem.message)
    assert message in problem.message
    # Who writes it has a file that is TOML.
    if found := re.search(r"; write ([a-z_]+ = .*?|\[.*?\])(?:; |: |$)", problem.message):
        lines = text.splitlines()
        lines[line - 1] = found[1]
        assert not any("not TOML" in one.message for one in problems("\n".join(lines)))


OTHERS = {
    "exabgp.conf": "neighbor 192.0.2.1 {\n    router-id 192.0.2.2;\n}\n",
    "exabgp.conf with a process": "process exavrrp {\n    run /usr/bin/exavrrp run;\n    encoder json;\n}\n",
    "YAML": "# a comment\nagent:\n  peers:\n    - 2001:db8::1\n",
    "YAML with a mark": "---\nagent: {}\n",
    "JSON": '{"agent": {"peers": []}}\n',
    "bird.conf": "router id 192.0.2.1;\nprotocol bgp tor1 {\n}\n",
    "FRR": "frr version 8.4\nrouter bgp 65010\n",
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_file_of_another_tool_is_recognised(problems: Problems, name: str) -> None:
    [problem] = problems(OTHERS[name])
    assert re.match(rf"not TOML: this is (an? )?(configuration of )?{name.split(maxsplit=1)[0]}; ", problem.message)
    assert problem.line is not None


KEEPALIVED = """! Configuration File for keepalived
global_defs {
    router_id node1      # ours
    v3_checksum_as_v2 off
}
vrrp_script web {
    script "/usr/bin/curl -fsS http://localhost/"
    interval 2
    user nobody
    weight -20
}
vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 300
    advert_int 0.5
    nopreempt
    nonsense
    authentication {
        auth_type PASS
        auth_pass s3cr3t
    }
    auth_hmac {
        key 1 hex:00112233445566778899aabbccddeeff
        active_key 1
    }
    virtual_ipaddress {
        192.168.200.16/24 dev eth0
    }
    notify /usr/local/bin/x
    garp_master_delay 5
}
virtual_server 192.0.2.1 80 {
    delay_loop 6
}
"""


def test_each_keyword_of_a_keepalived_conf_is_reported(problems: Problems) -> None:
    first, *found = problems(KEEPALIVED)
    assert first.message.startswith("not TOML: this is a keepalived.conf; write TOML instead, as said below")
    told = {one.key: one.message for one in found}
    assert [one.line for one in found] == sorted(one.line or 0 for one in found)
    for one in found:
        assert KEEPALIVED.splitlines()[(one.line or 0) - 1].split()[0] == one.key
    assert {key: told[key] for key in ("global_defs", "vrrp_script", "vrrp_instance")} == {
        "global_defs": "write a table [agent]",
        "vrrp_script": "write a table [check.NAME]",
        "vrrp_instance": "write a table [virtual_router.NAME]",
    }
    assert told["v3_checksum_as_v2"] == 'write ipv4_checksum = "pseudo-header"'
    assert told["interval"] == "write interval = 2.0"
    assert told["user"] == 'write user = "nobody"'
    assert told["weight"] == "write weight = -20"
    assert told["interface"].startswith('write interface = "eth0"')
    assert told["virtual_router_id"] == "write vrid = 51"
    assert told["priority"].startswith("write a whole number from 1 to 254")
    assert told["advert_int"] == "write advert_interval = 0.5"
    assert told["nopreempt"] == "write preempt = false"
    assert told["notify"].startswith("write the program and its arguments as a list")
    assert told["garp_master_delay"].startswith("remove it: there is no gratuitous ARP")
    assert told["virtual_server"].startswith("remove it: exavrrp balances no load")
    assert told["active_key"] == "write active_key = 1"
    assert not told.keys() & {"nonsense", "authentication", "delay_loop", "192.168.200.16/24"}
    assert "s3cr3t" not in str(found)
    assert "0011" not in str(found)


def test_of_a_very_long_keepalived_conf_a_limited_number_is_reported(problems: Problems) -> None:
    text = "vrrp_instance a {\n" + "state MASTER\n" * 2 * MOST_PROBLEMS + "}\n"
    assert len(problems(text)) == MOST_PROBLEMS + 1


@pytest.mark.parametrize(
    "text",
    [
        "[authentication.a]\nactive_key 00112233445566778899",
        "[authentication.a.keys]\n1 = 00112233445566778899aabb",
        "[agent]\nkey = 00112233445566778899aabb",
        "[agent]\nauth_pass 00112233445566778899aabb",
    ],
)
def test_a_possible_secret_is_not_repeated(problems: Problems, text: str) -> None:
    assert "00112233" not in str(problems(text))


@given(text=st.text(st.sampled_from("[]{}=:;,.\"'#! \n\tab01-_“"), max_size=80), line=st.integers(1, 9) | st.none())
def test_any_text_gives_a_message_or_none(text: str, line: int | None) -> None:
    for slip in explain(text, line, "Invalid value"):
        assert slip.message.isprintable()
