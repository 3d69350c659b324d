from tests.lab.bench.garbage import frozen_objects  # noqa: F401  (a fixture for all tests here)
