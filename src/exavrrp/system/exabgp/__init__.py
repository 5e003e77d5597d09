"""ExaBGP's API on stdin and stdout, and ExaBGP as a process: what touches the operating system.

``speaker`` decides what is sent and what an answer means, ``pump`` when; ``pipes`` owns the two descriptors.
``deaf`` stands in its place when ExaBGP listens to us no longer. Everybody else needs only what is named here.
"""

from exavrrp.system.exabgp.deaf import Deaf, Parent
from exavrrp.system.exabgp.pipes import ExaBGP

__all__ = ["Deaf", "ExaBGP", "Parent"]
