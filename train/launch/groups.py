"""Divides the runs of a plan into groups: one run that is trained alone, or several trained at once."""

import dataclasses
import json
import pathlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from train.launch.plan import PlannedRun
from train.problem.arms import Arm
from train.storage.tables import run_name
from train.system.environment import read_environment
from train.system.files import read_object, write_whole
from train.system.processes import from_first
from train.training.lanes import GroupPrograms, lane_programs, usual_lanes
from train.training.trainer import Trainer

_FOLDER, _MEMBERS = 'together', 'runs.json'


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
  """Runs that are trained at once, whose arms share a program; or one that is trained alone."""

  runs: Sequence[PlannedRun]
  lanes: int | None  # None for a run that is trained alone
  folder: pathlib.Path  # of the checkpoints

  @property
  def name(self) -> str:
    """Its name in the output."""
    first, *others = self.runs
    return f'{first.name} and {len(others)} other runs' if others else first.name

  def write_members(self) -> None:
    """Writes which runs go on from the checkpoints of the group."""
    self.folder.mkdir(parents=True, exist_ok=True)
    members = [run_name(run.directory) for run in self.runs]
    write_whole(self.folder / _MEMBERS, json.dumps({'runs': members}, indent=2) + '\n')


class Grouping:
  """Decides which runs of a comparison are trained at once, as ``Settings.together`` says."""

  def __init__(self, trainer: Trainer | None, say: Callable[[str], None]):
    """Calls ``say`` with a sentence if runs cannot be trained at once; without a trainer none are.

    Raises:
      UserError: If that was asked for, and the settings rule it out.
    """
    self._trainer, self._say = trainer, say
    self._usual_lanes = usual_lanes(trainer) if trainer else None
    self._lanes: dict[Any, int | None] = {}
    self._said: set[str] = set()

  def groups(self, runs: Sequence[PlannedRun], workdir: pathlib.Path) -> list[Group]:
    """Returns the groups of runs that have not ended, in the order in which they are trained.

    Runs go on as they have begun: alone, or in the group whose checkpoints they name. A group of yoked
    runs comes after those of their partners.
    """
    places = from_first(lambda: [_place(run.directory, workdir) for run in runs])
    groups: list[Group] = []
    newest: dict[Any, list[PlannedRun]] = {}
    for run, (begun, lanes) in zip(runs, places, strict=True):
      key: Any = begun
      if begun is None:
        lanes = self._lanes_of(run.arm)
        key = self._programs(run.arm) if lanes else run
      members = newest.get(key)
      if members is None or (begun is None and len(members) == lanes):
        members = newest[key] = []
        new = workdir / _FOLDER / uuid.uuid4().hex[:8] if lanes else run.directory
        groups.append(Group(members, lanes, pathlib.Path(begun or new)))
      members.append(run)

    order = {run.directory: number for number, run in enumerate(runs)}
    turns = {
      run.directory: max(order[run.directory] for run in group.runs)
      for group in groups
      for run in group.runs
    }

    def turn(group: Group) -> int:
      needed = [turns.get(run.partner, 0) for run in group.runs if run.partner is not None]
      return max(turns[group.runs[0].directory], *needed, 0)

    return sorted(groups, key=lambda group: (turn(group), group.runs[0].partner is not None))

  def _lanes_of(self, arm: Arm) -> int | None:
    if self._trainer is None or self._usual_lanes is None:
      return None
    programs = self._programs(arm)
    if programs not in self._lanes:
      reason = programs.reason_against()
      self._lanes[programs] = self._usual_lanes if reason is None else None
      if reason and reason not in self._said:
        self._said.add(reason)
        self._say(reason)
    return self._lanes[programs]

  def _programs(self, arm: Arm) -> GroupPrograms:
    assert self._trainer
    assert self._usual_lanes
    return lane_programs(self._trainer, self._usual_lanes).of(arm)


def _place(directory: pathlib.Path, workdir: pathlib.Path) -> tuple[str | None, int | None]:
  """Returns the folder of the checkpoints of a run, and its lanes if it was trained with others."""
  if _has_checkpoints(directory):
    return str(directory), None
  made = read_environment(directory)
  name, lanes = made.get('together'), made.get('lanes')
  if isinstance(name, str) and isinstance(lanes, int):
    folder = workdir / _FOLDER / pathlib.PurePath(name).name
    members = read_object(folder / _MEMBERS).get('runs', ())
    if run_name(directory) in members and _has_checkpoints(folder):
      return str(folder), lanes
  return None, None


def _has_checkpoints(folder: pathlib.Path) -> bool:
  return any(path.name.isdecimal() for path in (folder / 'checkpoints').glob('*'))
