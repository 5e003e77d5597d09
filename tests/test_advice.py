"""Advice about unknown keys: following it gives what was meant, never the opposite."""

import re
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.config import kinds, schema
from exavrrp.config.advice import HEADERS, MOST_KNOWN, advise, nearest
from exavrrp.config.foreign import CHECK, FOREIGN, Line, Takes
from tests.conftest import Problems

Tables = dict[str, dict[str, str]]

BASE: Tables = {
    "agent": {"sources": '["2001:db8:ff::11"]', "peers": '["2001:db8:ff::12"]'},
    "virtual_router.web": {"vrid": "7", "addresses": '["2001:db8:53::1/128"]', "checks": '["web"]'},
    "virtual_router.web.bgp": {},
    "check.web": {"command": '["/usr/bin/true"]'},
    "authentication.site": {"active_key": "1", "keys": '{ 1 = { file = "/etc/exavrrp/keys/1" } }'},
}
NAMED = {"authentication.NAME": "authentication.site", "authentication.NAME.keys": "authentication.site.keys.1"}
OF_A_KIND = {"http": '"https://[::1]/"', "file": '"/run/x"', "process": '"postgres"'}
TABLES: dict[str, type[msgspec.Struct]] = {
    "agent": schema.Agent,
    "virtual_router.web": schema.VirtualRouter,
    "virtual_router.web.bgp": schema.Bgp,
    "virtual_router.web.bgp.standby": schema.Level,
    "virtual_router.web.bgp.leaving": schema.Level,
    "check.web": kinds.Check,
    "authentication.site": schema.Authentication,
    "authentication.site.keys.1": schema.Key,
}


def written(tables: Tables) -> str:
    return "\n".join(
        "\n".join([f"[{name}]", *(f"{key} = {toml}" for key, toml in content.items()), ""])
        for name, content in tables.items()
    )


def base(table: str = "") -> Tables:
    """The good file, with its key written as a table if that is the one at hand."""
    tables = {name: dict(content) for name, content in BASE.items()}
    if table == "authentication.site.keys.1":
        tables["authentication.site"].pop("keys")
        tables[table] = {"file": '"/etc/exavrrp/keys/1"'}
    return tables


def followed(lines: Iterable[Line]) -> str:
    """The good file with these lines in it, each in its table, and without what they are written in place of."""
    names = [NAMED.get(line.table, line.table.replace("NAME", "web")) for line in lines]
    tables = base(names[0] if names else "")
    for name, line in zip(names, lines, strict=True):
        content = tables.setdefault(name, {})
        if line.table == CHECK:
            content = tables[name] = {**_of_its_kind(content, line.key)}
        if line.text:
            content[line.key] = line.text.partition(" = ")[2]
    return written(tables)


def _of_its_kind(check: dict[str, str], key: str) -> dict[str, str]:
    """``check`` as ``key`` may stand in it: of the kind that it is, or is for."""
    if key in {kind.name for kind in kinds.KINDS}:
        return {}
    its = [kind.name for kind in kinds.KINDS if key in kind.options and kind.name in OF_A_KIND]
    if not its or not check.keys().isdisjoint(its):
        return check
    return {its[0]: OF_A_KIND[its[0]]}


def test_the_file_that_advice_is_tried_in_is_good(problems: Problems) -> None:
    assert problems(followed(())) == ()


def test_every_suggestion_is_a_valid_configuration(problems: Problems) -> None:
    refused = {word: told for word, entry in FOREIGN.items() if (told := problems(followed(entry.lines)))}
    assert not refused
    denied = {word: entry.denied for word, entry in FOREIGN.items() if entry.denied is not None}
    assert denied.keys() >= {"nopreempt", "init_fail", "withdraw_on_down"}
    for word, line in denied.items():
        assert problems(followed([line])) == ()
        assert line.key == FOREIGN[word].lines[0].key
        assert line.text != FOREIGN[word].lines[0].text


def test_every_entry_has_a_text_and_can_be_reached() -> None:
    for word, entry in FOREIGN.items():
        kind, _, plain = word.rpartition(".")
        assert plain == plain.lower().replace("-", "_")
        assert entry.lines or entry.remark
        assert not entry.remark.endswith(".")
        assert kind in {"", "root", *(name for name, _ in HEADERS.values())}
        ours = {name for one, (name, _) in HEADERS.items() if plain in one.__struct_fields__}
        assert kind not in ours, f"{word} is a key of ours"
        assert kind or not ours, f"{word} is a key of ours: say in which other table it is foreign"


def sayings(problems: Problems, table: str, words: Iterable[str]) -> dict[str, str]:
    """What is said of each of ``words`` as a key of ``table``."""
    tables = base(table)
    tables.setdefault(table, {}).update(dict.fromkeys(words, "1"))
    return {
        one.key.rpartition(".")[2]: one.message for one in problems(written(tables)) if "unknown key" in one.message
    }


