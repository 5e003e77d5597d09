"""Everything that touches the operating system. The layers of its modules are in pyproject.toml."""
