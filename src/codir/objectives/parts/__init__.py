"""What several objectives share: matching layers, mapping widths, scoring tokens."""
