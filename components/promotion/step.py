"""Compare a policy of the run with the champion of a registered model, and promote it where it is better."""

from ..runtime.artifacts import Artifact, metrics_artifact
from ..runtime.protocol import Call, Result
from ..tracking.tracker import Tracker
from .gate import Promotion
from .settings import PromotionStep

SETTINGS = PromotionStep
OUTPUTS = ("decision", "report")


def run(call: Call[PromotionStep]) -> Result:
    """Decide once: a run that has decided does not decide again because the champion has changed since.

    `nashflow promote` does.
    """
    promotion = Promotion(call)
    manifest, skipped = promotion.decided(), True
    if manifest is None:
        manifest, skipped = promotion.decide()
    contents = {name: manifest.read(call.store, name) for name in manifest.files}
    Tracker.of(call.store).report(contents)
    (page,) = (name for name in contents if name.endswith(".html"))
    file = manifest.files[page]
    place = {"uri": call.store.location(file.key), "digest": file.sha256}
    artifacts = {"decision": metrics_artifact(manifest.metrics), "report": Artifact(contents[page], place)}
    return Result(manifest, skipped, artifacts)
