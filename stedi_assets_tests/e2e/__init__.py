"""The product as its users start it: whole processes, real ports."""
