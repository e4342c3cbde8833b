"""`python -m codir` is the command line."""

from codir.cli import main

main()
