"""python -m runners: the command line."""

from runners.commands import main

if __name__ == "__main__":  # Worker processes import this module too, and must not start another sweep.
    main()