@pytest.mark.parametrize("table", TABLES)
def test_a_word_of_another_tool_is_known_in_every_table(problems: Problems, table: str) -> None:
    """Known, and therefore never guessed by its likeness to one of ours, nor answered by a list of ours."""
    words = {word.rpartition(".")[2] for word in FOREIGN} - set(TABLES[table].__struct_fields__)
    told = sayings(problems, table, words)
    assert told.keys() == words
    for word, message in told.items():
        assert re.match("unknown key; (write|remove it: |it belongs to a table) ?", message), (word, message)


@pytest.mark.parametrize("table", TABLES)
def test_a_misplaced_key_is_reported_with_its_right_table(problems: Problems, table: str) -> None:
    words = {key for kind in HEADERS for key in kind.__struct_fields__} - set(TABLES[table].__struct_fields__)
    for word, message in sayings(problems, table, words).items():
        named = re.findall(r"\[([a-z_]+(?:\.NAME)?(?:\.[a-z]+)*)\]", message)
        kinds = [kind for kind, (_, header) in HEADERS.items() if header in named]
        foreign = [name for name in (HEADERS[TABLES[table]][0] + "." + word,) if name in FOREIGN]
        assert foreign or any(word in kind.__struct_fields__ for kind in kinds), (word, message)


DENIALS = (
    "no",
    "no_",
    "not_",
    "un",
    "non_",
    "dont_",
    "disable_",
    "disabled_",
    "never_",
    "without_",
    "skip_",
    "ignore_",
)


@pytest.mark.parametrize("kind", TABLES.values())
@pytest.mark.parametrize("denied", [*(f"{one}{{}}" for one in DENIALS), "{}_disabled", "{}_off", "{}_never"])
def test_a_negated_key_is_never_taken_for_the_key(kind: type[msgspec.Struct], denied: str) -> None:
    for key in kind.__struct_fields__:
        assert nearest(denied.format(key), kind.__struct_fields__) != key


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("max_sessions", "min_sessions"),
        ("notify_backup", "notify_active"),
        ("fal", "rise"),
        ("ipv6_checksum", "ipv4_checksum"),
        ("at_most", "at_least"),
        ("min_hops", "max_hops"),
        ("nopreemt", "preempt"),
        ("preempt", "nopreempt"),
    ],
)
def test_the_opposite_of_a_key_is_never_taken_for_the_key(word: str, known: str) -> None:
    assert nearest(word, [known]) is None


@pytest.mark.parametrize("kind", TABLES.values())
def test_a_typing_error_is_still_understood(kind: type[msgspec.Struct]) -> None:
    for key in kind.__struct_fields__:
        for slip in (key[:-2] + key[-1], key.replace("_", "-"), key.upper(), key + "s"):
            if len(key) > 6 and slip not in kind.__struct_fields__:
                assert nearest(slip, kind.__struct_fields__) == key


def test_among_very_many_keys_none_is_guessed() -> None:
    assert nearest("web", ["web1"] * (MOST_KNOWN + 1)) is None


