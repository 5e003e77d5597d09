"""The state of a node that was told to end alone, for the caretaker that goes on in its memory; pure.

``Bequest`` has what ExaBGP was sent until then, and the states of checks and sessions. Together with later decisions it
says what a caretaker may keep announced: a caretaker cannot announce anything, and can withdraw only by ending ExaBGP.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exavrrp.health import Health
from exavrrp.instance import Instance
from exavrrp.routes import Level
from exavrrp.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Bequest:
    """The state of a node that was told to end alone, for the caretaker."""

    levels: Mapping[str, Level | None]
    """by the name of the router: how ExaBGP announces its addresses"""
    doubtful: frozenset[str]
    """routers of which ExaBGP had not confirmed that"""
    announced: frozenset[str]
    """routers whose addresses ExaBGP announces, or may announce"""
    accepted: frozenset[str]
    """those of them whose addresses it certainly announces, in that form or in an earlier one"""
    without_bgp: frozenset[str]
    """routers in whose election BGP has no say (``min_sessions = 0``)"""
    health: Health
    sessions: Sessions
    version: str | None
    """ExaBGP's; None: it has not said yet"""

    def takes_part(self, team: Iterable[str]) -> bool:
        """Whether these routers, which move together, may go on in the election.

        Each has to be announced for certain: other nodes withdraw for an Active of which nobody may know. Where BGP has
        no say in the election, one may also be certain not to be, although it was to be.
        """
        without = self.without_bgp - self.announced
        return all(name in self.accepted or (name in without and self.levels[name] is not None) for name in team)

    def given_up(self, name: str, instance: Instance) -> str | None:
        """Why what ExaBGP announces for a router, which is decided by ``instance``, must not stay; None if it may.

        Or if there is nothing: a router that could not be announced has nothing to withdraw.
        """
        match instance.presence.level:
            case _ if name not in self.announced:
                return None
            case _ if name not in self.accepted:
                why = "may be announced or not"
            case None:
                why = "is not to be announced any more"
            case Level.STANDBY if self.levels[name] is not Level.STANDBY or name in self.doubtful:
                why = "is to be announced as a second choice"
            case Level.LEAVING if instance.presence.has_successor:
                why = "is served by another node"
            case _:
                return None
        return f"{name} {why}, and only the end of ExaBGP can withdraw it"
