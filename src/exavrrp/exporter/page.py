"""The page for whoever has a browser only: what ``exavrrp status`` says, as HTML without scripts; pure.

It reloads itself, fits a phone, and follows the browser's choice of light or dark.
"""

from collections.abc import Iterable
from datetime import timedelta
from html import escape

from exavrrp.control import StatusAnswer
from exavrrp.exporter.asking import Known
from exavrrp.view import Moment, Outcome, RouterView, SessionView

RELOAD = 5
"""Seconds between two loads of the page."""

STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1b1f24; --dim: #5b6672; --line: #d9dee4;
  --active: #1a7f37; --backup: #0b62b5; --initialize: #8a6100; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171a; --card: #1d2226; --text: #e4e8ec; --dim: #9aa5b1; --line: #353c44;
    --active: #56c271; --backup: #6cb2f5; --initialize: #e0b04a; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
p { margin: .25rem 0; } .dim, dt, th { color: var(--dim); } .bad { color: var(--bad); }
.cards { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
article { background: var(--card); border: 1px solid var(--line); border-left: .4rem solid var(--tone);
  border-radius: .4rem; padding: .6rem .8rem; }
article h3 { display: flex; justify-content: space-between; gap: 1rem; font-size: 1rem; margin: 0 0 .3rem; }
h3 span { color: var(--tone); }
.active { --tone: var(--active); } .backup { --tone: var(--backup); } .initialize { --tone: var(--initialize); }
.fault { --tone: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: 0; } dd { margin: 0; }
ul { margin: .25rem 0; padding-left: 1.2rem; }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line); }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: normal; }
"""


def document(known: Known, host: str) -> str:
    """The whole page; ``host``: the name of this machine."""
    body = _unanswered(known.problem) if known.answer is None else _answered(known.answer)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="refresh" content="{RELOAD}">\n'
        f"<title>exavrrp on {escape(host)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>exavrrp on {escape(host)}</h1>\n{body}\n"
        '<p class="dim"><a href="metrics">Metrics</a> for Prometheus</p>\n</body>\n</html>\n'
    )


def _unanswered(problem: str) -> str:
    return f'<p class="bad">No state is known: {escape(problem)}</p>'


def _answered(answer: StatusAnswer) -> str:
    parts = [_header(answer)]
    if problems := _problems(answer):
        parts.append(f'<h2>Open problems</h2>\n<ul class="bad">{_each("li", problems)}</ul>')
    cards = "".join(_card(one, answer.now) for one in answer.routers)
    parts.append(f'<h2>Virtual routers</h2>\n<div class="cards">\n{cards}</div>')
    if answer.sessions:
        rows = ((one.peer, one.local or "?", _session(one, answer.now)) for one in answer.sessions)
        parts.append(f"<h2>BGP sessions</h2>\n{_table(('neighbor', 'our end', 'state'), rows)}")
    if answer.checks:
        rows = ((one.name, one.verdict, one.detail) for one in answer.checks)
        parts.append(f"<h2>Checks</h2>\n{_table(('check', 'verdict', 'last result'), rows)}")
    return "\n".join(parts)


def _header(answer: StatusAnswer) -> str:
    up = sum(bool(one.up) for one in answer.sessions)
    uptime = _since(", up ", answer.began, answer.now)
    lines = [
        f"exavrrp {answer.release}{uptime}; as of {answer.time:%Y-%m-%d %H:%M:%S} UTC",
        f"{_exabgp(answer)}; {up} of {len(answer.sessions)} sessions up",
    ]
    if answer.lateness is not None and answer.lateness.maximum is not None:
        lines.append(f"event loop at most {answer.lateness.maximum * 1000:.0f} ms late in the last hour")
    return _each("p", lines, ' class="dim"')


def _exabgp(answer: StatusAnswer) -> str:
    if answer.exabgp is None:
        return "ExaBGP unknown"
    version = answer.exabgp.version or "of unknown version"
    return f"ExaBGP {version} {'answers' if answer.exabgp.answers else 'does not answer'}"


def _problems(answer: StatusAnswer) -> list[str]:
    found = []
    for one in answer.routers:
        found += [f"{one.name}: {text}" for text in (*one.faults, *one.holds, *one.remarks)]
        if one.outcome is not Outcome.SERVING:
            found.append(f"{one.name}: {one.outcome}")
    return found


def _card(one: RouterView, now: Moment | None) -> str:
    state = "fault" if one.faults else one.role
    active = "here" if one.active == one.source else one.active or "unknown"
    bound = [address.address for address in one.on_lo if address.present]
    rows = {
        "since": _since("", one.since, now),
        "priority": one.explanation,
        "Active": active,
        "on lo": ", ".join(bound) or "no",
        "BGP": one.level or "not announced",
        "last change": _last(one),
        "adverts": "; ".join(_heard(one)),
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows.items() if text)
    vrid = f"VRID {one.vrid} IPv{one.family}" if one.family else f"VRID {one.vrid}"
    return (
        f'<article class="{escape(state)}"><h3>{escape(one.name)} <span>{escape(state.upper())}</span></h3>'
        f'<p class="dim">{vrid}</p><dl>{listed}</dl></article>\n'
    )


def _last(one: RouterView) -> str:
    if not one.last:
        return ""
    last = one.last[0]
    return f"{last.at.time:%Y-%m-%d %H:%M:%S}, {last.before} to {last.after}: {last.reason}"


def _heard(one: RouterView) -> Iterable[str]:
    """The paths on which adverts of the Active arrive; an Active hears nobody, as Backups are silent."""
    for peer in one.peers:
        for path in peer.paths if peer.active else ():
            heard = "nothing yet" if path.age is None else f"{path.age:.1f} s ago"
            yield f"{path.interface} {heard}{' (quiet)' if path.quiet else ''}"


def _session(one: SessionView, now: Moment | None) -> str:
    state = {True: "up", False: "down", None: "not known"}[one.up]
    counts = f", counts for {', '.join(one.counts_for)}" if one.up and one.counts_for else ""
    return f"{state}{_since(' for ', one.since, now)}{counts}"


def _since(text: str, moment: Moment | None, now: Moment | None) -> str:
    """How long it is since that moment, after ``text``; empty if an older agent did not say."""
    if moment is None or now is None:
        return ""
    return f"{text}{timedelta(seconds=int(now.monotonic - moment.monotonic))}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = "".join(f"<tr>{_each('td', row)}</tr>\n" for row in rows)
    return f"<table>\n<tr>{_each('th', head)}</tr>\n{lines}</table>"


def _each(tag: str, texts: Iterable[str], attributes: str = "") -> str:
    return "".join(f"<{tag}{attributes}>{escape(text)}</{tag}>" for text in texts)
