"""The errors that are told in one line, and the conversion of messages to one line."""


class UserError(Exception):
    """The user's input is wrong. The message is one line: what is wrong, where, and what to set instead.

    A step or command that meets it prints that line alone and exits with code 2; nothing is retried.
    """


class TryAgain(Exception):
    """Something outside fails that may work again later, such as a server. The message is one line.

    A step that meets it prints that line alone and exits with a code that may be retried.
    """


class Pending(Exception):
    """The run waits for something from outside. The message is one line: what for, and how the run goes on.

    A step that meets it prints that line and exits with code 3, which ends the run; nothing is retried.
    """


def one_line(said: object) -> str:
    """A message, such as that of an exception, in one line."""
    return " ".join(str(said).split())
