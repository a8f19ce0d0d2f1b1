"""Text that fits the terminal: tables that never wrap and lose nothing."""

import re
import shutil
import textwrap

NARROW = 10  # letters of a head that a column of smaller numbers makes room for
LONG_WORD = 16  # letters of a head that are not broken
GAP = "  "
NUMBER = re.compile(r"-?\d+(\.\d*)?")


def width():
    """Letters in a line of the terminal, or as COLUMNS says; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def hanging(head, text, most=None):
    """Lines of `head` and `text`, those after the first begin where the text began.

    most: letters in a line, None: any number
    """
    if most is None:
        return [head + text]
    indent = " " * min(len(head), most // 3)
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, most, initial_indent=head, subsequent_indent=indent, **options) or [
        head.rstrip()
    ]


def table(heads, rows, most=None):
    """Lines of a table.

    heads: (columns,) texts, the first of what names the rows; rows: each (columns,) texts
    most: letters in a line, None: any number
    Numbers are at the right, with their dots in a line. Where the table is too wide, heads take
    several lines, long names of rows one of their own, and columns go on below in a further block;
    rows with a text that is too long for this are told line by line.
    """
    if not rows:
        return []
    columns = [aligned(column) for column in zip(*rows, strict=True)]
    for broken in (False, True):
        parts = [Column(head, cells, broken) for head, cells in zip(heads, columns, strict=True)]
        if most is None or sum(len(GAP) + part.width for part in parts) - len(GAP) <= most:
            return block(parts)
    names, *parts = parts
    if max(part.width for part in parts) > most // 2:
        return told(heads, rows, most)
    alone = [name if len(name) > most // 3 else "" for name in names.cells]
    short = ["" if own else name for name, own in zip(names.cells, alone, strict=True)]
    names = Column(heads[0], short, broken=True)
    blocks, room = [], 0
    for part in parts:
        room -= len(GAP) + part.width
        if room < 0:
            blocks.append([names])
            room = most - names.width - len(GAP) - part.width
        blocks[-1].append(part)
    lines = [["", *block(columns, alone)] for columns in blocks]
    return sum(lines, [])[1:]


class Column:
    """A column of a table: the lines of its head, its cells and their width."""

    def __init__(self, head, cells, broken=False):
        """broken: whether the head may take several lines"""
        inside = max(map(len, cells), default=0)
        word = min(LONG_WORD, max(map(len, head.split()), default=0))
        self.head = (textwrap.wrap(head, max(inside, NARROW, word)) if broken else [head]) or [""]
        self.width = max(inside, *map(len, self.head))
        self.cells = cells
        texts = [cell.strip() for cell in cells]
        self.right = any(re.match(r"[-+−<]?\s?\d", text) for text in texts)
        self.right = self.right or not any(re.search(r"\w", text) for text in texts)

    def line(self, text):
        """A text of the column in its width."""
        return text.rjust(self.width) if self.right else text.ljust(self.width)


def block(columns, alone=()):
    """Lines of columns side by side.

    alone: (rows,) names that stand on a line before theirs, empty: none does
    """
    height = max(len(column.head) for column in columns)
    heads = [[""] * (height - len(column.head)) + column.head for column in columns]
    cells = [column.cells for column in columns]
    lines = [joined(columns, texts) for texts in zip(*heads, strict=True)]
    for row, texts in enumerate(zip(*cells, strict=True)):
        lines += [*alone[row : row + 1], joined(columns, texts)]
    return [line for line in lines if line]


def joined(columns, texts):
    """Texts of a line, one for each column, the first to the left."""
    first, *others = [column.line(text) for column, text in zip(columns, texts, strict=True)]
    return GAP.join([texts[0].ljust(len(first)), *others]).rstrip()


def told(heads, rows, most):
    """Lines of rows whose texts are too long for columns."""
    lines = []
    for first, *others in rows:
        said = [f"{heads[0]} {first}".strip()]
        long = []
        for head, text in zip(heads[1:], others, strict=True):
            if len(head) + len(text) > most // 3:
                long.append((f"{GAP}{head}: ", text))
            else:
                said.append(f"{head} {text}".strip())
        lines += hanging("", ", ".join(said), most)
        for head, text in long:
            lines += hanging(head, text, most)
    return lines


def aligned(texts):
    """Texts of a column; numbers get blanks behind them, so that their dots meet at the right."""
    texts = list(texts)
    if not all(NUMBER.fullmatch(text) or not re.search(r"\d", text) for text in texts):
        return texts
    numbers = [text if NUMBER.fullmatch(text) else "" for text in texts]
    behind = [len(text) - text.index(".") if "." in text else 0 for text in numbers]
    most = max(behind, default=0)
    return [
        text + " " * (most - own) if number else text
        for text, number, own in zip(texts, numbers, behind, strict=True)
    ]
