import importlib.util
import os

import torch

# Triton reads this when it is imported. With a GPU the tests run the compiled kernels; without one
# the interpreter runs them on the CPU.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

collect_ignore = (
    [] if importlib.util.find_spec("triton") else ["machine_code.py", "test_triton_launch.py"]
)
