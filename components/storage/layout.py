"""Where everything lies under a run root."""

RUN = "run.json"
LOCK = "lock"
SUMMARY = "report/summary.json"
OUTCOME = "report/outcome.json"
BENCHMARKS = "report/benchmarks"
"""Begins the names of the report on benchmarks: of the run, and of each of its policies."""
WAITS = "report/waits"
"""What tasks wait for that comes from outside."""
EXPORTS, VERDICTS = "human/exports", "human/verdicts"
"""Comparisons for people, and their verdicts."""
PREPARATION, REPORT = "preparation", "report/report"
"""Units that a run has once."""
PROMOTION, PROMOTION_TRIED = "report/promotion", "report/promotion-dry-run"
"""The unit of the decision whether a policy becomes the champion of a registered model; that of a dry run."""
JUDGES = "judges"
"""Folder of the judges that a run fits."""
KINDS = ("comparisons", "evaluation", "logprobs", "pairs", "prompts", "rollouts", "training")
"""Folders of an iteration, or of a phase in it."""
LOGPROB_CACHE = "cache/logprobs"
"""Beside the run roots: cached log-probabilities, by the policies that gave them."""
VERDICT_CACHE = "cache/verdicts"
"""Beside the run roots: verdicts of judges that are asked over the network, by the judge's digest."""
JUDGE_QUALITY = "cache/quality"
"""Beside the run roots: what judges are worth on labelled pairs, by their signatures."""
GATES = "gates"
"""Beside the run roots: who is at the gate of a registered model, by the model's name."""
UNSENT = "tracking/unsent"
"""Figures that the tracker was away for."""
TRACKED_PREPARATION = "tracking/preparation"
TRACKED_REPORTS = {unit: f"tracking/{unit.rpartition('/')[2]}" for unit in (REPORT, PROMOTION, PROMOTION_TRIED)}
"""Units that record what was sent to the tracker: of preparation, and of report and decisions, by their units."""
POLICIES, MASTERS = "policies", "masters"
MANIFEST = ".manifest.json"
"""Ends the name of a unit's manifest."""


def prompts(iteration: int, shard: int) -> str:
    """The unit of one shard of an iteration's prompts."""
    return f"iterations/{iteration:03d}/prompts/{shard:05d}"


def reused(iteration: int, shard: int) -> str:
    """The unit of one shard of the comparisons that an iteration reuses of earlier runs."""
    return f"iterations/{iteration:03d}/reused/{shard:05d}"


def held_out() -> str:
    """The unit of the prompts that only evaluation sees."""
    return "iterations/000/prompts/held_out"


def shard(iteration: int, phase: str, step: str, index: int) -> str:
    """The unit of one shard of a step (rollouts, pairs, logprobs) in a phase."""
    return f"iterations/{iteration:03d}/{phase}/{step}/{index:05d}"


def training(iteration: int, phase: str) -> str:
    """The folder of a phase's resumable training state."""
    return f"iterations/{iteration:03d}/{phase}/training"


def policy(iteration: int, name: str) -> str:
    """The unit of a policy: a Hugging Face folder named by the iteration that made it and the method's name for it."""
    return f"{POLICIES}/{iteration:03d}/{name}"


def master(iteration: int, name: str) -> str:
    """The unit of a policy's master: its weights in float32, before they were rounded to be saved."""
    return f"{MASTERS}/{iteration:03d}/{name}"


def judge(name: str) -> str:
    """The unit of a judge that the run fits: a Hugging Face folder."""
    return f"{JUDGES}/{name}"


def evaluation(iteration: int, part: str) -> str:
    """The unit of one benchmark of an iteration, or of the responses that benchmarks read; iteration 0 is the
    reference."""
    return f"iterations/{iteration:03d}/evaluation/{part}/00000"


def tracked_iteration(iteration: int) -> str:
    """The unit that records what was sent to the tracker at the end of an iteration."""
    return f"iterations/{iteration:03d}/tracked"


def tracked(parent: str) -> str:
    """The folder that keeps the ids of the MLflow runs below `parent`, a run root's own."""
    return f"tracking/{parent}"
