"""Configuration files."""

import os
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from itertools import product
from unittest.mock import patch

from exavrrp.config import (
    ConfigError,
    Configuration,
    Inline,
    effective,
    examined,
    kinds,
    load,
    schema,
    state_directory,
    whole,
)
from exavrrp.config.kinds import Http
from exavrrp.neighbors import Session
from exavrrp.routes import Route
from exavrrp.speaker import Conversation
from exavrrp.speaker.dialects import DIALECTS
from exavrrp.speaker.variants import variants
from exavrrp.system import keys
from exavrrp.system.checks import preflight_error, web
from tests.fuzz.reader import ROOT, Reader, scratch

LO = (ip_address("192.0.2.7"), ip_address("2001:db8::7"))


def configuration(data: bytes) -> None:
    """A file is a configuration that can be used, printed and read again, or a list of mistakes."""
    path = scratch() / "exavrrp.toml"
    path.write_bytes(data)
    with suppress(ConfigError):
        assert state_directory(path).startswith("/")
    with suppress(ConfigError), patch.dict(os.environ, {keys.DIRECTORY: str(scratch())}):
        load(path, None, preflight_error, keys.read)
    try:
        found = load(path, lambda: LO, host="n1")
    except ConfigError as error:
        assert error.problems
        assert all(str(problem).isprintable() for problem in error.problems)
        return
    assert all(str(problem).isprintable() for problem in found.warnings)
    text = effective(found)
    path.write_text(text, encoding="utf-8")
    if not any(isinstance(key.place, Inline) for one in found.authentications for key in one.keys):  # never printed
        again = load(path, lambda: LO)
        assert again == found
        assert effective(again) == text
    _usable(found)


BETWEEN = b"\n#%\n"
"""What stands between two files."""


def several_files(data: bytes) -> None:
    """A main file and others beside it are a configuration, the same as in one file, or a list of mistakes."""
    path = scratch() / "several" / "exavrrp.toml"
    beside = path.parent / "conf.d"
    beside.mkdir(parents=True, exist_ok=True)
    for old in beside.iterdir():
        old.unlink()
    main, *others = data.split(BETWEEN)[:9]
    path.write_bytes(main)
    for number, content in enumerate(others):
        (beside / f"{number}.toml").write_bytes(content)
    with suppress(ConfigError):
        assert state_directory(path).startswith("/")
    with suppress(ConfigError):
        assert all(str(problem).isprintable() for problem in examined([path, beside / "0.toml"]))
    try:
        found = load(path, lambda: LO, host="n2.example.com")
    except ConfigError as error:
        assert error.problems
        assert all(str(problem).isprintable() for problem in error.problems)
        return
    path.write_bytes(whole(path))
    assert load(path, lambda: LO, host="n2.example.com", alone=True) == found


def _several() -> list[bytes]:
    """Each table of two files in a file of its own."""
    split = [text.replace("\n[", "\n#%\n[").encode() for text in (WHOLE, _odd(), FLEET)]
    return [*split, BETWEEN.join((WHOLE.encode(), NO_TOML.encode())), BETWEEN.join((_odd().encode(), WHOLE.encode()))]


def _usable(found: Configuration) -> None:
    """What the agent makes of a configuration when it starts."""
    for one in found.routers:
        one.election()
        one.handover_settings()
        one.sessions()
        Conversation().own([route for network in one.announce for route in one.route_policy.routes(network)])
        for route in one.route_policy.routes(one.announce[0]):
            parts = [Route(route.network, part) for part in route.attributes.parts(NUMBERS)]
            for dialect, part in product(DIALECTS.values(), parts):
                for variant in variants(part.attributes):
                    dialect.announce(part, variant)
                    dialect.withdraw(part, variant)
    for check in found.checks:
        check.state()
        if isinstance(check.probe, Http):
            assert web.Answer(check.probe).request().endswith(b"\r\n\r\n")


NUMBERS = {Session(ip_address("192.0.2.1")): 65010, Session(ip_address("192.0.2.2")): None}
"""Our AS number in an eBGP session, and an iBGP session."""

