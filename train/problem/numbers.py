"""Separates the numbers of an arm from the rest: arms that differ in numbers only share a program."""

import copy
import dataclasses
from collections.abc import Hashable, Iterator
from typing import Any


def structure_of(thing: Any) -> Hashable:
  """Returns a hashable value, equal for dataclasses and tuples that differ in their floats only.

  Example:
    >>> structure_of((1, 2.0, 'a')) == structure_of((1, 3.0, 'a')) != structure_of((2, 2.0, 'a'))
    True
  """
  if isinstance(thing, float):
    return float
  if isinstance(thing, tuple):
    return tuple(map(structure_of, thing))
  if dataclasses.is_dataclass(thing):
    return type(thing), *(structure_of(value) for value in _fields(thing).values())
  return thing


def numbers_of(thing: Any) -> list[float]:
  """Returns the floats in dataclasses and tuples, from the first to the last."""
  if isinstance(thing, float):
    return [thing]
  if dataclasses.is_dataclass(thing):
    thing = tuple(_fields(thing).values())
  return [one for part in thing for one in numbers_of(part)] if isinstance(thing, tuple) else []


def with_numbers(thing: Any, numbers: Iterator[Any]) -> Any:
  """Returns a copy with other floats, which may be traced arrays and are not checked."""
  if isinstance(thing, float):
    return next(numbers)
  if isinstance(thing, tuple):
    parts = [with_numbers(part, numbers) for part in thing]
    return type(thing)(*parts) if hasattr(thing, '_fields') else tuple(parts)
  if dataclasses.is_dataclass(thing):
    changed = copy.copy(thing)
    for name, value in _fields(thing).items():
      object.__setattr__(changed, name, with_numbers(value, numbers))  # it may be frozen
    return changed
  return thing


def _fields(thing: Any) -> dict[str, Any]:
  return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
