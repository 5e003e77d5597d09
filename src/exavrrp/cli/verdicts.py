"""The verdict on a transition, and what was not the reason, in sentences.

Both were decided when it happened (``causes``).
"""

from collections.abc import Iterator

from exavrrp.chronicle import Cause, Entry, Facts, Verdict
from exavrrp.cli.style import milliseconds


def verdict(cause: Cause, transition: Entry) -> str:
    """What it comes from, in a sentence."""
    return _VERDICTS[cause.verdict].format(
        peer=cause.peer or "nobody",
        detail=transition.fields.get("detail") or "",
        paths=", ".join(path.interface for path in cause.paths) or "none is known",
        total=cause.sum,
        ours=cause.ours,
        theirs=cause.theirs,
        waited=milliseconds(cause.waited or 0.0),
    )


_VERDICTS = {
    Verdict.SILENT_AT_ONCE: "{peer} fell silent on every path at once: the node, its agent or its rack, not one link.",
    Verdict.SILENT_IN_TURN: "{peer} fell silent on one path after the other ({paths}): links or routers, or the node"
    " after a link.",
    Verdict.SILENT_ON_ONLY_PATH: "{peer} fell silent on {paths}, the only path: the node or that link.",
    Verdict.NOBODY: "no advert of any Active has come since this node takes part.",
    Verdict.RESIGNED: "{peer} has resigned (priority 0): it was stopped or drained, or cannot serve; see why there.",
    Verdict.WEAKER: "the Active says less than we: {peer} says {theirs}, we {ours}.",
    Verdict.BETTER: "{peer} says {theirs}, which is more than our {ours}, or the same from a higher address.",
    Verdict.WEAKENED: "our priority was lowered: {total}.",
    Verdict.CONTRADICTORY: "adverts in the name of {peer} contradict each other: somebody forges them (authentication"
    " prevents that), two machines have its address, or a check there changes its priority all the time.",
    Verdict.STALLED: "this agent stood still for {waited} (it was stopped, got no CPU, or its host was suspended):"
    " another node may have taken over.",
    Verdict.DRAINED: "it was drained by an operator.",
    Verdict.STOPPED: "the agent was stopped: {detail}.",
    Verdict.WAITING: "something has to be known first: {detail}.",
    Verdict.CHECK: "a check failed: {detail}.",
    Verdict.SESSIONS: "too few BGP sessions: {detail}.",
    Verdict.EXABGP: "ExaBGP does not answer (it is stopped, or hangs): nothing can be announced, and no BGP session"
    " counts.",
    Verdict.ANNOUNCEMENT: "ExaBGP does not accept the announcement: {detail}.",
    Verdict.BIND: "the addresses cannot be bound: {detail}.",
    Verdict.ADVERTS: "no advert leaves this node, or its source is gone: {detail}.",
    Verdict.GROUP: "it moves with another router of its group: {detail}.",
    Verdict.READY: "nothing keeps it out of the election any more.",
    Verdict.RESUMED: "this agent was Active before its restart, and no other node has taken over.",
    Verdict.OWNER: "it is the owner of the addresses (priority 255).",
}

_NOT_CHECKS = {Verdict.CHECK, Verdict.WEAKENED, Verdict.GROUP}
_NOT_BGP = {Verdict.SESSIONS, Verdict.EXABGP, Verdict.ANNOUNCEMENT, Verdict.GROUP}


def innocent(cause: Cause) -> Iterator[str]:
    """What was as it should be at that moment."""
    facts: Facts = cause.facts
    if not facts.failing and cause.verdict not in _NOT_CHECKS:
        yield f"checks ({facts.checks} ok)" if facts.checks else "checks (none)"
    if facts.up is not None and facts.up >= facts.sessions and facts.up and cause.verdict not in _NOT_BGP:
        yield f"BGP ({facts.up} of {facts.sessions} up)"
    if not facts.drained:
        yield "drain (none)"
    if facts.skew is not None:
        yield f"clock ({facts.skew:+g} s)"
    if facts.late is not None and cause.verdict is not Verdict.STALLED:
        yield f"this machine (at most {milliseconds(max(facts.late, 0.0))} late)"
