"""`python -m tacit.cli` is `tacit`."""

from tacit.cli.main import main

main()
