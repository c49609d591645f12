"""What goes wrong through no fault of the program, said to the person who can mend it."""


class UserError(Exception):
    """Bad input: one clear message (key, law, value, cure), exit code 2, nothing left behind."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
