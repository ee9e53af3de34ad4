"""What a boot costs, held against figures that were written down: instructions by stage, and bytes."""

import json

LIMIT = 0.03
# A figure below this is allowed to move by LIMIT of this.
LEAST_M = 5.0


def read(path):
    with open(path, encoding="ascii") as file:
        return json.load(file)


def write(path, figures, functions):
    with open(path, "w", encoding="ascii") as file:
        json.dump({"figures": figures, "functions": functions}, file, indent=1)
        file.write("\n")


def allowed(name, was):
    least = 0 if name.endswith("bytes") else LEAST_M
    return was + LIMIT * max(was, least)


def regressions(baseline, figures):
    """A line for each figure that is more than LIMIT above the baseline, or no longer measured."""
    found = []
    for name, was in baseline["figures"].items():
        now = figures.get(name)
        if now is None:
            found.append(f"{name}: is no longer measured; it was {was}")
        elif now > allowed(name, was):
            found.append(f"{name}: {now} instead of {was}, {100 * (now - was) / was:+.1f} %, allowed are "
                         f"{100 * LIMIT:.0f} %")
    return found


def difference(baseline, functions, count=15):
    """The functions that moved most: (now - was, now, name), the largest growth first."""
    was = baseline["functions"]
    moved = [(round(functions.get(name, 0) - was.get(name, 0), 2), functions.get(name, 0), name)
             for name in {**was, **functions}]
    return sorted((row for row in moved if abs(row[0]) >= 0.05), reverse=True)[:count]
