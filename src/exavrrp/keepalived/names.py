"""Names of keepalived.conf → names of exavrrp.toml, which are of a-z, 0-9, _, - and ."""

import re
from dataclasses import dataclass, field

LONGEST = 56
"""Characters, of 64: a family or a number may be appended."""


@dataclass(slots=True)
class Names:
    """Those of one kind of table; no two are the same."""

    taken: set[str] = field(default_factory=set)

    def new(self, name: str) -> str:
        """A name as similar to ``name`` as may be."""
        base = re.sub(r"[^a-z0-9_.-]", "-", name.lower()).lstrip("_.-")[:LONGEST] or "x"
        found, number = base, 1
        while found in self.taken:
            number += 1
            found = f"{base}-{number}"
        self.taken.add(found)
        return found
