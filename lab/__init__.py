"""A routed data centre in network namespaces: real ExaBGP, BIRD or FRR, the agent, and a client that counts what it
loses.

`lab/demo` is the way in (it installs what is missing, then runs `python -m lab`). Read the files in this order:

    addressing.py   who has which address and AS number (pure)
    topology.py     namespaces, links, kernel settings; what a killed run left behind
    processes.py    the programs that run in the namespaces: started, ended, never outliving the lab
    routers.py      BIRD and FRR: their configuration from the same plan
    servers.py      a server: ExaBGP, the agent as its process, a UDP echo service; how it loses power
    instruments/    the programs that measure; stand-alone, because they run inside the namespaces
    facts.py        what they and the agents' logs say, as values (pure)
    observers.py    starts the instruments and follows what they write
    datacentre.py   all of the above put together and waited for
    scenarios.py    what is done to it, and what must come of that
    scenarios_fabric.py    further ones: mute nodes, all uplinks cut, two Actives
    scenarios_service.py   further ones: maintenance, sick services, crashes and restarts
    chaos/          all of it at random, over three nodes that all serve, and a judge
    timeline.py     from facts to phases, outage and transitions (pure)
    run.py          a scenario from beginning to end, as often as asked for
    report.py       the timeline for people, the document for programs (pure)
    svg.py          the timeline as a picture (pure)
    privileges.py   root, or a user namespace
    __main__.py     the command line

The lab knows the agent only from outside: its configuration file and the JSON lines of its log.
"""
