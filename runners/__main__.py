"""The entry point of python -m runners."""

from runners.cli.app import main

if __name__ == "__main__":  # Worker processes import this module too and must not start another sweep.
    main()
