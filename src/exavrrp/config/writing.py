"""Settings → exavrrp.toml, complete with every default: what ``exavrrp check --print`` prints."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from exavrrp.config import schema
from exavrrp.config.settings import Authentication, Check, Configuration, Credential, Inline, KeyFile, VirtualRouter
from exavrrp.config.toml import quoted, toml
from exavrrp.routes import Attributes
from exavrrp.takeover import RoutePolicy
from exavrrp.vrrp.packet import unscoped


def effective(configuration: Configuration) -> str:
    """``configuration`` as a complete exavrrp.toml; loads back as an equal one.

    Only what has no value is missing (such as max_hops when every hop limit is accepted), and secrets.
    """
    tables = [_table("agent", configuration.agent)]
    tables[0] += "" if configuration.agent.authentication else f"authentication = {toml(schema.UNAUTHENTICATED)}\n"
    for router in configuration.routers:
        header = f"virtual_router.{_key(router.name)}"
        without = ("name", "virtual_addresses", "announce", "standby", "route_policy", "stale_for", "source")
        medium = router.medium
        tables.append(_table(header, router, without if medium is None else (*without, "interfaces")))
        tables[-1] += "" if medium is None else f"interface = {toml(medium.interface)}\n"
        tables[-1] += "" if router.source is None else f"source = {toml(unscoped(router.source))}\n"
        listed, unlisted = (_on_link(router, listed=listed) for listed in (True, False))
        tables[-1] += f"addresses = {toml(listed)}\nunlisted_addresses = {toml(unlisted)}\n"
        tables[-1] += f"bind = {toml(router.bind)}\nannounce = {toml(bool(router.announce))}\n"
        if router.family == 6 and router.on_lo:
            preferred = _all_preferred(router)
            tables[-1] += f"preferred_lifetime = {toml('forever' if preferred else 0)}\n"
        tables[-1] += f"standby = {toml('announce' if router.standby else 'withdraw')}\n"
        tables[-1] += "" if router.authentication else f"authentication = {toml(schema.UNAUTHENTICATED)}\n"
        if router.source is None:
            tables[-1] += f"# source: found at start, the only global IPv{router.family} address on lo that is no VIP\n"
        if router.announce:
            attributes = _attributes(router.route_policy, standby=router.standby)
            attributes["bgp"] |= {"announce": router.announce, "stale_for": router.stale_for}
            tables += [_written(f"{header}.{name}", values) for name, values in attributes.items()]
    tables += [_check_table(check) for check in configuration.checks]
    tables += [_authentication_table(authentication) for authentication in configuration.authentications]
    return "\n".join(tables)


def _on_link(router: VirtualRouter, *, listed: bool) -> list[str]:
    """The addresses that adverts list, or the others, each with what it is to be there."""
    more = "" if _all_preferred(router) else " preferred_lft forever"
    return [one.text + (more if one.preferred else "") for one in router.virtual_addresses if one.listed is listed]


def _all_preferred(router: VirtualRouter) -> bool:
    return all(one.preferred for one in router.virtual_addresses)


def merged(tables: Mapping[str, object]) -> str:
    """The content of several files as one exavrrp.toml, secrets included; for programs."""
    return "".join(f"{quoted(name)} = {toml(content)}\n" for name, content in tables.items())


def _attributes(policy: RoutePolicy, *, standby: bool) -> dict[str, dict[str, object]]:
    """The tables of ``policy`` by their names below ``[virtual_router.NAME]``."""
    active = _values(policy.active)
    inherited = ("next_hop", "neighbors") if policy.active.next_hops else ()
    found: dict[str, dict[str, object]] = {"bgp": {**active, "takeover": tuple(sorted(policy.takeover))}}
    if standby:
        found["bgp.standby"] = _values(policy.standby, inherited)
    found["bgp.leaving"] = _values(policy.leaving, inherited)
    return found


def _values(attributes: Attributes, without: Collection[str] = ()) -> dict[str, object]:
    found: dict[str, object] = {field.name: getattr(attributes, field.name) for field in fields(attributes)}
    if found.pop("next_hops"):
        found["next_hop"] = {str(session): next_hop for session, next_hop in attributes.next_hops}
    return {name: value for name, value in found.items() if name not in without}


def _check_table(check: Check) -> str:
    probe = _table(f"check.{_key(check.name)}", check.probe)
    return probe + _table("", check, without=("name", "probe")).partition("\n")[2]


def _authentication_table(authentication: Authentication) -> str:
    lines = []
    for key in authentication.keys:
        match key.place:
            case KeyFile(path):
                lines.append(f"keys.{key.id} = {{ file = {toml(path)} }}")
            case Credential(name):
                lines.append(f"keys.{key.id} = {{ credential = {toml(name)} }}")
            case Inline():
                lines.append(f'# keys.{key.id} = {{ hex = "…" }}: not shown')
    window = [] if authentication.window else ["# window: three intervals of each virtual router, and at least 5 s"]
    table = _table(f"authentication.{_key(authentication.name)}", authentication, without=("name", "keys"))
    return table + "".join(f"{line}\n" for line in (*window, *lines))


def _table(header: str, settings: Any, without: Collection[str] = ()) -> str:
    return _written(
        header, {field.name: getattr(settings, field.name) for field in fields(settings) if field.name not in without}
    )


def _written(header: str, values: Mapping[str, object]) -> str:
    lines = [f"{key} = {toml(value)}" for key, value in values.items() if value is not None]
    return "\n".join((f"[{header}]", *lines, ""))


def _key(name: str) -> str:
    return quoted(name) if "." in name else name
