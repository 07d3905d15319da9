"""How a process of an office begins: first its environment, then Django, then its chores.

This module imports nothing that needs the settings: a new process reads it before it knows
which database it belongs to.
"""

import os
from importlib import import_module

import django

_barrier = None


def begin(environment: dict[str, str], barrier=None) -> None:
    """Open Django in a new process on the database that the environment names."""
    global _barrier
    os.environ.clear()
    os.environ.update(environment)
    django.setup()
    _barrier = barrier


def do(chore: str, *arguments):
    """Do one chore of `tests.processes.chores` and return what it returns."""
    return getattr(import_module("tests.processes.chores"), chore)(*arguments)


def meet() -> None:
    """Wait until the other processes that do the same chore are here too."""
    _barrier.wait(timeout=60)


def meet_and_do(chore: str, *arguments):
    """Do one chore at the same moment as the others."""
    meet()
    return do(chore, *arguments)
