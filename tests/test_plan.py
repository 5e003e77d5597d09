"""What a reload would change, in which class, and which routers that concerns."""

from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from exavrrp.config import Agent, Check, Configuration, Inline, Place, VirtualRouter, load
from exavrrp.plan import AGENT, CHECK, ROUTER, Plan, objections, plan
from exavrrp.takeover import RoutePolicy
from exavrrp.virtual_address import VirtualAddress
from exavrrp.vrrp import auth
from exavrrp.vrrp.router import Role
from tests.ports import (
    INTERVAL,
    OTHER,
    PEER,
    SOURCE,
    check,
    configuration,
    given_active,
    given_backup,
    router,
    table,
)
from tests.test_reception import Peer as SigningPeer
from tests.test_roster import CONFIGURATIONS, FIRST, THIRD, called

KEYS = {1: "11" * 32, 2: "22" * 32}


def told(before: tuple[str, ...], after: tuple[str, ...]) -> list[str]:
    """Each difference as one line."""
    return lines(plan(configuration(*before), configuration(*after)))


def lines(found: Plan) -> list[str]:
    return [f"{one.effect} {one.key}: {one.detail} ({', '.join(one.routers)})" for one in found.differences]


def agent(**settings: object) -> str:
    usual = {"sources": [str(SOURCE)], "peers": [str(PEER), str(OTHER)], "advert_interval": 1.0}
    return table("agent", **(usual | settings))


def four(*addresses: str, **settings: Any) -> str:
    return router(addresses=list(addresses), source="192.0.2.1", peers=["192.0.2.2"], **settings)


def secret(place: Place) -> bytes:
    assert isinstance(place, Inline)
    return bytes.fromhex(place.hex)


def signed(directory: Path, *, active: int = 1, keys: tuple[int, ...] = (1,), **more: object) -> Configuration:
    """A router of the authentication ``nodes``, whose secrets are read."""
    path = directory / "exavrrp.toml"
    settings = {"mode": "enforce", "active_key": active} | more
    written = [f"keys.{number} = {{ hex = '{KEYS[number]}' }}" for number in keys]
    tables = [agent(authentication="nodes"), router(), table("authentication.nodes", **settings), *written]
    path.write_text("\n".join(tables))
    path.chmod(0o600)
    return load(path, None, None, secret)


def test_every_setting_has_its_class() -> None:
    assert {field.name for field in fields(VirtualRouter)} == set(ROUTER)
    assert {field.name for field in fields(Agent)} == set(AGENT)
    assert {field.name for field in fields(Check)} == set(CHECK)
    forms = {"address", "preferred", "listed", "bind", "interface", "length", "label", "scope"}
    assert {field.name for field in fields(VirtualAddress)} == forms, "see _addresses"
    assert {field.name for field in fields(RoutePolicy)} == {"active", "standby", "leaving", "takeover"}


def test_another_order_and_written_defaults_are_no_difference() -> None:
    assert told((router(), router(2)), (router(2, preempt=True, preempt_delay=0), router())) == []


