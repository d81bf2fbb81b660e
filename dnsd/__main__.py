"""`python -m dnsd` is the `dnsd` command."""

from dnsd.cli import main

if __name__ == "__main__":
    main()
