"""Values as TOML has them; pure."""


def quoted(text: str) -> str:
    """``text`` as a TOML basic string, everything not printable escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else f"\\U{ord(letter):08X}" for letter in escaped) + '"'


def toml(value: object) -> str:
    """``value`` as TOML has it, in one line."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple() | list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{ {', '.join(f'{quoted(name)} = {toml(element)}' for name, element in value.items())} }}"
        case _:
            return quoted(str(value))
