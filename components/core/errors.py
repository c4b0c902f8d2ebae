"""The one error that is the user's to mend."""


class UserError(Exception):
    """The user's input is wrong. The message is one line: what is wrong, where, and what to set instead.

    A step or command that meets it prints that line alone and exits with code 2; nothing is retried.
    """
