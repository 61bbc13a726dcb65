"""Smart Fashion Search: code that the chapters use twice, one idea a module, in book order."""
