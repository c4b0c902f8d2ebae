"""`nashflow judge train`: fit a reward model or a pair preference model to labelled pairs."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from nashflow.components.core.atomic_file import HIDDEN
from nashflow.components.core.digests import digest_json
from nashflow.components.core.errors import UserError
from nashflow.components.fitting.checkpoint import Checkpoints
from nashflow.components.judge_training.fit import fit
from nashflow.components.oracles.fitted.settings import FIGURES
from nashflow.components.runtime.voice import log_format, speaking
from nashflow.components.storage.store import open_store

from ..recipe import load_judge


def train_judge(config: Path, overrides: Sequence[str], output: Path, as_json: bool) -> None:
    """Make the judge in a new folder, or go on where the same command was stopped, and print how good it is.

    Raises:
        UserError: the settings, the model or the pairs cannot be used, or the folder holds something else.
    """
    settings = load_judge(config, overrides)
    settings.check()
    labelled = settings.labelled()
    wanted = settings.made_from(labelled.digest)
    if output.exists():
        figures = _known(output, wanted)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        checkpoints = Checkpoints(open_store(str(output.parent)), f"{output.name}.training", digest_json(wanted)[:16])
        with (
            speaking({"step": "judge", "iteration": 0, "phase": "", "shard": 0}, log_format("text")),
            tempfile.TemporaryDirectory(prefix=HIDDEN, dir=output.parent) as scratch,
        ):
            made = Path(scratch, "judge")
            figures, _ = fit(settings, labelled, made, checkpoints, date.today().isoformat())
            made.rename(output)
        checkpoints.discard()
        shutil.rmtree(output.with_name(f"{output.name}.training"), ignore_errors=True)
    print(json.dumps(figures, ensure_ascii=False, indent=1) if as_json else f"{output}: {figures['verdict']}")


def _known(output: Path, wanted: object) -> dict[str, object]:
    """The figures of a judge that is there as it would be made now.

    Raises:
        UserError: the folder holds something else.
    """
    try:
        figures: dict[str, object] = json.loads((output / FIGURES).read_text(encoding="utf-8"))
        if figures["made_from"] == wanted:
            return figures
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise UserError(f"--output {output}: is there, and no judge that these settings and pairs make: give a new folder")
