#!/bin/sh
# Makes /app/venv, the virtual environment of one image, inside a build.
#
#   install.sh lock RUNTIME…            print the versions that the runtime's image is made of, or one for several
#   install.sh requirements EXTRA       print what pyproject.toml asks for, with an extra
#   install.sh dependencies RUNTIME EXTRA [REQUIREMENT …]
#   install.sh package                  nashflow itself, after its dependencies; then drop what only a build needs
#
# pip reads PIP_INDEX_URL, PIP_EXTRA_INDEX_URL and PIP_FIND_LINKS; a CA bundle for the index is the build secret `ca`.
# TORCH_BUILD is torch's local version, such as +cpu.
set -eu
umask 022
source=$(cd "$(dirname "$0")/.." && pwd)
venv=/app/venv
lock=/tmp/lock.txt

# The lock of the project, with the versions of the runtimes' own locks over it; the first one's count.
lock() {
  own=
  for runtime in "$@"; do
    [ ! -f "$source/images/$runtime/constraints.txt" ] || own="$own $source/images/$runtime/constraints.txt"
  done
  awk -F== -v torch="${TORCH_BUILD:-}" '
    /^#/ || NF < 2 { next }
    { name = tolower($1); gsub(/[-_.]+/, "-", name) }
    name in seen { next }
    { seen[name]; print $0 (name == "torch" ? torch : "") }
  ' $own "$source/constraints.txt"
}

requirements() {
  python3 - "$source/pyproject.toml" "$1" <<'PYTHON'
import sys, tomllib

with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
print(*project["dependencies"], *project["optional-dependencies"][sys.argv[2]], sep="\n")
PYTHON
}

pip_install() {
  [ ! -s /run/secrets/ca ] || export PIP_CERT=/run/secrets/ca
  python3 -m pip --python "$venv/bin/python3" install --no-cache-dir --no-compile --disable-pip-version-check \
    --constraint "$lock" "$@"
}

dependencies() {
  runtime=$1 extra=$2
  shift 2
  lock "$runtime" >"$lock"
  requirements "$extra" >/tmp/requirements.txt
  python3 -m venv --without-pip "$venv"
  pip_install --requirement /tmp/requirements.txt "$@"
}

package() {
  pip_install --no-deps "$source"
  cd "$venv"/lib/python3*/site-packages
  find . -depth -type d \( -name tests -o -path ./torch/test -o -path ./torch/include -o -path ./pyarrow/include \) \
    -exec rm -r {} +
  find . -name '*.a' -delete
  [ ! -d torch/bin ] || find torch/bin -type f ! -name torch_shm_manager -delete
  # Read whatever the files' times are: nothing below /app is ever written.
  python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash . || true  # templates of code are no code
  chmod -R a+rX,go-w /app
}

"$@"
