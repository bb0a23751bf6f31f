"""How far a source was read and what of it is read next. Values in, values out."""
