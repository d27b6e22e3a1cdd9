"""Errors that a user can fix."""


class UserError(Exception):
  """A request of the user is impossible; the text is one sentence that says what to do."""


class StorageError(UserError):
  """A run cannot be saved, so that writers in the background will fail, too."""


class DivergedError(UserError):
  """All runs diverged.

  Attributes:
    exit_status: The exit status of the process; the command itself was right.
  """

  exit_status = 1
