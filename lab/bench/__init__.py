"""The benchmark: the cost of many virtual routers, exavrrp and keepalived side by side in one run.

Start it with `lab/bench/run scale`, which installs what is missing and runs `python -m lab.bench scale`. The machines
are the lab's: one server with the agent that is measured, two peers, two paths. So that each agent has the machine for
itself, the peers are stand-ins: they only send and receive adverts. Read the files in this order:

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

The bench knows the agents from outside: configuration files, logs, packets, addresses, routes.
"""
