"""A pod's own file system: this machine's, with folders of its own where KFP's launcher and the step keep files.

A step finds its artifacts at `/minio/…` and its output parameters at `/tmp/kfp/…`, in every pod the same paths. So its
process gets a mount namespace and a root folder made of bind mounts. That takes root, or user namespaces that anyone
may make, as most Linux systems allow; nothing outside the pod's folder is written.
"""

import functools
import os
import shlex
import subprocess
from pathlib import Path

_OWN = ("minio", "s3", "gcs", "kfp-launcher", "run")
"""Folders of the root that a pod has for itself."""
_SCRIPT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs {root}
for entry in /*; do
  name="${{entry#/}}"
  if [ -L "$entry" ]; then cp -P "$entry" {root}/; continue; fi
  case " {own} " in *" $name "*) continue;; esac
  if [ -d "$entry" ]; then mkdir {root}"$entry"; mount --rbind "$entry" {root}"$entry"; fi
done
{mounts}
exec chroot {root} "$@"
"""


class Sandbox:
    """The files of one pod, below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounts: dict[str, Path] = {}
        """Further folders, by the path at which the pod sees them."""
        for name in (*_OWN, "tmp/kfp", "root"):
            (folder / name).mkdir(parents=True)

    def file(self, path: str) -> Path:
        """Where a path of the pod's own folders lies on this machine."""
        return self.folder / path.lstrip("/")

    def command(self, command: list[str]) -> list[str]:
        """The command that runs another one inside; both have one process."""
        own = {f"/{name}": self.folder / name for name in _OWN} | {"/tmp/kfp": self.folder / "tmp/kfp"}
        root = shlex.quote(str(self.folder / "root"))
        mounts = "\n".join(
            f"mkdir -p {root}{shlex.quote(path)}; mount --bind {shlex.quote(str(source))} {root}{shlex.quote(path)}"
            for path, source in {**own, **self.mounts}.items()
        )
        script = _SCRIPT.format(root=root, own=" ".join(_OWN), mounts=mounts)
        return [*_unshare(), "/bin/sh", "-c", script, "sh", *command]


@functools.cache
def missing() -> str:
    """Why there can be no sandboxes here; empty where there can."""
    done = subprocess.run([*_unshare(), "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


def _unshare() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--"]
