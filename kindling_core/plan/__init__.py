"""Planning: which pipes run in which order. Values in, values out; nothing runs here."""
