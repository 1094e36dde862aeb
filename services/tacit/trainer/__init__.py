"""Bank side: trains next to the data; nothing raw leaves it."""
