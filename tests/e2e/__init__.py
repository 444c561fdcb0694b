"""The whole template on the embedded AWS, checked from the outside."""
