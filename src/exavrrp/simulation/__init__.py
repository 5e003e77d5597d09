"""Whole nodes in virtual time: the real ``Node`` on simulated ports.

``world`` owns time and chance, ``network`` the packets between the nodes, ``fabric`` the routers' side of BGP,
``exabgp`` is a model of ExaBGP, with its ``pipes``; ``process`` is one agent (what is real there and what is not, it
says itself), and ``machine`` the host that it runs on, with everything that may befall both. Nothing here touches this
machine. ``tests/simulation`` adds random troubles and promises.
"""
