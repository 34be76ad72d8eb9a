"""Starts the command line for `serve`; until a command takes care of Ctrl-C, it ends without a word."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # before the imports, which take seconds

from app.cli import main  # noqa: E402

main()
