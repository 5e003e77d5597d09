"""Over which sessions a new Active's route beats that of a node which died with its links up; pure.

Routers keep the route of such a node until the hold time of its session is over. Over iBGP every means of ``takeover``
reaches all routers of the AS but ``"prepend"``: ExaBGP sends the MED and the local preference, and routers compare both
between routes of their own AS. Over eBGP the path does, and ExaBGP sends no local preference; MEDs are compared between
routes of the same AS, and how many of the nodes share one is not known here.
"""

from exavrrp.neighbors import Terms
from exavrrp.takeover import RoutePolicy, Takeover


def limit(policy: RoutePolicy, terms: Terms) -> str | None:
    """What to tell people of a session with these ``terms``; None: a means of takeover reaches all routers behind it.

    Nor is there anything to tell before its hold time is known.
    """
    if terms.hold_time is None:
        return None
    means = policy.takeover
    further = Takeover.LOCAL_PREFERENCE if terms.internal else Takeover.PREPEND
    if further in means or (terms.internal and Takeover.MED in means):
        return None
    until = f"for {terms.hold_time} s, the hold time" if terms.hold_time else "until their sessions are reset"
    written = ", ".join(f'"{one}"' for one in sorted({*means, further}))
    remedy = f"write takeover = [{written}] in the bgp table of the virtual router"
    if Takeover.MED in means:
        return (
            f"takeover by MED over eBGP works between nodes of one AS ({terms.local_as}), or where routers always"
            " compare MEDs; elsewhere routers keep the route of a node that dies with its links up"
            f" {until}: {remedy}, unless all nodes are in one AS"
        )
    kind = "iBGP" if terms.internal else "eBGP"
    return (
        f"no means of takeover over {kind}: routers keep the route of a node that dies with its links up {until},"
        f" and may prefer it to that of its successor: {remedy}"
    )
