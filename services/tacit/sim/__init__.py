"""The real handlers over memory adapters, and the generator of transactions."""
