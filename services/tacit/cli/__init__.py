"""The `tacit` command. Imports lazily, so that a pod never loads what it does not use."""
