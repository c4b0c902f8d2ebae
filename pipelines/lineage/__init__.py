"""`nashflow trace`: where a model, a run or a file came from, and what used it."""
