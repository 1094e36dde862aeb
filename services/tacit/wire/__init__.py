"""Bytes on the log: protobuf codec, signed envelope, topics and documents."""
