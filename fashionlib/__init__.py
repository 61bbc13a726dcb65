"""Smart Fashion Search: the code that the chapters use twice. Start with the modules in book order."""
