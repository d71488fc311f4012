"""`python -m raybilevel`."""

from raybilevel.cli.main import main

main()
