"""Process plumbing: the log port, loops, lifecycle, settings, observing, clocks."""
