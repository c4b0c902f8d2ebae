"""Whether a model has room for what a task has it read and write."""

from collections.abc import Mapping
from typing import Any

from ...core.errors import UserError


def require_room(tasks: Mapping[str, Any], model: Any) -> None:
    """Raise where one of lm-eval's tasks, by name, has its model write more than that reads and writes.

    Raises:
        UserError: names the task, and both numbers.
    """
    for name, task in tasks.items():
        if task.get_config("output_type") == "generate_until":
            written = _written(task.get_config("generation_kwargs"), model)
            if written >= model.max_length:
                raise UserError(
                    f"benchmark academic: {name} has the model write up to {written} tokens, and this one has room for "
                    f"{model.max_length}, with the question: leave {name} out"
                )


def cut_questions(task: Any, model: Any) -> int:
    """How many questions of one of lm-eval's tasks, which has been run, are longer than its model reads: lm-eval leaves
    out their beginning."""
    return len({each.doc_id for each in task.instances if _is_cut(each, model)})


def _is_cut(request: Any, model: Any) -> bool:
    match request.args:
        case (str(asked), str(answer)):  # all but the answer's last token are read
            text, room = asked + answer, model.max_length + 1
        case (str(text), dict(settings)):
            room = model.max_length - _written(settings, model)
        case _:  # read in windows
            return False
    # A token has a byte at least, besides a BOS: most questions need not be counted.
    return bool(len(text.encode()) >= room and len(model.tok_encode(text)) > room)


def _written(settings: Mapping[str, Any] | None, model: Any) -> int:
    from lm_eval.models.utils import normalize_gen_kwargs

    return int(normalize_gen_kwargs(dict(settings or {}), model.max_gen_toks)["max_gen_toks"])
