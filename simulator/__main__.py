"""`python -m simulator`: seeded traffic and agents. Ctrl-C ends it without a word, even while it is still being loaded."""

import sys

try:
    import typer

    from simulator.command import main

    typer.run(main)
except KeyboardInterrupt:
    sys.exit(130)  # as shells say of a program that ended with Ctrl-C
