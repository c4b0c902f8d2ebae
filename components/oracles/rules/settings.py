"""Settings of the oracle of rules."""

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from ...core.digests import digest_json
from ...storage.store import Store
from ..base import Oracle
from ..oracle_settings import OracleSettings
from .function import Function
from .oracle import RulesOracle


class Rules(OracleSettings):
    """Preferences that a Python function computes, for tasks whose answers can be verified."""

    kind: Literal["rules"] = "rules"
    function: str
    """The function: `package.module:name` of an installed package, or `folder/file.py:name`. It is called as
    `function(messages, first, second)`, with the dialogue as a list of `{"role": …, "content": …}`, and returns
    P(first ≻ second), or None where it cannot tell. It has to give the same answer every time."""

    @field_validator("function")
    @classmethod
    def _names_both(cls, value: str) -> str:
        module, _, name = value.rpartition(":")
        if not (module and name.isidentifier()):
            raise ValueError(f"{value!r} names no function: write package.module:name or folder/file.py:name")
        return value

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file, where the function is in one."""
        return Function(self.function).files

    def check(self) -> None:
        """Refuse what cannot be imported, or called."""
        Function(self.function).load()

    def digest(self) -> str:
        """Digest of the function's name, of the source that defines it, and of its distribution's version."""
        return digest_json(Function(self.function).identity())

    def load(self, store: Store | None = None) -> Oracle:
        """The oracle that calls the function."""
        return RulesOracle(self.function, Function(self.function).load())
