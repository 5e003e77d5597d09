"""BGP sessions that carry more than their own family, and several to one address.

Where each server has one session per uplink, both families go over it. Judged by the routers' kernel tables, not by the
agents' logs: each router must reach the address over its own link to the Active, by the next hop of that session.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from lab.addressing import VIRTUAL_ADDRESS, VIRTUAL_ROUTER, Address, Family, Link
from lab.datacentre import DataCentre
from lab.scenarios import ENOUGH, NODE1, REROUTE_MS, Run, Strike, Unmoved, arm_cut, check_outage, check_quiet, scenario
from lab.servers import ServerPlan
from lab.topology import LabError, link_up

SEEN = 20.0
"Seconds to wait for a router; a session that comes back needs a second or two."


class OneSession(Unmoved):
    """Each uplink is cut in turn, and comes back."""

    causes = ENOUGH
    carrier: ClassVar[Family]
    "of the sessions"
    family: ClassVar[Family]
    "of the address"

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:
        if usual.family != self.family:
            raise LabError(f"{self.name} needs --family {self.family}")
        if usual.site.unnumbered and self.carrier == 4:
            raise LabError(f"{self.name} needs --topology rack or racks: unnumbered links have no IPv4 sessions")
        return replace(super().plan(usual, lab), carrier=self.carrier)

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return (
            "each router has the address by its own link to node1 and the next hop of that link, while the link"
            f" is there; no transition; at most {REROUTE_MS:.0f} ms are lost until the routers know the other way"
        )

    def arm(self, lab: DataCentre) -> Strike:
        links = lab.fabric.site.uplinks(NODE1)
        self._await_tables(lab, links)
        return arm_cut(lab, links[:1], f"{links[0].member_interface} cut")

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        links = lab.fabric.site.uplinks(NODE1)
        for number, link in enumerate(links):
            router = lab.topology[link.router.name]
            if number:
                now = time.time()
                router.ip([f"link set {link.router_interface} down"])
                lab.incident(now, NODE1, f"{link.member_interface} cut")
            self._await_tables(lab, [one for one in links if one != link], [link])
            router.ip(link_up(link, link.router))
            self._await_tables(lab, links)
        super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return check_quiet(runs) + check_outage(runs, REROUTE_MS)

    def _await_tables(self, lab: DataCentre, there: Sequence[Link], gone: Sequence[Link] = ()) -> None:
        """Waits for each router's daemon and kernel.

        A link that returns at once brings a route back to the kernel that the daemon had never lost, and soon will.
        """
        what = "the routers' tables " + ", ".join(f"{one.router.name} {'-+'[one in there]}" for one in (*there, *gone))

        def seen() -> bool:
            tables = lab.tables()
            return all(
                (NODE1.name in tables[one.router.name], leads(lab, one, one.address_of_member(6), self.family))
                == (one in there, one in there)
                for one in (*there, *gone)
            )

        lab.await_seen(what, SEEN, seen)


def leads(lab: DataCentre, link: Link, hop: Address, family: Family = 6) -> bool:
    """Whether the kernel of a link's router routes the virtual address over it, to this address of its member."""
    prefix = f"{VIRTUAL_ADDRESS[family]}"
    table = lab.topology[link.router.name].run("ip", f"-{family}", "-o", "route", "show", prefix)
    return f"via {'' if family == 6 else 'inet6 '}{hop} dev {link.router_interface} " in f"{table} "


@scenario
class BothFamilies(OneSession):
    name = "both-families"
    summary = "one IPv4 session per uplink carries IPv6 too, by next hops of its own; each uplink is cut in turn"
    carrier, family = 4, 6


@scenario
class Extended(OneSession):
    name = "rfc8950"
    summary = "one IPv6 session per uplink carries IPv4 too, by IPv6 next hops (--family 4); each uplink is cut in turn"
    carrier, family = 6, 4


@scenario
class SamePeer(Unmoved):
    """node1 has two sessions to one address of its first router, and no others count; each ends in turn."""

    name = "same-peer"
    causes = ENOUGH
    summary = "of two sessions to one router address, the only ones that count, one ends and returns, then the other"

    def plan(self, usual: ServerPlan, lab: DataCentre) -> ServerPlan:
        if usual.family != 6:
            raise LabError(f"{self.name} needs --family 6: an IPv4 link has no room for a second address")
        return replace(super().plan(usual, lab), site=lab.add_twins())

    def expectation(self, plan: ServerPlan) -> str:  # noqa: ARG002
        return (
            "the router has the address by the next hop of each session that is up, `status` names both ends of it;"
            f" no transition; at most {REROUTE_MS:.0f} ms are lost"
        )

    def arm(self, lab: DataCentre) -> Strike:
        link, (_, second) = self._ends(lab)
        self._await(lab, (link.address_of_member(6), second))

        def strike() -> float:
            now = time.time()
            lab.disable(link, second)
            return lab.incident(now, NODE1, f"its session from {second} ended")

        return strike

    def outcome(self, lab: DataCentre, plan: ServerPlan) -> None:
        link, (first, second) = self._ends(lab)
        self._await(lab, (first,))
        lab.disable(link, second, off=False)
        self._await(lab, (first, second))
        now = time.time()
        lab.disable(link, first)
        lab.incident(now, NODE1, f"its session from {first} ended")
        self._await(lab, (second,))
        lab.disable(link, first, off=False)
        self._await(lab, (first, second))
        super().outcome(lab, plan)

    def judge(self, runs: Sequence[Run], plan: ServerPlan) -> list[str]:  # noqa: ARG002
        return check_quiet(runs) + check_outage(runs, REROUTE_MS)

    def _ends(self, lab: DataCentre) -> tuple[Link, tuple[Address, ...]]:
        link = lab.fabric.site.uplinks(NODE1)[0]
        return link, lab.fabric.site.ends(link, 6)

    def _await(self, lab: DataCentre, up: Sequence[Address]) -> None:
        """Waits until the router's kernel routes to exactly these addresses of node1, and `status` agrees."""
        link, ends = self._ends(lab)
        wanted = {one: one in up for one in ends}
        told = ", ".join(f"from {one}: {'up' if wanted[one] else 'down'}" for one in ends)
        lab.await_seen(
            f"{link.router.name}'s table: {told}", SEEN, lambda: {one: leads(lab, link, one) for one in ends} == wanted
        )
        wished = {str(one): (wanted[one], [VIRTUAL_ROUTER] if wanted[one] else []) for one in ends}
        lab.await_seen(f"status: {told}", SEEN, lambda: self._said(lab, link) == wished)
        lab.say(f"  {link.router.name}'s table and status agree: {link.address_of_router(6)} {told}")

    def _said(self, lab: DataCentre, link: Link) -> dict[str, tuple[bool, list[str]]]:
        """node1's address of each session to the router's → whether it is up, and the virtual routers that it counts
        for.
        """
        sessions = lab.servers[NODE1.name].status()["sessions"]
        there = [one for one in sessions if one["peer"] == str(link.address_of_router(6))]
        return {one["local"]: (one["up"], one["counts_for"]) for one in there}
