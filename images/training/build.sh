# Training by DeepSpeed, and every other step beside it. For CUDA; TORCH_BUILD=+cpu builds it for CPUs.
set -eu
sh /source/images/install.sh dependencies training steps deepspeed bitsandbytes kubernetes
