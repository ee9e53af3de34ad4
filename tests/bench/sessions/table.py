"""The table that a bench prints: a row a measurement, a column a server."""


class Table:
    def __init__(self, names, width):
        """`width` of what the rows are about."""
        self._names, self._width = names, width
        print(f"{'':<{width}}" + "".join(f"{name:>12}" for name in names), flush=True)

    def row(self, what, values, digits=1):
        """`values` by the servers' names; what is not there has a dash."""
        cells = (f"{values[name]:.{digits}f}" if name in values else "-" for name in self._names)
        print(f"{what:<{self._width}}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
