"""The training of a phase's policy, as each of the processes that share it carries it out."""

import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.settings import named_by
from ..fitting.checkpoint import Checkpoints
from ..fitting.loop import Curves
from ..fitting.memory import enough_for
from ..iterations.work import AtWork, Work
from ..methods import phase_of
from ..methods.phases import Phase
from ..models.folders import save_policy
from ..models.identity import digest_of
from ..models.policies import LocalPolicy, open_master, open_policy
from ..models.weights import weights_digest
from ..runtime.protocol import Call
from ..storage import layout
from ..storage.units import Manifest, Unit, require_manifest
from .agreement import check_agreement, check_finite
from .data import load
from .diagnostics import summary, warnings
from .loop import Trainer
from .offending import offending_kept
from .saved import measure_saved
from .settings import TrainingStep

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Task:
    """The training that a call of the step asks for."""

    call: Call[TrainingStep]
    version: int
    """The step's."""
    phase: Phase
    pairs: list[Manifest]
    logprobs: list[Manifest]
    start: LocalPolicy
    """The policy that it starts from."""

    @classmethod
    def of(cls, call: Call[TrainingStep], version: int) -> "Task":
        """The training of a call, whose inputs are there.

        Raises:
            UserError: one is not.
        """
        phase = phase_of(call.settings.method, call.iteration, call.phase)
        pairs = manifests(call, phase.data_from or phase.name, "pairs")
        scored = manifests(call, phase.name, "logprobs")
        return cls(call, version, phase, pairs, scored, open_policy(call.store, str(phase.start_from)))

    @cached_property
    def unit(self) -> Unit:
        """The unit of the policy; where it is trained, and in which portions, makes no other of it."""
        inputs = {f"pairs {shard}": manifest.digest for shard, manifest in enumerate(self.pairs)}
        inputs |= {f"logprobs {shard}": manifest.digest for shard, manifest in enumerate(self.logprobs)}
        inputs |= {"start": self.start.digest}
        inputs |= {"master": self.start.master} if self.start.master else {}
        result = self.phase.result
        return Unit(
            self.call.store,
            layout.policy(result.iteration, result.name),
            self.version,
            self.call.settings.model_dump(
                mode="json", exclude={"training": {"launcher", "layout", "micro_batch_tokens"}}
            ),
            inputs | named_by(engine=self.call.settings.training.engine),
        )

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Those of this training."""
        folder = layout.training(self.call.iteration, self.call.phase)
        return Checkpoints(self.call.store, folder, self.unit.fingerprint[:16])

    def carry_out(self) -> None:
        """Train in this process, alone or as rank 0, and publish the policy."""
        at_work = AtWork(self.call, f"{self.call.phase}/training")
        at_work.carry_out(self.unit, self._published, lambda _: self.checkpoints.discard())

    def take_part(self) -> None:
        """Train as another rank."""
        trainer, _, _ = self._trained()
        trainer.descent.whole(self._reopened)
        measure_saved(trainer, Path(), self._named)

    def _published(self, work: Work) -> Manifest:
        settings = self.call.settings.training
        trainer, curves, metrics = self._trained()
        model = trainer.descent.whole(self._reopened)
        assert model is not None  # on rank 0
        settings.adapter.merge(model)
        for line in warnings(self.phase, metrics):
            print(f"warning: {self._named}: {line}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="nashflow-policy-") as scratch:
            policy, master = Path(scratch, "policy"), ""
            if settings.keeps_masters:
                master = self._publish_master(work, model, Path(scratch, "master"))
            save_policy(model, self.start.folder, policy, settings.save_dtype)
            metrics |= measure_saved(trainer, policy, self._named)
            return work.after(self.checkpoints.spent).publish_policy(
                policy, metrics, weights_digest=weights_digest(policy), curves=curves, master=master
            )

    def _trained(self) -> tuple[Trainer, Curves, dict[str, float]]:
        """A training at its end, its curves and its figures."""
        settings, data = self.call.settings.training, load(self.call.store, self.phase, self.pairs, self.logprobs)
        check_finite(data, self._cached_in)
        with enough_for("its weights and their copies", "as the policy is opened"):
            trainer = settings.engine.open(self.start.folder, self.phase, data, settings, self._seed)
        with offending_kept(self.call.store, layout.training(self.call.iteration, self.call.phase), trainer):
            agreement = check_agreement(trainer, self._cached_in(str(self.phase.start_from)))
            if self.start.master:
                trainer.take_over(self._exact)
            curves = trainer.train(self.checkpoints)
        made = len(curves["loss"])
        metrics: dict[str, float] = {"pairs": len(data), "updates": made}
        metrics |= {**summary(self.phase, data, curves), **agreement}
        metrics["tokens"] = sum(map(trainer.tokens, islice(trainer.plan(), made)))
        if trainer.held_out:
            kept = trainer.held_out.best(curves)
            measured = {name: values[kept - 1] for name, values in curves.items() if name.startswith("held_out_")}
            metrics |= {"kept_update": kept, "held_out_pairs": len(data) - len(trainer), **measured}
        return trainer, curves, metrics | trainer.speeds.figures()

    def _reopened(self) -> "PreTrainedModel":
        """The policy that it starts from, in float32."""
        return self.call.settings.training.adapter.open(self._exact, "float32", self._seed)

    @cached_property
    def _exact(self) -> Path:
        """The folder of the weights that it starts from, which the policy's may be rounded from."""
        if not self.start.master:
            return self.start.folder
        return open_master(self.call.store, str(self.phase.start_from), self.start.master)

    @property
    def _seed(self) -> tuple[int | str, ...]:
        return self.call.settings.run.seed, self.call.iteration, self.call.phase

    @property
    def _named(self) -> str:
        return f"iteration {self.call.iteration}, {self.phase.name}"

    def _publish_master(self, work: Work, model: "PreTrainedModel", folder: Path) -> str:
        """Publish the weights in float32, and return their digest."""
        save_policy(model, self.start.folder, folder, "float32")
        result = self.phase.result
        unit = replace(work.unit, key=layout.master(result.iteration, result.name))
        return unit.publish_folder(folder, {}, work.started, weights_digest=weights_digest(folder)).weights_digest

    def _cached_in(self, policy: str) -> str:
        """Where the phase's log-probabilities of a policy are kept, for people."""
        store = self.call.store
        digest = digest_of(require_manifest(store, f"{layout.POLICIES}/{policy}"))
        phase = store.location(layout.shard(self.call.iteration, self.call.phase, "logprobs", 0).rpartition("/")[0])
        return f"{phase} and {store.at('..').location(f'{layout.LOGPROB_CACHE}/{digest}')}"


def manifests(call: Call[TrainingStep], phase: str, kind: str) -> list[Manifest]:
    """The manifests of all shards of a phase."""
    keys = [layout.shard(call.iteration, phase, kind, shard) for shard in range(call.settings.prompts.shards)]
    return [require_manifest(call.store, key) for key in keys]
