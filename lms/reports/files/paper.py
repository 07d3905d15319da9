"""A report as PDF on A4: the header of the table on every page, who made it at the foot."""

import io
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from lms.reports.shape import Kind, Look, Report, Row, shown

TALL_COLUMNS = 6  # as many fit upright
MARGIN = 15 * mm
FONT, BOLD, SIZE, SMALL = "Helvetica", "Helvetica-Bold", 8, 7
INDENT = 3 * mm
PADDING = 2 * mm
TEXT_WIDTH = 12 * mm  # the least a column of texts gets
HEAD = ParagraphStyle("head", fontName=BOLD, fontSize=13, leading=17)
ABOUT = ParagraphStyle("about", fontName=FONT, fontSize=9, leading=12)
LINE = ParagraphStyle("line", fontName=FONT, fontSize=SIZE, leading=SIZE + 2)
STRONG = ParagraphStyle("strong", parent=LINE, fontName=BOLD)


def write(report: Report, *, lender: str, made: str) -> bytes:
    """Return the document. `made` says by whom and when; it stands at the foot of each page."""
    file = io.BytesIO()
    size = A4 if len(report.columns) <= TALL_COLUMNS else landscape(A4)
    paper = SimpleDocTemplate(
        file,
        pagesize=size,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN + 5 * mm,
        title=report.title,
        author=lender,
        invariant=True,
    )

    def foot(canvas, document) -> None:
        canvas.setFont(FONT, SMALL)
        canvas.drawString(MARGIN, MARGIN, _printable(made))
        canvas.drawRightString(size[0] - MARGIN, MARGIN, f"Page {document.page}")

    story = [
        _text(lender, ABOUT),
        _text(report.title, HEAD),
        _text(" · ".join(report.about), ABOUT),
        Spacer(1, 4 * mm),
        _table(report, size[0] - 2 * MARGIN),
        Spacer(1, 3 * mm),
        *(_text(note, ABOUT) for note in report.notes),
    ]
    paper.build(story, onFirstPage=foot, onLaterPages=foot)
    return file.getvalue()


def _table(report: Report, width: float) -> LongTable:
    kinds = [column.kind for column in report.columns]
    head = [
        column.title if column.kind == Kind.MONEY else _text(column.title, STRONG)
        for column in report.columns
    ]
    lines = [_line(row, kinds) for row in report.rows]
    table = LongTable([head, *lines], colWidths=_widths(report, width), repeatRows=1)
    style = [
        ("FONT", (0, 0), (-1, -1), FONT, SIZE),
        ("FONT", (0, 0), (-1, 0), BOLD, SIZE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, colors.black),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
    ]
    for place, kind in enumerate(kinds):
        if kind == Kind.MONEY:
            style.append(("ALIGN", (place, 0), (place, -1), "RIGHT"))
            style.append(("RIGHTPADDING", (place, 0), (place, -1), 0))
            style.append(("LEFTPADDING", (place, 0), (place, -1), PADDING))
    for number, row in enumerate(report.rows, 1):
        if row.look != Look.LINE:
            style.append(("FONT", (0, number), (-1, number), BOLD, SIZE))
        if row.look in (Look.SUM, Look.TOTAL):
            style.append(("LINEABOVE", (0, number), (-1, number), 0.4, colors.black))
        if row.look == Look.TOTAL:
            style.append(("LINEBELOW", (0, number), (-1, number), 0.8, colors.black))
    table.setStyle(TableStyle(style))
    return table


def _line(row: Row, kinds: list[Kind]) -> list:
    style = LINE if row.look == Look.LINE else STRONG
    cells = []
    for place, (cell, kind) in enumerate(zip(row.cells, kinds, strict=True)):
        text = shown(cell.value)
        if kind == Kind.TEXT and text:
            indent = row.level * INDENT if place == 0 else 0
            cells.append(_text(text, ParagraphStyle("in", parent=style, leftIndent=indent)))
        else:
            cells.append(_printable(text))
    return cells


def _widths(report: Report, width: float) -> list[float]:
    """Return the widths of the columns: amounts and days get what they need, texts the rest."""
    needs = []
    for place, column in enumerate(report.columns):
        texts = [column.title, *(shown(row.cells[place].value) for row in report.rows)]
        deepest = max((row.level for row in report.rows), default=0) if place == 0 else 0
        longest = max(stringWidth(_printable(text), BOLD, SIZE) for text in texts)
        needs.append(longest + deepest * INDENT + PADDING + 1)
    texts = [p for p, column in enumerate(report.columns) if column.kind == Kind.TEXT]
    left = width - sum(need for place, need in enumerate(needs) if place not in texts)
    # Those that need less than an equal share get it first; what they leave is for the long ones.
    for number, place in enumerate(sorted(texts, key=needs.__getitem__)):
        needs[place] = min(needs[place], max(left / (len(texts) - number), TEXT_WIDTH))
        left -= needs[place]
    if texts and left > 0:
        needs[texts[0]] += left
    return needs


def _text(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(_printable(text)), style)


def _printable(text: str) -> str:
    """Return the text in the letters that every PDF reader has, others as a question mark."""
    return text.encode("cp1252", "replace").decode("cp1252")
