"""All kinds of attack, and how often each is made."""

import random
from collections.abc import Callable

from tests.attack import command_lines, damage, disks, files, several, stops
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
  several.two_writers: 8,
  several.jobs: 3,
  several.together: 1,
}
_ON_DISKS: dict[Attack, int] = {
  disks.full_disk: 10,
  disks.disk_that_fills: 6,
  disks.read_only_disk: 4,
}
KINDS = {attack.__name__: attack for attack in (*_SHARES, *_ON_DISKS)}


def kind_of(seed: int, number: int, kinds: tuple[str, ...]) -> str:
  """Returns the kind of the attack of a number.

  Args:
    seed: That of the program.
    number: The number.
    kinds: Those that are made at all.
  """
  shares = {
    attack.__name__: share
    for attack, share in {**_SHARES, **_ON_DISKS}.items()
    if attack.__name__ in kinds
  }
  (kind,) = random.Random(f'{seed} {number}').choices(list(shares), list(shares.values()))
  return kind


def possible_kinds() -> tuple[str, ...]:
  """Returns the names of the kinds that can be made here."""
  on_disks = {attack.__name__ for attack in _ON_DISKS}
  return tuple(kind for kind in KINDS if kind not in on_disks or disks.can_mount())


def make_attack(world: World, seed: int, number: int, kind: str) -> None:
  """Makes an attack, a function of seed, number and kind.

  Raises:
    tests.attack.checks.Failure: If a promise was not kept.
  """
  KINDS[kind](world, random.Random(f'{seed} {number} {kind}'))
