"""Bank side: answers scoring calls from the verified model."""