SAID: list[tuple[tuple[str, ...], tuple[str, ...], list[str]]] = [
    (
        (router(), router(2)),
        (router(priority=150), router(2)),
        ["speaks virtual_router.web.priority: 200 -> 150 (web)"],
    ),
    (
        (router(),),
        (router(advert_interval=0.5),),
        [
            "speaks virtual_router.web.advert_interval: 1.0 -> 0.5 (web)",
            "quiet virtual_router.web.learned_interval_max: 10.0 -> 5.0 (web)",
        ],
    ),
    ((router(),), (router(preempt=False),), ["quiet virtual_router.web.preempt: true -> false (web)"]),
    ((router(),), (called("site"),), ["quiet virtual_router.site.name: web -> site (web)"]),
    ((router(),), (router(vrid=8),), ["moves virtual_router.web: another router: vrid 1 -> 8 (web)"]),
    ((router(),), (router(), router(2)), ["moves virtual_router.web2: new (web2)"]),
    ((router(), router(2)), (router(),), ["moves virtual_router.web2: removed (web2)"]),
    (
        (router(),),
        (router(addresses=[FIRST, THIRD]),),
        [
            f"moves virtual_router.web.addresses: +{THIRD} (web)",
            f"moves virtual_router.web.bgp.announce: +{THIRD}/128 (web)",
        ],
    ),
    (
        (router(addresses=[FIRST, THIRD]),),
        (router(addresses=[THIRD, FIRST]),),
        [
            "speaks virtual_router.web.addresses: another order in adverts (web)",
            "quiet virtual_router.web.bgp.announce: another order (web)",
        ],
    ),
    (
        (router(),),
        (router(preferred_lifetime="forever"),),
        [f"speaks virtual_router.web.addresses: {FIRST}: 1 listed, 0 preferred -> 1 listed, 1 preferred (web)"],
    ),
    ((router(),), (router(bind=False),), ["moves virtual_router.web.bind: true -> false (web)"]),
    (
        (router(addresses=[f"{FIRST}/64"], bind="eth0"),),
        (router(addresses=[f"{FIRST}/80"], bind="eth0"),),
        [f"moves virtual_router.web.addresses: +{FIRST}/80 -{FIRST}/64 (web)"],
    ),
    (
        (router(addresses=[FIRST, f"{THIRD} preferred_lft forever"]),),
        (router(addresses=[FIRST, THIRD]),),
        [f"speaks virtual_router.web.addresses: {THIRD}: 2 listed, 1 preferred -> 2 listed, 0 preferred (web)"],
    ),
    (
        (four("192.0.2.53 scope link", bind="eth0"),),
        (four("192.0.2.53 label eth0:a", bind="eth0"),),
        ["moves virtual_router.web.addresses: +192.0.2.53 label eth0:a -192.0.2.53 scope link (web)"],
    ),
    (
        (four("192.0.2.53 label lo:a"),),
        (four("192.0.2.53"),),
        ["quiet virtual_router.web.addresses: +192.0.2.53 -192.0.2.53 label lo:a (web)"],
    ),
    (
        (four("192.0.2.53"),),
        (four("192.0.2.53 label lo:a"),),
        ["moves virtual_router.web.addresses: +192.0.2.53 label lo:a -192.0.2.53 (web)"],
    ),
    (
        (four("192.0.2.53 label eth0:a", bind="eth0"),),
        (four("192.0.2.53", bind="eth0"),),
        ["moves virtual_router.web.addresses: +192.0.2.53 -192.0.2.53 label eth0:a (web)"],
    ),
    (
        (four("192.0.2.53 label lo:a", "192.0.2.54", bgp={"announce": ["192.0.2.0/24"]}),),
        (four("192.0.2.54", "192.0.2.53", bgp={"announce": ["192.0.2.0/24"]}),),
        ["speaks virtual_router.web.addresses: another order in adverts (web)"],
    ),
    ((router(),), (router(bgp={"med": 70}),), ["speaks virtual_router.web.bgp.med: 50 -> 70 (web)"]),
    ((router(),), (router(peers=[str(PEER)]),), [f"quiet virtual_router.web.peers: -{OTHER} (web)"]),
    ((router(),), (router(peers=[str(OTHER), str(PEER)]),), ["quiet virtual_router.web.peers: another order (web)"]),
    (
        (router(group="a"), router(2, group="a")),
        (router(group="b"), router(2, group="b")),
        ["quiet virtual_router.web.group: a -> b (web)", "quiet virtual_router.web2.group: a -> b (web2)"],
    ),
    (
        (router(group="a"), router(2, group="a")),
        (router(group="a"), router(2)),
        [
            "moves virtual_router.web.group: other members (web, web2)",
            "moves virtual_router.web2.group: a -> none (web2, web)",
        ],
    ),
    (
        (router(group="a"), router(2, group="a")),
        (router(group="a", priority=100, preempt=False), router(2, group="a")),
        [
            "speaks virtual_router.web.priority: 200 -> 100 (web, web2)",
            "quiet virtual_router.web.preempt: true -> false (web)",
        ],
    ),
    (
        (check("a"), router(checks=["a"])),
        (check("a", interval=9, weight=-5), router(checks=["a"])),
        [
            "quiet check.a.interval: 1.0 -> 9.0 (web)",
            "speaks check.a.weight: 0 -> -5 (web)",
            "quiet check.a.fast_interval: 1.0 -> 9.0 (web)",
        ],
    ),
    (
        (check("a", file="/run/a"), router(checks=["a"])),
        (check("b", file="/run/a"), router(checks=["b"])),
        ["quiet virtual_router.web.checks: [a] -> [b] (web)"],
    ),
    (
        (check("a"), router(checks=["a"])),
        (check("b"), router(checks=["b"])),
        [
            "speaks virtual_router.web.checks: [a] -> [b] (web)",
            "speaks check.b: new (web)",
            "speaks check.a: removed (web)",
        ],
    ),
    ((agent(), router()), (agent(max_hops=3), router()), ["quiet agent.max_hops: none -> 3 ()"]),
    (
        (agent(), router()),
        (agent(ipv4_checksum="rfc9568"), router()),
        ["speaks agent.ipv4_checksum: pseudo-header -> rfc9568 ()"],
    ),
]
"""Tables before and after, and what is said of it."""


