"""What can be found of a server: a rule for each finding, in the order of what it looks at."""
