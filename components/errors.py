"""Errors by whose fault they are, with the exit code of each."""


class UserError(Exception):
    """The user must fix something; the message names the file, field or flag."""

    exit_code = 1


class UnavailableError(Exception):
    """A server, the cluster or the network failed; the same command may succeed later."""

    exit_code = 4
