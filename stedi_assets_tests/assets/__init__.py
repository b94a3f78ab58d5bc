"""The assets, called directly."""
