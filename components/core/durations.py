"""Durations as people read them."""


def in_words(seconds: float) -> str:
    """A duration such as 81 s, 12 min 5 s, 26 h 2 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 2:
        return f"{round(seconds)} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
