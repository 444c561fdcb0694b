"""Inputs that nobody wrote, for what reads what others wrote: the parser, the codec, the API's events."""
