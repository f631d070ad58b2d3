"""``python -m robustagg``: the command line, where its script is on no path."""

from robustagg.cli import main

if __name__ == "__main__":
    main()