@pytest.mark.parametrize(
    ("table", "key", "value", "text"),
    [
        ("virtual_router.web", "nopreempt", "true", "write preempt = false"),
        ("virtual_router.web", "nopreempt", "false", "write preempt = true"),
        ("check.web", "init_fail", "true", 'write initial = "fail"; which is the default'),
        ("check.web", "init_fail", "false", 'write initial = "pass"'),
        ("agent", "vrrp_no_swap", "false", "write lock_memory = false"),
        ("virtual_router.web", "withdraw-on-down", "false", 'write standby = "announce"'),
        ("check.web", "inter", "2000", "write, for example, interval = 1.0; in seconds, not milliseconds"),
        ("virtual_router.web", "no-preempt", '"yes"', "write preempt = false"),
        ("agent", "nopreempt", "true", "write preempt = false in [virtual_router.NAME]"),
        ("virtual_router.web", "advert_int", "0.5", "write advert_interval = 0.5"),
        ("virtual_router.web", "advert_int", "0.333", "write advert_interval = 0.33"),
        ("virtual_router.web", "advert_int", '"1s"', "write, for example, advert_interval = 1.0"),
        ("agent", "advert_int", "2", "write advert_interval = 2.0"),
        ("agent", "vrrp_startup_delay", "10", "write startup_delay = 10.0"),
        ("check.web", "advert_int", "2", "write advert_interval = 2.0 in [virtual_router.NAME]"),
        ("virtual_router.web", "virtual_router_id", "51", "write vrid = 51"),
        ("virtual_router.web", "preferred_lft", '"forever"', 'write preferred_lifetime = "forever"'),
        ("virtual_router.web", "preferred_lft", "0", "write preferred_lifetime = 0"),
        (
            "virtual_router.web",
            "preferred_lft",
            "600",
            'write, for example, preferred_lifetime = "forever"; of all IPv6',
        ),
        ("virtual_router.web", "virtual_router_id", "256", "write, for example, vrid = 7"),
        (
            "virtual_router.web",
            "track_interface",
            '["eth0"]',
            'write, for example, checks = ["eth0"], and interface = "eth0" and weight = 0 in [check.eth0]; the weight',
        ),
        ("virtual_router.web", "unicast_src_ip", '"::1"', 'write, for example, source = "2001:db8:ff::11"'),
        ("agent", "unicast_src_ip", '"::1"', 'write, for example, sources = ["2001:db8:ff::11"]'),
        ("virtual_router.web", "garp_master_delay", "5", "remove it: there is no gratuitous ARP"),
        ("agent", "reload_file", '"/x"', "remove it: exavrrp reload puts a changed file in force"),
        ("virtual_router.web", "notify_deleted", '["/x"]', "write, for example, notify_stop ="),
        (
            "agent",
            "interface",
            '"eth0"',
            'write, for example, interfaces = ["eth0", "eth1"]; only',
        ),
        (
            "virtual_router.web",
            "mcast_dst_ip",
            '"ff02::12"',
            'write, for example, transport = "multicast" and interface',
        ),
        ("virtual_router.web", "fall", "3", "it belongs to a table [check.NAME]"),
        ("check.web", "prepend", "3", "it belongs to a table [virtual_router.NAME.bgp]"),
        ("check.web", "authentication", '"a"', "it belongs to a table [agent] or [virtual_router.NAME]"),
        ("check.web", "track_file", '"/x"', 'write, for example, file = "/run/web.weight"'),
        ("check.web", "key", '"/x"', "remove it: checks show no client certificate"),
        ("authentication.site", "key", '"/x"', "write, for example, keys = {"),
        ("authentication.site", "mod", '"enforce"', 'did you mean "mode"?'),
        ("check.web", "cmd", '"true && true"', 'write shell = "true && true"'),
        ("authentication.site.keys.1", "cmd", '"true && true"', "write, for example, shell = "),
        ("virtual_router.web.bgp", "up-metric", "7", "write med = 7"),
        ("virtual_router.web", "up_metric", "7", "write med = 7 in [virtual_router.NAME.bgp]"),
        (
            "virtual_router.web.bgp",
            "down_metric",
            "7",
            'write, for example, med = 1000 in [virtual_router.NAME.bgp.standby], and standby = "announce" in [virt',
        ),
    ],
)
def test_the_message(problems: Problems, table: str, key: str, value: str, text: str) -> None:
    tables = base(table)
    tables[table][key] = value
    [problem] = problems(written(tables))
    assert problem.key == f"{table}.{key}"
    assert problem.message.startswith(f"unknown key; {text}")


def test_tables_of_another_tool(problems: Problems) -> None:
    found = {}
    for word in ("vrrp_instance.VI_1", "vrrp_script.web", "global_defs", "virtual_server", "track_file.x", "vrid"):
        head = f"[{word}]\nvrid = 7" if word != "vrid" else "vrid = 7"
        [problem, *more] = problems(f"{head}\n{written(BASE)}")
        assert not more
        found[problem.key] = problem.message
    assert found == {
        "vrrp_instance": "unknown key; write a table [virtual_router.NAME]",
        "vrrp_script": "unknown key; write a table [check.NAME]",
        "global_defs": "unknown key; write a table [agent]",
        "virtual_server": "unknown key; remove it: exavrrp balances no load; keep keepalived or ipvsadm for IPVS",
        "track_file": 'unknown key; write, for example, file = "/run/web.weight" and file_value = true in [check.NAME]',
        "vrid": "unknown key; it belongs to a table [virtual_router.NAME]",
    }


CARRIED = [word for word, entry in FOREIGN.items() if entry.takes is Takes.SAME or entry.denied]


@given(
    word=st.sampled_from(CARRIED),
    value=st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.floats(0, 100), st.integers(0, 300)),
)
def test_a_suggested_value_is_one_that_we_accept(problems: Problems, word: str, value: object) -> None:
    line = FOREIGN[word].lines[0]
    wanted = next(kind for kind, (_, header) in HEADERS.items() if header == line.table)
    advice = advise(wanted, word.rpartition(".")[2], value, wanted.__struct_fields__)
    found = re.fullmatch(r"write(?:, for example,)? (.*?)(?:; [a-z].*)?", advice.text, re.DOTALL)
    assert found is not None
    assert advice.meant == (line.key,)
    assert problems(followed([Line(line.table, found[1])])) == ()


@pytest.mark.parametrize("table", ["agent", "virtual_router.web"])
def test_a_checksum_that_is_neither_sent_nor_accepted_is_not_promised(problems: Problems, table: str) -> None:
    """keepalived's ``old_unicast_checksum`` sums the multicast address in place of the peer's."""
    [told] = sayings(problems, table, ["old_unicast_checksum"]).values()
    assert told.startswith("unknown key; remove it: ")
    assert "neither sent nor accepted" in told


def test_a_password_of_a_router_is_about_authentication_and_one_of_a_check_about_certificates(
    problems: Problems,
) -> None:
    told = {table: sayings(problems, table, ["password"])["password"] for table in ("virtual_router.web", "check.web")}
    assert "[authentication.NAME]" in told["virtual_router.web"]
    assert "client certificate" in told["check.web"]