@pytest.mark.parametrize(("before", "after", "expected"), SAID)
def test_the_lines_of_a_plan(before: tuple[str, ...], after: tuple[str, ...], expected: list[str]) -> None:
    assert told(before, after) == expected


def test_a_place_that_is_part_of_the_med_speaks() -> None:
    bgp = {"med": None, "takeover": ["med"]}
    before, after = (router(bgp=bgp, peers=[str(PEER), *more]) for more in ((), ("2001:db8:ff::1",)))
    assert told((before,), (after,)) == ["speaks virtual_router.web.peers: +2001:db8:ff::1 (web)"]
    assert told((before,), (router(bgp=bgp, peers=[str(OTHER)]),))[0].startswith("quiet")


def test_other_means_of_a_takeover_speak() -> None:
    one = configuration(router(bgp={"med": None, "takeover": ["med"]}))
    (web,) = one.routers
    other = replace(web, route_policy=replace(web.route_policy, takeover=frozenset()))
    assert lines(plan(one, replace(one, routers=(other,)))) == [
        "speaks virtual_router.web.bgp.takeover: [med] -> [] (web)"
    ]


def test_a_standby_is_quiet_as_long_as_it_is_not_in_use() -> None:
    for standby, expected in (
        (False, "quiet virtual_router.web.bgp.standby: not in use (web)"),
        (True, "speaks virtual_router.web.bgp.standby.med: 4294967094 -> 9 (web)"),
    ):
        (web,) = (one := configuration(router(standby="announce" if standby else "withdraw"))).routers
        policy = replace(web.route_policy, standby=replace(web.route_policy.standby, med=9))
        after = replace(one, routers=(replace(web, route_policy=policy),))
        assert lines(plan(one, after)) == [expected]


def test_keys_that_are_accepted_are_quiet_and_those_that_sign_speak(tmp_path: Path) -> None:
    one, both = signed(tmp_path), signed(tmp_path, keys=(1, 2))
    assert lines(plan(one, both)) == ["quiet authentication.nodes.keys.2: new (web)"]
    assert lines(plan(both, one)) == ["quiet authentication.nodes.keys.2: removed (web)"]
    second = signed(tmp_path, keys=(1, 2), active=2)
    assert lines(plan(both, second)) == ["speaks authentication.nodes.active_key: 1 -> 2 (web)"]
    turned = replace(both, authentications=tuple(replace(a, keys=a.keys[::-1]) for a in both.authentications))
    assert lines(plan(both, turned)) == ["quiet authentication.nodes.keys: another order (web)"]
    assert lines(plan(both, signed(tmp_path, keys=(1, 2), mode="permissive", window=9))) == [
        "speaks authentication.nodes.mode: enforce -> permissive (web)",
        "quiet authentication.nodes.window: none -> 9 (web)",
    ]


@pytest.mark.parametrize(("number", "effect"), [(1, "speaks"), (2, "quiet")])
def test_another_secret_of_the_same_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, effect: str
) -> None:
    both = signed(tmp_path, keys=(1, 2))
    monkeypatch.setitem(KEYS, number, "33" * 32)
    found = lines(plan(both, signed(tmp_path, keys=(1, 2))))
    assert found == [f"{effect} authentication.nodes.keys.{number}: another secret (web)"]


def test_a_key_in_another_place_is_quiet(tmp_path: Path) -> None:
    one = signed(tmp_path)
    (before,) = one.authentications
    moved = replace(before, keys=(replace(before.keys[0], place=Inline("44", "")),))
    assert lines(plan(one, replace(one, authentications=(moved,)))) == [
        "quiet authentication.nodes.keys.1: the same secret, in another place (web)"
    ]


def test_an_authentication_by_another_name_is_quiet(tmp_path: Path) -> None:
    one = signed(tmp_path)
    (before,), (web,) = one.authentications, one.routers
    other = replace(one, authentications=(replace(before, name="all"),), routers=(replace(web, authentication="all"),))
    assert lines(plan(one, other)) == ["quiet virtual_router.web.authentication: nodes -> all (web)"]
    none = replace(one, routers=(replace(web, authentication=None),))
    assert lines(plan(one, none)) == ["speaks virtual_router.web.authentication: nodes -> none (web)"]


