import os
import sys
from collections import Counter

import hypothesis
import pytest
import torch

# Triton reads this when it is imported. With a GPU the tests run the compiled kernels; without one
# the interpreter runs them on the CPU.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# An example has no time limit. The first call of an operator of torch is slow, so a limit would
# make tests fail at random.
EXAMPLES = int(os.environ.get("HINGED_EXAMPLES", "60"))
hypothesis.settings.register_profile("hinged", deadline=None, max_examples=EXAMPLES)
hypothesis.settings.load_profile("hinged")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def without_compiled_code():
    """Make torch.compile forget what earlier tests compiled.

    It remembers for each function that it could not compile it, and then does not try again. The
    result of a test would depend on the tests before it.
    """
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


def pytest_collection_modifyitems(items):
    """Sort the test files by their numbers of slow tests, the largest number first.

    The processes that run the tests then finish at about the same time.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture
def quick_turns():
    """Threads take turns after each few operations."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