WHOLE = """
[agent]
sources = ["2001:db8:ff::11", "192.0.2.11"]
peers = ["2001:db8:ff::12", "192.0.2.12"]
advert_interval = 0.1
interfaces = ["eth0"]
max_hops = 3
learned_interval_max = 5.0
control_group = "netops"
[virtual_router."web.4"]
vrid = 7
addresses = ["192.0.2.53/32", "192.0.2.54"]
unlisted_addresses = ["192.0.2.55"]
checks = ["web", "n"]
group = "g"
notify = ["/bin/true", "é"]
notify_fifo = "/run/fifo"
min_sessions = 1
sessions_neighbors = ["192.0.2.1"]
standby = "announce"
[virtual_router."web.4".bgp]
communities = ["65010:7", "no-export"]
large_communities = ["65010:1:2"]
neighbors = ["192.0.2.1"]
announce = ["192.0.2.52/31", "192.0.2.54/31"]
takeover = ["med", "prepend", "local-preference"]
[virtual_router."web.4".bgp.standby]
prepend = 7
[virtual_router."web.4".bgp.leaving]
med = 4294967295
as_path = [65010, 65010, 65010, 65010, 65010, 65010, 65010, 65010, 65010, 65010]
[check.web]
http = "https://[::1]:8443/health?a=1"
host = "www.example.com"
contains = "ok"
status = [200, 204]
ca_file = "/etc/ca.pem"
[check.n]
file = "/run/n"
file_value = true
weight = 2
"""

FLEET = """
[node.n1]
sources = ["192.0.2.1", "2001:db8::1"]
interfaces = ["eth0"]
priority = 7
[node."n2.example.com"]
sources = ["2001:db8::2", "192.0.2.2"]
[node.n3]
sources = ["2001:db8::3", "192.0.2.3"]
priority = 9
[virtual_router.a]
vrid = 1
addresses = ["192.0.2.53"]
order = ["n3", "n1", "n2.example.com"]
[virtual_router.b]
vrid = 2
addresses = ["2001:db8::53"]
priority = {n3 = 1, n1 = 2, "n2.example.com" = 3}
[virtual_router.c]
vrid = 3
addresses = ["2001:db8::54"]
[virtual_router.d]
vrid = 4
addresses = ["2001:db8::55", "192.0.2.55"]
unlisted_addresses = ["192.0.2.56", "2001:db8::56"]
sessions_neighbors = ["192.0.2.9", "2001:db8::9"]
preferred_lifetime = "forever"
bgp = {announce = ["192.0.2.52/30"], neighbors = ["192.0.2.9", "2001:db8::9"]}
"""

AT_ODDS = """
[agent]
sources = ["192.0.2.1", "2001:db8::1"]
peers = ["192.0.2.2", "2001:db8::2", "192.0.2.1"]
advert_interval = 0.02
[virtual_router.a]
vrid = 1
addresses = ["192.0.2.3", "192.0.2.2"]
unlisted_addresses = ["192.0.2.3", "2001:db8::3"]
group = "g"
priority = 250
checks = ["c", "d"]
bgp = {next_hop = "192.0.2.3", med = 5, leaving = {med = 5}, standby = {local_preference = 7}, stale_for = 9}
[virtual_router.b]
vrid = 1
addresses = ["192.0.2.3"]
group = "g"
preempt = false
advert_interval = 2
standby = "announce"
handover = "break-before-make"
[virtual_router.c]
vrid = 2
addresses = ["2001:db8:53::1"]
preferred_lifetime = "forever"
priority = 255
checks = ["d"]
bgp = {neighbors = ["192.0.2.9"], leaving = {neighbors = []}, as_path = [65011]}
[check.c]
tcp = "192.0.2.3:80"
weight = 9
[check.d]
process = "a"
weight = -253
[check.e]
interface = "lo"
"""

