"""The metrics of a node, for Prometheus, and a page for people: what ``exavrrp exporter`` serves or writes.

A process of its own, which asks the agent over its control socket and prints the ``View`` that it answers; the page has
the words of ``exavrrp status`` (``cli.page``). The agent imports nothing of this package, nor of prometheus_client.
That library writes the two exposition formats (escaping, the names of counters, what a scraper accepts), for which this
project does not exist; the standard library's http.server is enough for a few requests a minute, and what parses them
is not ours.
"""
