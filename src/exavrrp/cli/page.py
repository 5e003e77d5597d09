"""The page for whoever has a browser only: what ``exavrrp status`` says, as HTML without scripts.

It reloads itself, fits a phone, and follows the browser's choice of light or dark.
"""

from collections.abc import Iterable
from html import escape

from exavrrp.cli.details import facts
from exavrrp.cli.overview import about_agent, about_speaker, state
from exavrrp.control import StatusAnswer
from exavrrp.findings import findings
from exavrrp.view import RouterView

RELOAD = 5
"""Seconds between two loads of the page."""

STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1b1f24; --dim: #5b6672; --line: #d9dee4;
  --active: #1a7f37; --backup: #0b62b5; --waiting: #8a6100; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171a; --card: #1d2226; --text: #e4e8ec; --dim: #9aa5b1; --line: #353c44;
    --active: #56c271; --backup: #6cb2f5; --waiting: #e0b04a; --bad: #ff8a80; } }
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
article { --tone: var(--waiting); } .ACTIVE { --tone: var(--active); } .BACKUP { --tone: var(--backup); }
.FAULT { --tone: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: 0; } dd { margin: 0; }
ul { margin: .25rem 0; padding-left: 1.2rem; }
"""


def document(host: str, answer: StatusAnswer | None, problem: str = "") -> str:
    """The whole page; ``host``: the name of this machine; ``problem``: why there is no answer."""
    title = f"exavrrp on {escape(host)}"
    body = f'<p class="bad">Nothing is known: {escape(problem)}</p>' if answer is None else _answered(answer)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="refresh" content="{RELOAD}">\n<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{title}</h1>\n{body}\n<p class="dim"><a href="metrics">Metrics</a> for Prometheus</p>\n</body>\n</html>\n'
    )


def _answered(answer: StatusAnswer) -> str:
    now = f"as of {answer.time:%Y-%m-%d %H:%M:%S} UTC"
    lines = ["; ".join(about_agent(answer)), "; ".join(about_speaker(answer)), now]
    problems = _each("li", map(str, findings(answer)))
    cards = "".join(_card(answer, router) for router in answer.routers)
    return (
        f'<div class="dim">{_each("p", lines)}</div>\n'
        + (f'<h2>Open problems</h2>\n<ul class="bad">{problems}</ul>\n' if problems else "")
        + f'<h2>Virtual routers</h2>\n<div class="cards">\n{cards}</div>'
    )


def _card(answer: StatusAnswer, router: RouterView) -> str:
    family = "" if router.family is None else f" IPv{router.family}"
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts(answer, router))
    word = state(router)
    return (
        f'<article class="{word}"><h3>{escape(router.name)}<span>{word}</span></h3>'
        f'<p class="dim">VRID {router.vrid}{family}</p><dl>{listed}</dl></article>\n'
    )


def _each(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)
