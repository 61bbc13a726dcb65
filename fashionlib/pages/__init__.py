"""What only the book's pages need: figures, tables, explorers, the ledger, recorded results."""
