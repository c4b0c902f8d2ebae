"""The benches' harness, on contenders that take no time."""

import json
import time
from pathlib import Path

from tests.bench.__main__ import Bench, run


class Quick:
    """It counts its own work in a file."""

    pause = 0.0

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{type(self).__name__}.json"
        self._done = 0
        print("libraries write what they like")

    def __call__(self) -> int:
        self._done += 1
        self._file.write_text(json.dumps(self._done))
        time.sleep(self.pause)
        return 10


class Slow(Quick):
    """Beside it the other one is at least twice as fast on any machine."""

    pause = 1.0

    def figures(self) -> dict[str, float]:
        return {"pause": self.pause}


def test_contenders_take_turns_and_ratios_are_those_of_a_round() -> None:
    found = run(Bench("toy", "things", (Quick, Slow), (2.0,), lambda folder: (folder / "x").touch()), 1)
    assert found["unit"] == "things/s"
    assert found["rates"]["Slow"]["median"] <= 10.0
    (ratio,) = found["ratios"]["Slow"]["rounds"]
    assert ratio == found["rates"]["Quick"]["rounds"][0] / found["rates"]["Slow"]["rounds"][0]
    assert found["ratios"]["Slow"]["wanted"] == 2.0
    assert found["ratios"]["Slow"]["memory"] == found["peak_gib"]["Quick"] / found["peak_gib"]["Slow"]
    assert found["figures"] == {"Slow": {"pause": 1.0}}
