"""The report's files: made from a run's summary, published as one unit."""

import json
import time
from collections.abc import Mapping
from typing import Any

from ..core.digests import digest_json, sha256_bytes
from ..iterations.units import Shape
from ..storage import layout
from ..storage.run import Run
from ..storage.store import Store
from ..storage.units import File, Manifest, Unit, read_manifest, require_manifest
from .benchmarks.files import run_files
from .figure import draw
from .page import render

VERSION = 2
_UNIT = "report/report"
FIGURE, PAGE = "report/figure.png", "report/report.html"


def report_unit(store: Store, run: Run, summary: Mapping[str, Any]) -> Unit:
    """The unit that the report is; the page names places, so a run root that was moved gets a new one."""
    described = {"recipe": dict(run.recipe), "inputs": dict(run.inputs), "versions": dict(run.versions)}
    last, shape = summary["iterations"][-1]["iteration"], Shape.of(run)
    decided = [(name, read_manifest(store, name)) for name in (layout.PROMOTION, layout.PROMOTION_TRIED)]
    inputs = {
        "run": digest_json(described),
        "summary": digest_json(summary),
        "prompts": require_manifest(store, layout.held_out()).digest,
        **{unit: require_manifest(store, unit).digest for t in (0, last) for unit in shape.evaluations(t)},
        **{unit: manifest.digest for unit, manifest in decided if manifest},
    }
    return Unit(store, _UNIT, VERSION, {"location": store.uri}, inputs)


def publish_report(unit: Unit, run: Run, summary: Mapping[str, Any]) -> Manifest:
    """Write summary, figure and page, then the manifest with the last iteration's figures."""
    started = time.time()
    figure = draw([summary])
    contents = {
        layout.SUMMARY: json.dumps(summary, indent=1, allow_nan=False).encode(),
        FIGURE: figure,
        PAGE: render(unit.store, run, summary, figure).encode(),
    }
    iterations = [row["iteration"] for row in summary["iterations"]]
    contents |= {f"{layout.BENCHMARKS}{end}": data for end, data in run_files(unit.store, run, iterations).items()}
    files = {}
    for key, data in contents.items():
        unit.store.write(key, data)
        files[key.rpartition("/")[2]] = File(key, sha256_bytes(data), len(data))
    last = summary["iterations"][-1]
    return unit.publish(files, {name: value for name, value in last.items() if isinstance(value, int | float)}, started)
