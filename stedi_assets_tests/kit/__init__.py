"""What tests of several packages share: records and raw files, small lakes, commands, and how many random examples."""
