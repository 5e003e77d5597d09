"""What this host does to adverts that nobody sees in the configuration, for ``exavrrp doctor``.

Everything is only read: sysctl values, links, nftables, the kernel's clock. What cannot be read is no finding.
"""

import ctypes
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from exavrrp.findings import Finding
from exavrrp.view import RouterView, View

SYSCTL, LINKS = Path("/proc/sys/net"), Path("/sys/class/net")

NFT_LIMIT = 5.0
"""Seconds for ``nft list ruleset``."""

STRICT = 1
"""rp_filter that drops a packet whose way back leads over another interface (ip-sysctl.rst, RFC 3704 §2.2)."""

FIXED, ADDRESS, TRAILER = 8, {4: 4, 6: 16}, 32
"""Bytes of an advert (RFC 9568 §5.1): without addresses, of each address, and at most of a signature."""

HEADER = {4: 20, 6: 40}

OLDEST = (4, 2, 21)
"""The version of ExaBGP that Debian 12 has, and the oldest that is tested."""

UNSYNCHRONIZED = 5
"""TIME_ERROR, the state of a clock that is not synchronized (adjtimex(2))."""


def examined(
    view: View,
    *,
    sysctl: Path = SYSCTL,
    links: Path = LINKS,
    ruleset: Callable[[], str] | None = None,
    clock: Callable[[], int] | None = None,
) -> list[Finding]:
    """Everything that is wrong here for the routers of ``view``. Raises nothing."""
    uplinks: dict[tuple[str, int], None] = {}
    found: list[Finding] = []
    for router in view.routers:
        names = list(_uplinks(router))
        uplinks.update(dict.fromkeys((name, router.family or 0) for name in names))
        found += _paths(router)
        found += _lengths(router, names, links)
    for name, family in uplinks:
        found += _of_uplink(name, family, sysctl, links)
    if any(router.family == 6 for router in view.routers) and _number(sysctl / "ipv6/conf/lo/disable_ipv6") == 1:
        found.append(Finding("ipv6-disabled", "", "net.ipv6.conf.lo.disable_ipv6 is 1: no address can be bound"))
    found += [Finding("firewall-drops-adverts", "", f"nftables: {rule}") for rule in drops((ruleset or _nft)())]
    version = None if view.exabgp is None else view.exabgp.version
    if version is not None and re.match(r"\d+\.\d+\.\d+", version) and _numbers(version) < OLDEST:
        text = f"ExaBGP {version} is older than {'.'.join(map(str, OLDEST))}"
        found.append(Finding("exabgp-unsupported", "", text))
    signed = any(peer.signed for router in view.routers for peer in router.peers)
    if signed and (clock or clock_state)() == UNSYNCHRONIZED:
        found.append(Finding("clock-unsynchronized", "", "the kernel's clock is not synchronized"))
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _uplinks(router: RouterView) -> Iterator[str]:
    yield from dict.fromkeys(path.interface for peer in router.peers for path in peer.paths if path.leads)


def _paths(router: RouterView) -> Iterator[Finding]:
    if router.transport != "routed":
        return  # one interface is what was asked for
    for peer in router.peers:
        leading = [path.interface for path in peer.paths if path.leads]
        if not leading:
            yield Finding("peers-unreachable", router.name, f"no route to {peer.address}: no advert gets there")
        elif len(leading) == 1:
            yield Finding("single-path", router.name, f"adverts to {peer.address} leave over {leading[0]} alone")


def _lengths(router: RouterView, names: list[str], links: Path) -> Iterator[Finding]:
    if router.family is None:
        return
    listed = len(router.addresses) - len(router.unlisted)
    length = HEADER[router.family] + FIXED + ADDRESS[router.family] * listed + TRAILER
    for name in names:
        mtu = _number(links / name / "mtu")
        if mtu is not None and mtu < length:
            text = f"an advert of up to {length} bytes leaves over {name}, whose MTU is {mtu}"
            yield Finding("mtu-small", router.name, text)


def _of_uplink(name: str, family: int, sysctl: Path, links: Path) -> Iterator[Finding]:
    if _number(links / name / "carrier") == 0:
        yield Finding("uplink-down", "", f"{name} has no carrier")
    if family == 4:
        # "The max value from conf/{all,interface}/rp_filter is used" (ip-sysctl.rst).
        filters = [_number(sysctl / f"ipv4/conf/{where}/rp_filter") or 0 for where in ("all", name)]
        if max(filters) == STRICT:
            yield Finding("rp-filter-strict", "", f"rp_filter is 1 on {name}: copies over other paths are dropped")
    elif _number(sysctl / f"ipv6/conf/{name}/disable_ipv6") == 1:
        yield Finding("ipv6-disabled", "", f"net.ipv6.conf.{name}.disable_ipv6 is 1")


def _number(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return None


def _nft() -> str:
    """The rules, as nft(8) writes them with --json; empty if it cannot tell."""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            ["nft", "--json", "list", "ruleset"],  # noqa: S607 — it lies in /usr/sbin or in /sbin
            capture_output=True,
            text=True,
            timeout=NFT_LIMIT,
            check=True,
        ).stdout
    return ""


def drops(ruleset: str) -> Iterator[str]:
    """The rules that drop or reject VRRP, by table and chain (libnftables-json(5))."""
    try:
        document = json.loads(ruleset)
    except (ValueError, RecursionError):
        return
    items = document.get("nftables") if isinstance(document, dict) else None
    for item in items if isinstance(items, list) else ():
        rule = item.get("rule") if isinstance(item, dict) else None
        if isinstance(rule, dict) and isinstance(rule.get("expr"), list) and _drops(rule["expr"]):
            yield f"table {rule.get('family')} {rule.get('table')}, chain {rule.get('chain')} drops protocol 112"


def _drops(expressions: list[Any]) -> bool:
    ends = any(isinstance(one, dict) and ("drop" in one or "reject" in one) for one in expressions)
    return ends and any(
        isinstance(one, dict) and isinstance(one.get("match"), dict) and _is_vrrp(one["match"]) for one in expressions
    )


def _is_vrrp(match: dict[str, Any]) -> bool:
    right = match.get("right")
    values = right.get("set") if isinstance(right, dict) else [right]
    some = values if isinstance(values, list) else [values]
    plain = (value for value in some if isinstance(value, str | int))
    return match.get("op") in {"==", "in"} and any(value in {"vrrp", 112} for value in plain)


def clock_state() -> int:
    """The state of the kernel's clock, by adjtimex(2); 0 (in order) if it cannot be asked."""
    with suppress(OSError, AttributeError):
        buffer = ctypes.create_string_buffer(512)  # struct timex has 208 bytes; modes = 0 only reads
        return int(ctypes.CDLL(None, use_errno=True).adjtimex(buffer))
    return 0
