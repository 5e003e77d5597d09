"""keepalived.conf → exavrrp.toml, ExaBGP's part, and a report in which each directive stands once; pure.

``lexing`` makes words of lines, and ``reading`` blocks of directives: comments, conditions, definitions and includes
are done there. ``ledger`` keeps what has become of each directive; ``checks`` translates what is tracked,
``addresses``, ``authentications`` and ``instances`` virtual routers, ``translating`` a whole file. ``exabgp`` writes
ExaBGP's part, and ``report`` the report. What a keyword is here that is not translated stands in ``config.foreign``
(``nearest``). The caller reads the files: ``reading.read`` asks it for them.

Not all of how keepalived reads its file is in keepalived.conf(5). What a comment calls measured was tried with 2.2.7.
"""
