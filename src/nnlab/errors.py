"""What goes wrong through no fault of the program, said to the person who can mend it."""

from collections.abc import Mapping


class UserError(Exception):
    """Bad input: one clear message (key, law, value, cure), exit code 2, nothing left behind."""


class RestartError(UserError):
    """The environment in which this process began has decided what a config decides otherwise.

    The command line executes itself anew in `environment`; for anyone else it is an error.
    """

    def __init__(self, message: str, environment: Mapping[str, str]) -> None:
        super().__init__(message)
        self.environment = environment


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
