"""The one error that is the user's to mend, and how what is said becomes a line."""


class UserError(Exception):
    """The user's input is wrong. The message is one line: what is wrong, where, and what to set instead.

    A step or command that meets it prints that line alone and exits with code 2; nothing is retried.
    """


def one_line(said: object) -> str:
    """What is said, such as an error, in one line."""
    return " ".join(str(said).split())
