"""The quality of judges, kept beside the run roots, where the reports of runs find it."""

import json
from typing import NamedTuple

from ..oracles.oracle_settings import OracleSettings
from ..storage import layout
from ..storage.store import Store
from .measure import Figures, Quality


class Kept(NamedTuple):
    """What was measured of a judge last."""

    pairs: str
    """Where the labelled pairs are."""
    figures: Figures


def keep_quality(store: Store, judge: OracleSettings, pairs: str, quality: Quality) -> None:
    """Keep a judge's figures on labelled pairs beside the run root `store`."""
    said = {"pairs": pairs, "figures": dict(quality.figures)}
    store.at("..").write(_key(judge.signature), json.dumps(said, ensure_ascii=False, allow_nan=False).encode())


def read_quality(store: Store, signature: str) -> Kept | None:
    """The figures of the judge with this signature, from beside the run root `store`; None if there are none."""
    try:
        return Kept(**json.loads(store.at("..").read(_key(signature))))
    except FileNotFoundError:
        return None


def _key(signature: str) -> str:
    return f"{layout.JUDGE_QUALITY}/{signature}.json"
