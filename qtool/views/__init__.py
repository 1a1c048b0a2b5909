"""What the commands print: one frozen dataclass a kind of row, and how a table shows it.

The field names are a promise: ``qtool schema`` publishes them. Times are aware and in UTC, spans are seconds.
"""
