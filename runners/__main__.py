"""The entry point of python -m runners."""

from runners.sweeping.fast_products import start_with_fast_products

if __name__ == "__main__":  # Worker processes import this module too and must not start another sweep.
    start_with_fast_products()
    from runners.cli.app import main

    main()
