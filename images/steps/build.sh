# The steps on CPUs: everything that runs in a pod, but for vLLM and DeepSpeed.
set -eu
export TORCH_BUILD="${TORCH_BUILD:-+cpu}"
sh /source/images/install.sh dependencies steps steps 'lm-eval[ifeval]' emoji syllapy
