import importlib.util

collect_ignore = (
    [] if importlib.util.find_spec("triton") else ["machine_code.py", "test_triton_launch.py"]
)
