"""ExaBGP's API on stdin and stdout, and ExaBGP as a process.

``speaker`` decides what is sent and what an answer means, ``pump`` when; ``pipes`` owns the two descriptors.
``deaf`` replaces it when ExaBGP does not read our commands any more. Other packages use only the exported names.
"""

from exavrrp.system.exabgp.deaf import Deaf, Parent
from exavrrp.system.exabgp.pipes import ExaBGP

__all__ = ["Deaf", "ExaBGP", "Parent"]
