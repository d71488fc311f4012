"""`python -m raybilevel`."""

from raybilevel.cli import main

main()