def test_what_moves_an_active_and_what_needs_another_process_is_refused() -> None:
    before = configuration(agent(), router(), router(2))
    after = configuration(agent(state_directory="/run/x", lock_memory=True), router(vrid=8), router(2, priority=100))
    found = plan(before, after)
    assert objections(found, {"web2"}, allow_move=False) == objections(found, {"web", "web2"}, allow_move=True)
    directory, memory, move = objections(found, {"web"}, allow_move=False)
    assert directory == (
        "agent.state_directory: /run/exavrrp -> /run/x: a running agent cannot change that; restart ExaBGP"
    )
    assert memory == (
        "agent.lock_memory: false -> true: a running agent cannot change that; end the agent with kill (exavrrp status"
        " --json has its process); ExaBGP starts it again, and it serves on"
    )
    assert move == (
        "virtual_router.web: another router: vrid 1 -> 8: web serves here; drain it first, or allow it (--allow-move)"
    )


def test_what_is_still_bound_serves_although_it_is_in_fault_and_what_stands_by_does_not() -> None:
    rig = given_active()
    assert rig.node.commands.active() == rig.node.commands.serving() == {"web"}
    rig.session(up=False)
    assert rig.node.commands.active() == frozenset()
    assert rig.node.commands.serving() == {"web"}
    rig.after(1)
    rig.session()
    assert rig.role() is Role.BACKUP
    assert rig.node.commands.serving() == {"web"}, "nobody has taken over"
    rig.session(up=False).after(100)
    assert rig.node.commands.serving() == frozenset()
    standing_by = given_backup(router(standby="announce"))
    assert standing_by.router().instance.presence.bound
    assert standing_by.node.commands.serving() == frozenset()


@pytest.mark.parametrize(("first", "second"), list(product(range(len(CONFIGURATIONS)), repeat=2)))
def test_a_reload_touches_only_what_its_plan_names(first: int, second: int) -> None:
    before, after = configuration(*CONFIGURATIONS[first]), configuration(*CONFIGURATIONS[second])
    found = plan(before, after)
    assert (found.differences == ()) is (first == second)
    checks = [one.name for one in before.checks]
    rig = given_backup(*CONFIGURATIONS[first], checks=checks, heard=None).after(4 * INTERVAL)
    there, logged = dict(rig.node.routers), len(rig.log.lines)
    dues = {name: one.instance.deadline for name, one in there.items()}
    assert rig.node.commands.plan(after) == found
    assert rig.node.commands.active() == rig.node.commands.serving() == there.keys()
    rig.node.commands.reconfigure(after)
    named = found.routers | {found.renamed.get(name, name) for name in found.routers}
    touched = {told["router"] for _, _, told in rig.log.lines[logged:] if "router" in told}
    assert touched <= named
    for name in there.keys() - named:
        assert rig.node.routers[name] is there[name]
        assert there[name].instance.deadline == dues[name]


def test_a_backup_is_warned_of_what_the_active_says_otherwise() -> None:
    rig = given_backup(router(), router(2), heard=None)
    same, other = configuration(router(), router(2)), configuration(router(addresses=[THIRD], advert_interval=0.5))
    assert rig.node.commands.disagreements(other) == [], "nobody is Active"
    rig.hear(250)
    assert rig.node.commands.disagreements(same) == []
    assert rig.node.commands.disagreements(other) == [
        f"virtual_router.web.addresses: {PEER}, which is Active, lists {FIRST}; reload it, too, or correct the list",
        (
            f"virtual_router.web.advert_interval: {PEER}, which is Active, advertises every 1 s;"
            " reload it, too, or correct the interval"
        ),
    ]
    rig.after(4 * INTERVAL)
    assert rig.node.commands.disagreements(other) == [], "it is Active itself"


def nodes(mode: str = "enforce", active: int = 1, keys: tuple[int, ...] = (1,), **secrets: str) -> tuple[str, ...]:
    """A router whose adverts are signed; ``secrets``: ``key1`` in place of that of ``KEYS``."""
    known = {number: secrets.get(f"key{number}", KEYS[number]) for number in keys}
    written = ", ".join(f'{number} = {{ hex = "{secret}" }}' for number, secret in known.items())
    settings = table("authentication.nodes", mode=mode, active_key=active)
    return router(authentication="nodes"), f"{settings}keys = {{ {written} }}\n"


STEPS = (
    (router(),),
    nodes("receive-only"),
    nodes("permissive"),
    nodes(),
    nodes(keys=(1, 2)),
    nodes(active=2, keys=(1, 2)),
    nodes(active=2, keys=(2,)),
)
"""From unsigned adverts to another key, in the order in which all nodes take one step after the other."""


@pytest.mark.parametrize("step", range(len(STEPS) - 1))
def test_the_steps_of_a_roll_out_are_not_warned_of_in_either_direction(step: int) -> None:
    for before, after in (STEPS[step : step + 2], STEPS[step : step + 2][::-1]):
        assert given_active(*before).node.commands.disagreements(configuration(*after)) == []
    again = configuration(*STEPS[step])
    assert given_active(*STEPS[step]).node.commands.disagreements(again) == [], "no change"


