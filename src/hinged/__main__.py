"""The command-line program `hinged`."""

import os
import signal
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line. Print an error of this library as one line, and exit with code 2."""
    try:
        code = _run()
    except KeyboardInterrupt:  # Ctrl+C while a command imports its packages.
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        _exit_at_once(code)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The command has finished: its exit code stays.
    sys.exit(code)


def _exit_at_once(code: int) -> None:
    """End the process without freeing all modules, which takes Python 1 to 3 seconds."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run() -> int:
    # Here, so that Ctrl+C is caught during these imports too.
    from hinged import errors
    from hinged.cli.option_names import name_options

    try:
        return _run_program()
    except errors.HingedError as error:
        command = next(iter(sys.argv[1:]), "")
        print(f"hinged: {name_options(str(error), command)}", file=sys.stderr)
        return 2


def _run_program() -> int:
    from hinged import errors

    try:
        import hinged.lab  # noqa: F401  (raises if packages are missing)
    except errors.MissingExtraError as missing:
        from hinged.cli.core_program import run_core_program

        return run_core_program(missing)
    from hinged.cli.app import run_program

    return run_program()


if __name__ == "__main__":
    main()
