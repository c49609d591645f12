"""What goes wrong through no fault of the program, said to the person who can mend it."""


class UserError(Exception):
    """Bad input: one clear message (key, law, value, cure), exit code 2, nothing left behind."""