UNSIGNED = 'they are not signed; write mode = "permissive" on all nodes before any has "enforce"'
SIGNED = 'they are signed; write mode = "receive-only" on all nodes before any has "permissive"'
UNKNOWN = "they are signed with key {}; a key has to be on all nodes while it is the active_key of any"
ANOTHER = "they are signed with another key 1; give the new key an id of its own, and add it on all nodes"
OURS = "a peer that still has what is in force here rejects our adverts, and becomes Active besides us"
THEIRS = "the adverts of {} are rejected here, and this node becomes Active besides it"
STILL = "a peer that still has what is in force here"


@pytest.mark.parametrize(
    ("before", "after", "ours", "theirs"),
    [
        (STEPS[0], STEPS[3], SIGNED, UNSIGNED),
        (STEPS[1], STEPS[3], None, UNSIGNED),
        (STEPS[0], STEPS[2], SIGNED, None),
        (STEPS[3], STEPS[0], UNSIGNED, SIGNED),
        (STEPS[3], STEPS[5], UNKNOWN.format(2), None),
        (STEPS[4], STEPS[6], None, UNKNOWN.format(1)),
        (STEPS[3], nodes(key1="33" * 32), ANOTHER, ANOTHER),
    ],
)
def test_an_authentication_that_peers_may_not_have_yet_is_warned_of(
    before: tuple[str, ...], after: tuple[str, ...], ours: str | None, theirs: str | None
) -> None:
    """On an Active, which hears nobody."""
    assert given_active(*before).node.commands.disagreements(configuration(*after)) == [
        *([] if ours is None else [f"authentication: {OURS}: {ours} (web)"]),
        *([] if theirs is None else [f"authentication: {THEIRS.format(STILL)}: {theirs} (web)"]),
    ]


def test_a_backup_is_warned_of_the_authentication_of_the_active_that_it_hears() -> None:
    both = nodes("permissive", active=2, keys=(1, 2))
    rig = given_backup(*both, heard=None)
    first, second = (SigningPeer(rig, key=auth.Key(one, bytes.fromhex(KEYS[one]))) for one in (1, 2))
    active, enforced = f"{PEER}, which is Active,", nodes(active=2, keys=(2,))
    first.speaks()
    assert rig.node.commands.disagreements(configuration(*enforced)) == [
        f"authentication: {THEIRS.format(active)}: {UNKNOWN.format(1)} (web)"
    ]
    rig.after(0.5)
    second.speaks()
    assert rig.node.commands.disagreements(configuration(*enforced)) == []
    rig.hear(250)
    told = [f"authentication: {THEIRS.format(active)}: {UNSIGNED} (web)"]
    assert rig.node.commands.disagreements(configuration(*enforced)) == told
    rig.after(0.5)
    second.speaks()
    rig.node.commands.reconfigure(configuration(*enforced))
    assert rig.node.commands.disagreements(configuration(*both)) == []


def test_the_active_that_was_heard_before_there_was_any_authentication_does_not_sign() -> None:
    rig = given_backup(router())
    rig.node.commands.reconfigure(configuration(*nodes("permissive")))
    active = f"{PEER}, which is Active,"
    assert rig.node.commands.disagreements(configuration(*nodes())) == [
        f"authentication: {THEIRS.format(active)}: {UNSIGNED} (web)"
    ]


def test_a_warning_of_authentication_names_all_routers_at_once() -> None:
    rig = given_active(router(), router(2))
    new = nodes()
    found = rig.node.commands.disagreements(configuration(*new, router(2, authentication="nodes")))
    assert [one.rpartition(" (")[2] for one in found] == ["web, web2)"] * 2


def test_a_password_is_not_shown() -> None:
    (web,) = (one := configuration(router())).routers
    other = replace(one, routers=(replace(web, version=2, plain_password="secret"),))
    assert lines(plan(one, other)) == [
        "speaks virtual_router.web.version: 3 -> 2 (web)",
        "speaks virtual_router.web.plain_password: another one (web)",
    ]


def test_a_password_that_peers_may_not_have_yet_is_warned_of() -> None:
    rig = given_active(router())
    (web,) = (one := rig.node.configuration).routers
    other = replace(one, routers=(replace(web, version=2, plain_password="secret"),))
    assert rig.node.commands.disagreements(other) == [
        f"authentication: {STILL} has another plain_password: it rejects our adverts, and we its ({web.name})"
    ]
