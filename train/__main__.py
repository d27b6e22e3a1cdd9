"""Re-run the experiments of the LCAM paper, or your own problem, and see whether LCAM helps."""

import contextlib
import functools
import os
import signal
import sys
import traceback

from train.command.arguments import read_command
from train.command.commands import COMMANDS, Quickstart, execute
from train.command.output import GuardedOutput, KeptStream, Output, OutputError
from train.problem.own_code import own_errors_explained
from train.system import processes
from train.system.environment import check_xla_flags, settle_jax
from train.system.errors import StorageError, UserError
from train.system.signals import let_ctrl_c_kill, resend_swallowed_signal
from train.system.surroundings import check_working_directory, occupy_standard_files


def main() -> None:
  """Reads the command line and executes it.

  Prints an error that the user can fix as one sentence on stderr, with exit status 2, or 1 if all
  runs of a comparison diverged. A signal that stopped a run gives 128 + its number.
  """
  occupy_standard_files()
  stdout, stderr = GuardedOutput(sys.stdout), KeptStream(sys.stderr)
  complain = functools.partial(_complain, stdout, stderr)
  try:
    with (
      contextlib.redirect_stdout(stdout),
      contextlib.redirect_stderr(stderr),
      own_errors_explained(),
    ):
      check_working_directory()
      try:
        command = read_command(sys.argv[1:], COMMANDS, Quickstart(), __doc__ or '')
      except SystemExit:  # the help was printed
        stdout.flush()
        raise
      check_xla_flags()
      settle_jax()
      execute(command, Output(stdout))
      stdout.flush()
  except BrokenPipeError:  # of the help, which is printed without the console
    Output(stdout).on_broken_pipe()
  except UserError as error:
    complain(error)
    status = getattr(error, 'exit_status', 2)
    processes.leave(str(error), status)
    if isinstance(error, StorageError | OutputError):
      # A usual exit would wait for the writers in the background, which may hang or add tracebacks.
      os._exit(status)
    sys.exit(status)
  except KeyboardInterrupt as error:
    complain('Stopped at once; what was saved before is kept.')
    status = getattr(error, 'exit_status', 130)
    processes.leave('it was stopped at once', status)
    sys.exit(status)
  except Exception:
    if processes.together():
      complain(traceback.format_exc())
      processes.leave('of an unexpected error, which it has printed', 1)
    raise


def _complain(stdout: KeptStream, stderr: KeptStream, sentence: object) -> None:
  """Prints a sentence on standard error after all output, if they can be written."""
  with contextlib.suppress(OSError, ValueError, OutputError):
    stdout.flush()
  with contextlib.suppress(OSError, ValueError):
    print(sentence, file=stderr, flush=True)


def program() -> None:
  """Runs the command of this process, and ends with it."""
  sys.unraisablehook = resend_swallowed_signal
  os.environ['MPLBACKEND'] = 'agg'  # a notebook's has no use here
  try:
    let_ctrl_c_kill(False)
    main()
  except KeyboardInterrupt:  # another one, while the first was reported
    sys.exit(128 + signal.SIGINT)
  finally:
    let_ctrl_c_kill(True)


if __name__ == '__main__':
  program()
