"""How many copies the search for copies finds, of which kind, and at how many false alarms."""
