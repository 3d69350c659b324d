import os

import hypothesis
import pytest
import torch

# A draw may meet torch's first, slow call of an operator; time limits would make tests flaky.
hypothesis.settings.register_profile("default", deadline=None, max_examples=60)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
