"""What tests of several packages share: records, small lakes, commands, and how many random examples."""
