"""Settings of the oracle that a run fits itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import PrivateAttr

from ...core.digests import digest_json
from ...core.errors import UserError
from ...models.dialogues import TemplateSettings
from ...models.policies import open_unit
from ...storage import layout
from ...storage.store import Store
from ...storage.units import Manifest, read_manifest
from ..base import Oracle
from ..model_settings import ChatOracle
from ..oracle_settings import OracleSettings, Reader, Round
from .settings import FIGURES, AnyJudge, JudgeSettings


class Fitted(OracleSettings):
    """A judge that the run fits to labelled pairs before its first iteration, and then asks."""

    kind: Literal["fitted"] = "fitted"
    judge: AnyJudge
    """How it is fitted, with the settings of `nashflow judge train`: docs/judge-training.md lists them."""

    _day: str = PrivateAttr("")
    _made: Manifest | None = PrivateAttr(None)
    """The judge of a run."""

    @property
    def judges(self) -> tuple[JudgeSettings, ...]:
        """The judge."""
        return (self.judge,)

    @property
    def responses_read(self) -> int:  # type: ignore[override]
        """As many as its kind reads."""
        return self._begins.responses_read

    @property
    def fills(self) -> int:
        """As many as its kind."""
        return self._begins.fills

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folder that it begins with, and its pairs, but for those in a store or on the hub."""
        return (self.judge.folder, *(Path(path) for path in self.judge.data.paths if "://" not in path))

    def check(self) -> None:
        """Refuse a folder that the judge cannot begin with."""
        self.judge.check()

    def digest(self) -> str:
        """Digest of the judge's files; before there is one, of everything that it depends on.

        Raises:
            UserError: the labelled pairs cannot be read.
        """
        if self._made is None:
            return digest_json(self.judge.made_from(self.judge.labelled().digest))
        files = {name: file.sha256 for name, file in self._made.files.items() if name != FIGURES}
        template = self.judge.model_dump(mode="json", include={*TemplateSettings.model_fields})
        return digest_json({"kind": self.judge.kind, "files": files, **template})

    def reader(self) -> Reader | None:
        """The judge reads as the model that it begins with."""
        return self._begins.reader()

    def dated(self, day: str) -> Self:
        """The oracle on a day."""
        oracle = self.model_copy()
        oracle._day = day
        return oracle

    def made_in(self, store: Store) -> Self:
        """The oracle with the judge that the run in `store` has fitted.

        Raises:
            UserError: it has fitted none.
        """
        oracle = self.model_copy()
        oracle._made = read_manifest(store, layout.judge(self.judge.name))
        if oracle._made is None:
            raise UserError(
                f"oracle.kind fitted: {store.location(layout.judge(self.judge.name))}: this judge is not fitted there "
                "yet; run the recipe under that run root, which fits it first, or fit it by nashflow judge train and "
                f"set oracle.kind to {self.judge.kind} and oracle.model to the new folder"
            )
        return oracle

    def load(self, store: Store | None = None) -> Oracle:
        """The judge.

        Raises:
            UserError: the run in `store` has fitted none, or a file does not have its digest.
        """
        if store is None:
            raise UserError(f"oracle.kind fitted: give a run root, in which the judge {self.judge.name} is")
        made = self._made or self.made_in(store)._made
        assert made
        return self.judge.oracle(open_unit(store, made)).dated(self._day).load(store)

    def sequences(self, rounds: Sequence[Round]) -> int:
        """As many as its kind reads."""
        return self._begins.sequences(rounds)

    def expected_usage(self, comparisons: int, prompt_tokens: float, response_tokens: float) -> Mapping[str, float]:
        """As its kind."""
        return self._begins.expected_usage(comparisons, prompt_tokens, response_tokens)

    def parameters(self) -> float | None:
        """The number of the model that it begins with."""
        return self._begins.parameters()

    @property
    def _begins(self) -> ChatOracle:
        """The oracle of the model that the judge begins with: equal to it in what it reads."""
        return self.judge.oracle(self.judge.folder).dated(self._day)
