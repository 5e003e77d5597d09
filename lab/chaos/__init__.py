"""Chaos: a random sequence of faults on three nodes that all serve, and a judge that wants each lost probe explained.

`lab/demo chaos` is the way in. The scenarios of the lab ask what one fault costs; this asks what all of them cost, one
after the other and in pairs, for as long as there is time. Read the files in this order:

    service.py     the virtual addresses, their nodes by priority, the agents' configuration (pure)
    faults.py      the kinds of fault, what each may cost and why, the sequence that a seed stands for (pure)
    records.py     what was recorded, as values (pure)
    arena.py       the data centre: started, supervised as systemd does, watched, waited for
    hands.py       carries the faults out, and heals them
    census.py      what is there: addresses, routes, sockets, processes, files, memory; and what should be
    causes.py      which causes, as the agents note them, fit what was done (pure)
    judge.py       explains each gap, or does not (pure)
    report.py      the result for people, and for programs (pure)
    run.py         from the empty data centre to the verdict; the command line

Faults come in episodes: one fault, or two that overlap (the report says so). Then everything is healed, and all has to
converge before the next episode. So the effect of an earlier fault is never taken for that of a later one. The seed
gives the faults, their order and their lengths; when each one comes depends on how long convergence took.
"""
