"""The rules on every kind of frame, case by case, and against the oracle."""
