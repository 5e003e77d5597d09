"""What a node does for the requests of the control socket (``control.Service``): drains, and its ``View``; pure."""

from collections.abc import Callable, Collection, Mapping

from exavrrp import ports
from exavrrp.elections import Elections
from exavrrp.view import Outcome, View
from exavrrp.virtual_router import VirtualRouter


class Commands:
    """Carries the requests out; what needs a file or the operating system is ``agent.py``'s."""

    def __init__(
        self,
        routers: Mapping[str, VirtualRouter],
        elections: Elections,
        *,
        view: Callable[[], View],
        handle: Callable[[ports.DrainAsked], None],
        events: Callable[[int], tuple[int, list[bytes]]],
    ) -> None:
        """``routers``: by name, in the order of the configuration; ``handle`` takes an event of the node; ``events``:
        ``Chronicle.after``."""
        self.events = events
        self._routers = routers
        self._elections = elections
        self._view = view
        self._handle = handle

    def names(self) -> list[str]:
        """Of the virtual routers, in the order of the configuration."""
        return list(self._routers)

    def groups(self) -> dict[str, str | None]:
        """The group of each virtual router."""
        return {name: router.configuration.group for name, router in self._routers.items()}

    def drain(self, name: str) -> None:
        """Have a router leave the election and stay out."""
        self._handle(ports.DrainAsked(name))

    def undrain(self, name: str) -> None:
        """Have a router take part again."""
        self._handle(ports.DrainAsked(name, undo=True))

    def together(self, names: Collection[str]) -> tuple[str, ...]:
        """These routers and those that move with them, in the order of the configuration."""
        moving = {router.name for name in names for router in self._elections.team_of[name].routers}
        return tuple(name for name in self._routers if name in moving)

    def outcome(self, name: str) -> Outcome:
        """How far a drain is."""
        return self._routers[name].drain.outcome

    def view(self) -> View:
        """Everything as it is now."""
        return self._view()
