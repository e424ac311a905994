"""`python -m simulator`: seeded traffic and agents; `python -m simulator virtual`: a day of them in virtual time.

Ctrl-C ends it without a word, even while it is still being loaded.
"""

import sys

try:
    import typer

    if sys.argv[1:2] == ["virtual"]:
        from simulator.virtual.command import main as virtual

        del sys.argv[1]
        typer.run(virtual)
    else:
        from simulator.command import main

        typer.run(main)
except KeyboardInterrupt:
    sys.exit(130)  # as shells say of a program that ended with Ctrl-C
