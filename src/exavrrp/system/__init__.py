"""Everything that touches the operating system; its rooms do not import each other."""
