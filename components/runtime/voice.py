"""Logging of a step: a line on stderr at least every 30 seconds, through Python's logging.

NASHFLOW_LOG_FORMAT: text, or json for one JSON object a line; a recipe's `cluster.log_format` where it is not set.
NASHFLOW_LOG_SECONDS: the longest silence, instead of 30. NASHFLOW_STATUS: a file that always says how the step gets on
just now, as `nashflow run` shows it.
"""

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ..core.durations import in_words
from ..core.errors import UserError
from ..core.settings import nearest
from .progress import Progress, stop_listening, under_way

FORMAT, SECONDS, STATUS = "NASHFLOW_LOG_FORMAT", "NASHFLOW_LOG_SECONDS", "NASHFLOW_STATUS"

_TEXT = "text"
_SILENCE_SECONDS = 30.0
_GLANCE_SECONDS = 0.5
_logger = logging.getLogger("nashflow")
_handed_over = threading.Event()


def check_format(name: str, where: str) -> str:
    """The format of log lines that is called `name`.

    Raises:
        UserError: there is no such format.
    """
    if name not in _FORMATTERS:
        raise UserError(f"{where}: {name!r} is unknown{nearest(name, _FORMATTERS)}")
    return name


def log_format(of_recipe: str) -> str:
    """The format that the environment asks for, or else the recipe's.

    Raises:
        UserError: the environment asks for another than there are.
    """
    asked = os.environ.get(FORMAT)
    return check_format(asked, FORMAT) if asked else of_recipe


@contextlib.contextmanager
def speaking(place: Mapping[str, Any], style: str) -> Iterator[None]:
    """Within this block the step at `place` (step, iteration, phase, shard) says how it gets on."""
    handler, level = logging.StreamHandler(), _logger.level
    handler.setFormatter(_FORMATTERS[style](place))
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    done, every = threading.Event(), float(os.environ.get(SECONDS, _SILENCE_SECONDS))
    thread = threading.Thread(target=_speak_until, args=(done, every, handler), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        stop_listening()
        _logger.setLevel(level)
        _logger.removeHandler(handler)


@contextlib.contextmanager
def handed_over() -> Iterator[None]:
    """Within this block another process speaks for the step, and this one is silent."""
    _handed_over.set()
    try:
        yield
    finally:
        _handed_over.clear()


def _speak_until(done: threading.Event, every: float, handler: logging.Handler) -> None:
    status = os.environ.get(STATUS, "")
    begun = spoken = time.monotonic()
    lines, line = 0, ""
    while not done.wait(min(every, _GLANCE_SECONDS)):
        if _handed_over.is_set():
            spoken = time.monotonic()
            continue
        work = [each for place, each in enumerate(under_way()) if each.done or not place]
        if (now := time.monotonic()) - spoken >= every:
            record = _record(work, now - begun)
            _logger.handle(record)
            spoken, lines, line = now, lines + 1, handler.format(record)
        if status:
            _write(status, {"lines": lines, "line": line, **_shown(work)})


def _record(work: list[Progress], seconds: float) -> logging.LogRecord:
    message = "; ".join(each.describe() for each in work) or f"at work for {in_words(seconds)}"
    figures = {"work": [each.to_json() for each in work]}
    return _logger.makeRecord(_logger.name, logging.INFO, __file__, 0, message, (), None, extra=figures)


def _shown(work: list[Progress]) -> dict[str, Any]:
    """The figures of a progress bar; empty before there is countable work."""
    if not work:
        return {}
    outermost, *inside = work
    words = [*outermost.details(), *(each.describe() for each in inside)]
    return {"done": outermost.done, "total": outermost.total, "unit": outermost.unit, "words": ", ".join(words)}


def _write(path: str, status: Mapping[str, Any]) -> None:
    """Replace the file as a whole: its reader may come at any moment."""
    with contextlib.suppress(OSError):  # of a full disk the step itself will speak
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(status, file)
        os.replace(f"{path}.new", path)


class _Text(logging.Formatter):
    """`2026-01-31 12:00:00 training, iteration 1, main: 240 of 1,536 updates …`."""

    def __init__(self, place: Mapping[str, Any]) -> None:
        super().__init__("%(asctime)s %(place)s: %(loud)s%(message)s", "%Y-%m-%d %H:%M:%S")
        named = {key: place[key] for key in ("iteration", "shard") if place[key]}
        words = [place["step"], *(f"{key} {number}" for key, number in named.items()), place["phase"]]
        self._place = ", ".join(filter(None, words))

    def format(self, record: logging.LogRecord) -> str:
        record.place = self._place
        record.loud = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return super().format(record)


class _Json(logging.Formatter):
    """One JSON object a line: time, level, the place, the message, and the work under way with its figures."""

    def __init__(self, place: Mapping[str, Any]) -> None:
        super().__init__()
        self._place = place

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {"time": when, "level": record.levelname.lower(), **self._place, "message": super().format(record)}
        work = getattr(record, "work", [])
        return json.dumps({**said, "work": work} if work else said)


_FORMATTERS = {_TEXT: _Text, "json": _Json}
