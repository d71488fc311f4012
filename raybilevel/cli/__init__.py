"""The `raybilevel` command."""
