"""All kinds of attack, and how often each is made."""

import importlib.util
import random
from collections.abc import Callable

from tests.attack import (
  changed_code,
  cluster,
  command_lines,
  damage,
  disks,
  environments,
  files,
  numbers,
  programs,
  rude_problem,
  several,
  stops,
)
from tests.attack.world import World

Attack = Callable[[World, random.Random], None]

# Those that cost more time are rarer.
_SHARES: dict[Attack, int] = {
  stops.kill: 14,
  stops.kill_at_save: 14,
  stops.signals: 12,
  stops.closed_output: 3,
  damage.damage: 60,
  damage.remove_during_a_run: 10,
  command_lines.command_line: 40,
  files.bad_problem: 25,
  files.bad_weights: 6,
  files.bad_cache: 8,
  programs.kept_programs: 6,
  several.two_writers: 8,
  several.jobs: 3,
  several.together: 1,
  changed_code.changed_code: 10,
  environments.other_environment: 12,
  rude_problem.rude_problem: 25,
  numbers.numbers: 25,
}
# Those that need Ray, and much time.
_WITH_RAY: dict[Attack, int] = {cluster.cluster: 1}
_ON_DISKS: dict[Attack, int] = {
  disks.full_disk: 10,
  disks.disk_that_fills: 6,
  disks.read_only_disk: 4,
  disks.disk_of_programs: 2,
}
# Of runs that are trained alone, and of runs that are trained at once.
_OF_BOTH = (stops.kill, stops.kill_at_save, stops.signals, damage.damage, several.two_writers)
_ALL = _SHARES | _WITH_RAY | _ON_DISKS
KINDS = {attack.__name__: attack for attack in _ALL}


def kind_of(seed: int, number: int, kinds: tuple[str, ...]) -> str:
  """Returns the kind of the attack of a number.

  Args:
    seed: That of the program.
    number: The number.
    kinds: Those that are made at all.
  """
  shares = {attack.__name__: share for attack, share in _ALL.items() if attack.__name__ in kinds}
  (kind,) = random.Random(f'{seed} {number}').choices(list(shares), list(shares.values()))
  return kind


def possible_kinds() -> tuple[str, ...]:
  """Returns the names of the kinds that can be made here."""
  impossible: set[Attack] = set()
  if not disks.can_mount():
    impossible |= _ON_DISKS.keys()
  if importlib.util.find_spec('ray') is None:
    impossible |= _WITH_RAY.keys()
  return tuple(attack.__name__ for attack in _ALL if attack not in impossible)


def make_attack(world: World, seed: int, number: int, kind: str) -> None:
  """Makes an attack, a function of seed, number and kind.

  Raises:
    tests.attack.checks.Failure: If a promise was not kept.
  """
  rng, attack = random.Random(f'{seed} {number} {kind}'), KINDS[kind]
  attack(rng.choice([world, world.at_once or world]) if attack in _OF_BOTH else world, rng)