SIGNED = """
[agent]
authentication = "core"
sources = ["192.0.2.1"]
peers = ["192.0.2.2"]
[virtual_router.a]
vrid = 1
addresses = ["192.0.2.3"]
[virtual_router.b]
vrid = 2
addresses = ["192.0.2.4"]
authentication = "none"
[authentication.core]
mode = "permissive"
window = 5
active_key = 1
[authentication.core.keys]
1 = { file = "/etc/exavrrp/keys/1" }
2 = { credential = "vrrp-2" }
"""

NO_TOML = """
vrrp_script web {
    script "/usr/bin/curl"
    weight -20
}
vrrp_instance VI_1 {
    state MASTER
    virtual_router_id 51
    advert_int 0.5
    nopreempt
    virtual_ipaddress {
        192.0.2.16/24 dev eth0
    }
}
"""

KINDS = (
    *(("tcp", '"[::1]:22"'), ("shell", '"true"'), ("command", '["/bin/true"]')),
    *(("process", '"sshd"'), ("interface", '"lo"'), ("route", '"::/0"')),
)


def _odd() -> str:
    """``AT_ODDS`` without its mistakes: what is left is odd."""
    text = AT_ODDS.replace('handover = "break-before-make"\n', "")
    for wrong, right in (
        (', "192.0.2.1"]', "]"),
        ('"192.0.2.3", "192.0.2.2"', '"192.0.2.3"'),
        ('next_hop = "192.0.2.3", med = 5, leaving = {med = 5}, ', ""),
        (
            'vrid = 1\naddresses = ["192.0.2.3"]\ngroup = "g"\npreempt',
            'vrid = 3\naddresses = ["192.0.2.4"]\ngroup = "g"\npreempt',
        ),
        ('bgp = {neighbors = ["192.0.2.9"], leaving = {neighbors = []}, as_path = [65011]}\n', ""),
    ):
        text = text.replace(wrong, right)
    return text


def _configurations() -> list[bytes]:
    small = '[agent]\nsources=["192.0.2.1"]\npeers=["192.0.2.2"]\n[virtual_router.a]\nvrid=1\naddresses=["192.0.2.3"]\n'
    return [
        (ROOT / "exabgp/exavrrp.toml").read_bytes(),
        WHOLE.encode(),
        AT_ODDS.encode(),
        NO_TOML.encode(),
        SIGNED.encode(),
        SIGNED.replace('credential = "vrrp-2"', f'hex = "{"ab" * 32}"').encode(),
        _odd().encode(),
        FLEET.encode(),
        small.encode(),
        *(f'{small}checks=["c"]\n[check.c]\n{key}={value}\n'.encode() for key, value in KINDS),
    ]


def _words() -> list[bytes]:
    tables = (
        schema.Agent,
        schema.Node,
        schema.VirtualRouter,
        schema.Bgp,
        schema.Level,
        kinds.Check,
        schema.Authentication,
        schema.Key,
    )
    names = {name for table in tables for name in table.__struct_fields__}
    values = [
        *("true", "false", "nan", "-inf", "1e308", "0x7fffffffffffffff", "1979-05-27", "07:32:00", "[]", "{}"),
        *("[[", "{a=", "[[[[[[[[", "a.a.a.a.a.a.a.a"),
        *('"\\u0000"', '"\\U0001F600"', '"""', "'''", '"/run/x"', '"192.0.2.1"', '"2001:db8::1"', '"::ffff:192.0.2.1"'),
        *(
            '"fe80::1%eth0"',
            '"self"',
            '"65535:65535"',
            '"1:2:3"',
            '"med"',
            '"prepend"',
            '"announce"',
            '"http://[::1]/"',
        ),
        *("= 1s", "= no", "= (", "= [a b]", "neighbor a {", "vrrp_instance a {", "---", "“"),
        *("\u212a", "\u017f", "é", "\r\n", "\\", "%", "/32", "/128"),
    ]
    return [f"{name} = ".encode() for name in sorted(names)] + [value.encode() for value in values]


READERS: Mapping[str, Reader] = {
    "configuration": Reader(configuration, _configurations, _words),
    "configuration of several files": Reader(several_files, _several, _words),
}
