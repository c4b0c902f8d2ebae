"""Write the run's summary, figure and report, and keep them in the tracker too."""

from ..iterations.tracked import catch_up
from ..reports.files import publish_report, report_unit
from ..reports.summary import summarise
from ..runtime.artifacts import Artifact
from ..runtime.protocol import Call, Result
from ..storage.run import require_run
from .settings import ReportingStep

SETTINGS = ReportingStep
OUTPUTS = ("report", "metrics")


def run(call: Call[ReportingStep]) -> Result:
    """Report on iterations 0 to the call's iteration."""
    known = require_run(call.store)
    summary = summarise(call.store, known, call.iteration)
    unit = report_unit(call.store, known, summary)
    manifest = unit.finished()
    skipped = manifest is not None
    manifest = manifest or publish_report(unit, known, summary)
    contents = {name: manifest.read(call.store, name) for name in manifest.files}
    catch_up(call.store)
    file = manifest.files["report.html"]
    place = {"uri": call.store.location(file.key), "digest": file.sha256}
    return Result(manifest, skipped, {"report": Artifact(contents["report.html"], place)})
