from tests.kernels.random_calls import run_calls


def test_random_calls_equal_the_reference_or_are_refused():
    assert 100 < run_calls(range(300)) < 300
