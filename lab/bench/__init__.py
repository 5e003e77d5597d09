"""The benchmarks: exavrrp and what people run today, side by side in one run.

`lab/bench/run race`, which installs what is missing and runs `python -m lab.bench race`, is what users lose when
something breaks: the lab's whole data centre, with one of four tools on its servers. Read the files in this order:

    tools.py         the tools: how each is set up, and what an operator does with it
    glue.py          between keepalived and ExaBGP; runs inside the namespaces
    events.py        what happens to the data centre
    race.py          which event happens to which tool when, and what is measured
    race_report.py   the table, the document (pure)
    race_svg.py      the picture (pure)

`lab/bench/run scale` is the cost of many virtual routers. The machines are the lab's: one server with the agent that is
measured, two peers, two paths. So that each agent has the machine for itself, the peers are stand-ins: they only send
and receive adverts. Read the files in this order:

    plan.py        the virtual routers, both agents' configurations, what a stand-in sends (pure)
    readings.py    from /proc, captures and monitors to figures (pure)
    standin.py     a peer that discards adverts, and sends some of its own; runs inside the namespaces
    capture.py     writes down when each advert arrived; runs inside the namespaces
    prober.py      pings each virtual address until it answers; runs inside the namespaces
    arena.py       the namespaces, BIRD and the instruments, for one measurement
    agents.py      exavrrp under ExaBGP, keepalived: started, followed in their logs, measured
    profiling.py   where an agent spends its time, as text
    scale.py       what is measured, in which order
    report.py      the tables, the document (pure)
    __main__.py    the command line

The bench knows the agents from outside: configuration files, logs, packets, addresses, routes; a race reads no log.
"""
