"""A boot profile as a picture: the stages as one bar, the kernel's steps and functions as lines of bars below it."""

from xml.sax.saxutils import escape

WIDTH, LEFT, LINE = 960, 330, 18
COLORS = ("#8da0cb", "#66c2a5", "#d9d9d9", "#fc8d62", "#e78ac3", "#a6d854", "#ffd92f")


def text(x, y, words, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{escape(words)}</text>")


def bar(x, y, width, color, title):
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{LINE - 4}" fill="{color}">'
            f"<title>{escape(title)}</title></rect>")


def lines(out, y, heading, rows, color):
    """One bar for each (name, millions)."""
    out.append(text(10, y, heading, weight="bold"))
    longest = max((value for _, value in rows), default=1) or 1
    for name, value in rows:
        y += LINE
        out.append(text(LEFT - 8, y, name, "end"))
        width = value / longest * (WIDTH - LEFT - 80)
        out.append(bar(LEFT, y - LINE + 6, width, color, name))
        out.append(text(LEFT + width + 6, y, f"{value:.2f}"))
    return y + 2 * LINE


def svg(title, stages, steps, functions):
    """Each a list of (name, millions of instructions); the stages follow one another."""
    out, y = [text(10, 24, title, weight="bold")], 44
    whole, x = sum(value for _, value in stages) or 1, 10.0
    for (name, value), color in zip(stages, COLORS):
        width = value / whole * (WIDTH - 20)
        out.append(bar(x, y - LINE + 6, width, color, f"{name}: {value:.2f}"))
        x += width
    for (name, value), color in zip(stages, COLORS):
        y += LINE
        out.append(bar(10, y - LINE + 6, 14, color, name))
        out.append(text(30, y, f"{value:.2f}  {name}"))
    y = lines(out, y + 2 * LINE, "the kernel's longest steps, in order", steps, COLORS[3])
    y = lines(out, y, "the kernel's functions", functions, COLORS[1])
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>\n'
            + "\n".join(out) + "\n</svg>\n")
