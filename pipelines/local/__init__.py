"""Runs a compiled pipeline on this machine, each step a child process: kfp.local without containers."""

from .execution import Event, Interrupted, StepFailed, execute

__all__ = ["Event", "Interrupted", "StepFailed", "execute"]
