"""Generated from proto/tacit/wire/v1 by proto/generate.py; imported by wire.codec alone."""
