"""A routed data centre in network namespaces: real ExaBGP, BIRD or FRR, the agent, and a client that counts what it
loses.

Start it with `lab/demo`, which installs what is missing and runs `python -m lab`. Read the files in this order:

    addressing.py   who has which address and AS number (pure)
    topology.py     namespaces, links, kernel settings; what a killed run left behind
    processes.py    the programs that run in the namespaces, and end with the lab at the latest
    routers.py      BIRD, FRR and GoBGP: their configuration from the same plan
    gobgp.py        the third of them: its configuration, and what it answers (pure)
    servers.py      a server: ExaBGP, the agent as its process, a UDP echo service; how it loses power
    instruments/    the programs that measure; stand-alone, because they run inside the namespaces
    facts.py        the output of the instruments and the agents' logs, parsed (pure)
    observers.py    starts the instruments and reads their output
    datacentre.py   all of the above together; waits until it is up
    scenarios.py    the events, and their expected outcome
    scenarios_fabric.py    further ones: silent failures, all uplinks cut, two Actives
    scenarios_service.py   further ones: maintenance, failed services, crashes and restarts
    scenarios_sessions.py  one BGP session per uplink for both families
    scenarios_vxlan.py  the election in a VXLAN over both uplinks
    chaos/          random faults over three nodes that all serve, and a judge
    bench/          beside what people run today: what users lose, and what many virtual routers cost (lab/bench/run)
    timeline.py     from facts to phases, outage and transitions (pure)
    run.py          one scenario from start to end, repeated on request
    report.py       the timeline for people, the document for programs (pure)
    svg.py          the timeline as a picture (pure)
    privileges.py   root, or a user namespace
    __main__.py     the command line

The lab knows the agent only from outside: its configuration file and the JSON lines of its log.
"""
