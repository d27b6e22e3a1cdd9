"""Errors that a user can mend."""


class UserError(Exception):
  """Something the user asked for cannot be done; its text is one sentence that says what to do."""


class StorageError(UserError):
  """A run cannot be saved, and whatever still writes in the background will fail too."""


class DivergedError(UserError):
  """Everything that was to be trained diverged.

  Attributes:
    exit_status: What the process returns; nothing was wrong with the command itself.
  """

  exit_status = 1
