"""What each pod of a TrainJob runs: its processes of the training, by torchrun, in step with the other pods'.

Kubeflow Trainer's torch runtime says by variables of the environment where those are. The exit code is that of the
process that failed, in the step's protocol; torchrun's own command would say 1 of all of them.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ....core.errors import TryAgain, UserError
from ....runtime.protocol import TRY_AGAIN, USER_ERROR
from ..torchrun import config_of, start

_PATIENCE_SECONDS = 24 * 3600


def main(arguments: Sequence[str]) -> NoReturn:
    """Start the processes of this pod with the flags of a worker, and exit when they have ended."""
    told = os.environ
    config = config_of(
        int(told["PET_NPROC_PER_NODE"]),
        int(told["PET_NNODES"]),
        run_id="training",
        rdzv_backend="static",
        rdzv_endpoint=f"{told['PET_MASTER_ADDR']}:{told['PET_MASTER_PORT']}",
        # Others may have to wait long for a machine.
        rdzv_configs={"rank": int(told["PET_NODE_RANK"]), "timeout": _PATIENCE_SECONDS},
    )
    try:
        start(config, arguments)
    except UserError as error:
        _end(error, USER_ERROR)
    except TryAgain as error:
        _end(error, TRY_AGAIN)
    sys.exit(0)


def _end(error: Exception, code: int) -> NoReturn:
    print(error, file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
