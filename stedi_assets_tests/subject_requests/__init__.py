"""What is held about a person, why, and how it is erased."""
