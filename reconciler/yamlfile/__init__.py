"""Text to values with the place of each: encoding, events, scalars, documents. May import errors and escape."""
