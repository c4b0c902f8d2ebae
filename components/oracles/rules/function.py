"""A Python function that a setting names: where it is defined, and what identifies it."""

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ...core.digests import sha256_file
from ...core.errors import UserError, one_line


class Function:
    """The function `package.module:name`, or `folder/file.py:name`, of `oracle.function`."""

    def __init__(self, named: str) -> None:
        self._named = named
        self._module, _, self._name = named.rpartition(":")

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, where it is named by one."""
        return (Path(self._module),) if self._module.endswith(".py") else ()

    def load(self) -> Callable[..., Any]:
        """The function.

        Raises:
            UserError: its module cannot be imported, or has nothing of this name that can be called with a dialogue
                and two answers.
        """
        module = self._imported()
        function: object = getattr(module, self._name, None)
        if not callable(function):
            there = sorted(name for name, value in vars(module).items() if callable(value) and name[0] != "_")
            raise UserError(
                f"oracle.function: {self._module} has no function {self._name}; callable there: "
                f"{', '.join(there) or 'nothing'}"
            )
        self._require_signature(function)
        return function

    def _require_signature(self, function: Callable[..., Any]) -> None:
        """Refuse a function that cannot be called as `function(messages, first, second)`."""
        try:
            inspect.signature(function).bind([], "", "")
        except TypeError as error:
            raise UserError(
                f"oracle.function: {self._named} cannot be called as {self._name}(messages, first, second): {error}"
            ) from None
        except ValueError:  # what is written in C may not say what it takes
            return
        if inspect.iscoroutinefunction(function):
            raise UserError(f"oracle.function: {self._named} is async: name one that returns a probability at once")

    def identity(self) -> list[str]:
        """Its name, the digest of the source that defines it, and the version of the distribution that it is from.

        Raises:
            UserError: there is no such source.
        """
        if self.files:
            return [self._name, sha256_file(self._source()), ""]
        versions = importlib.metadata.packages_distributions().get(self._module.partition(".")[0], [])
        return [self._named, sha256_file(self._source()), *map(importlib.metadata.version, sorted(set(versions)))]

    def _source(self) -> Path:
        if self.files:
            (file,) = self.files
            if not file.is_file():
                raise UserError(f"oracle.function: there is no file {file}")
            return file
        try:
            found = importlib.util.find_spec(self._module)
        except Exception as error:
            raise self._refused(error) from None
        if not (found and found.origin and Path(found.origin).is_file()):
            raise UserError(
                f"oracle.function: there is no module {self._module} here; install its package, or name a file: "
                "folder/file.py:name"
            )
        return Path(found.origin)

    def _imported(self) -> ModuleType:
        source = self._source()
        try:
            if not self.files:
                return importlib.import_module(self._module)
            # Dataclasses look their module up by its name, which must not be that of another module.
            made = importlib.util.spec_from_file_location(f"nashflow_rules_{source.stem}", source)
            assert made, "the file ends in .py"
            module = sys.modules[made.name] = importlib.util.module_from_spec(made)
            made.loader.exec_module(module)  # type: ignore[union-attr]
        except (Exception, SystemExit) as error:
            raise self._refused(error) from None
        return module

    def _refused(self, error: BaseException) -> UserError:
        return UserError(
            f"oracle.function: {self._module} cannot be imported: {type(error).__name__}: {one_line(error)}"
        )
