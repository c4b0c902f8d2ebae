"""Runs a compiled pipeline on this machine, each step a child process: kfp.local without containers."""

from .events import Event, Interrupted, StepFailed
from .execution import execute

__all__ = ["Event", "Interrupted", "StepFailed", "execute"]
