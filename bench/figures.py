"""Figures, their goals, and the table they are printed in."""

from statistics import median, quantiles


def short(value):
    """Two or three digits that matter."""
    size = abs(value)
    digits = 0 if size >= 100 or size == 0 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{digits}f}"


def middle_half(values):
    """The bounds between which the middle half of the values lies."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high


def spread(values, unit=""):
    """median unit (middle half)"""
    text = f"{short(median(values))} {unit}".rstrip()
    if len(values) > 1:
        text += " ({}..{})".format(*map(short, middle_half(values)))
    return text


class Goal:
    """`of` is "ratio" (product / limit) or "value" (the product's own); `at_most` or at least `bound`."""

    def __init__(self, of, relation, bound, unit=""):
        self.of, self.at_most, self.bound, self.unit = of, relation == "<=", bound, unit

    def met(self, value):
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self):
        relation = "<=" if self.at_most else ">="
        return f"{self.of if self.of == 'ratio' else ''} {relation} {self.bound:g} {self.unit}".strip()


class Figure:
    """Samples of the product and of its limit, round by round; either may have none."""

    def __init__(self, label, unit, product, limit=(), goal=None, limit_name=""):
        self.label, self.unit, self.goal, self.limit_name = label, unit, goal, limit_name
        self.product, self.limit = list(product), list(limit)

    def ratios(self):
        """Round by round: changes between the rounds, such as a disk's, cancel out."""
        return [p / q for p, q in zip(self.product, self.limit)]

    def mark(self):
        if not self.goal:
            return ""
        values = self.ratios() if self.goal.of == "ratio" else self.product
        met = self.goal.met(median(values))
        doubt = any(self.goal.met(value) != met for value in middle_half(values))
        return ("met" if met else "MISSED") + (" ?" if doubt else "")

    def row(self):
        limit = f"{spread(self.limit, self.unit)} {self.limit_name}".rstrip() if self.limit else ""
        ratio = spread(self.ratios()) if self.limit else ""
        return [self.label, spread(self.product, self.unit), limit, ratio, str(self.goal or ""), self.mark()]


class Table:
    """All figures by section, and notes beneath a section: figures that were not measured, and why."""

    def __init__(self):
        self.sections = []
        self.trouble = False

    def section(self, title):
        self.sections.append((title, [], []))

    def add(self, *args, **kwargs):
        self.sections[-1][1].append(Figure(*args, **kwargs))

    def note(self, text):
        self.sections[-1][2].append(text)

    def failed(self, text):
        self.note("FAILED: " + text)
        self.trouble = True

    def __str__(self):
        head = ["product", "limit", "product/limit", "goal", ""]
        rows = [figure.row() for _, figures, _ in self.sections for figure in figures]
        titles = [title for title, _, _ in self.sections]
        widths = [max(map(len, column)) for column in zip(["", *head], *rows)]
        widths[0] = max([widths[0] + 2, *map(len, titles)])
        lines = []
        for title, figures, notes in self.sections:
            lines += ["", _line([title, *(head if figures else [])], widths)]
            lines += [_line(["  " + label, *cells], widths) for label, *cells in (f.row() for f in figures)]
            lines += ["  " + note for note in notes]
        return "\n".join(lines)


def _line(cells, widths):
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
