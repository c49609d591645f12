"""Texts of others on a terminal: what would move its cursor or turn its writing is spelled out."""

LINES = "\n\t"
"""What the lines of a text may have between them."""


def escaped(text: str, kept: str = "") -> str:
    """The text with every character that cannot be seen, but those that are `kept`, as Python
    writes it: control characters, changes of direction, half characters.

    >>> escaped("\\x1b[31mred\\u202e!\\n")
    '\\\\x1b[31mred\\\\u202e!\\\\n'
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in kept else one.encode("unicode_escape").decode()
        for one in text
    )
