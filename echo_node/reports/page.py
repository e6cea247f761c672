"""One page as PDF: words, a table, pictures and curves. The same input gives the same bytes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

import fontpkg_noto_sans
import noto_cjk_sans_jp_regular
import numpy as np
import numpy.typing as npt
import simplejpeg
from fpdf import FPDF
from fpdf.fonts import TTFFont
from pypdf import PdfReader, PdfWriter
from pypdf.generic import EncodedStreamObject

from echo_node.codes import Structure
from echo_node.errors import ReportError
from echo_node.pictures import COLOURS, Picture
from echo_node.reports.page_text import COLUMNS, TITLE, PageState, PageText

WIDTH, HEIGHT, MARGIN = 210.0, 297.0, 12.0  # mm, A4
BANNER = "AI. Research use, not for diagnosis"
UNKNOWN = "\ufffd"  # stands for a character that no font here has
_INNER = WIDTH - 2 * MARGIN
_FOOT_TOP = HEIGHT - 26.0
_FOOT_LINE, _STATE_LINES = 3.0, 2
_STATE_BEGINS = "% state of the page"  # a comment in the page's content stream
_ROW = 4.2  # mm
_TABLE_SIZE, _SMALLEST = 7.5, 5.5  # points
_MOST_ROWS = 24
_REMARKS_END = 168.0
_WIDTHS = (62.0, 15.0, 51.0, 17.0, 11.0, 30.0)  # of the table's columns, 186 together
_RIGHT_ALIGNED = (3, 4)
_CURVE_HEIGHT, _CAPTION, _LEGEND, _GAP = 23.0, 5.0, 5.0, 4.0
_LARGEST_PICTURE = 46.0
_JPEG_QUALITY = 90
_BLACK, _GREY, _LIGHT, _RED, _CURVE = (0, 0, 0), (110, 110, 110), (205, 205, 205), (178, 24, 24), (190, 130, 0)
_LATIN = Path(fontpkg_noto_sans.__file__).parent / "files" / "NotoSans[wdth,wght].ttf"
_EAST_ASIAN = Path(str(noto_cjk_sans_jp_regular.FONT_PATH))


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What is shown of one clip: two pictures and a curve, below each other."""

    caption: str
    pictures: tuple[tuple[str, Picture | None], ...]  # what it shows, RGB u8 [H,W,3]; None: cannot be decoded
    curve_name: str
    values: npt.NDArray[np.float64]  # [T]
    times_ms: npt.NDArray[np.float64]  # [T]
    moments: tuple[tuple[str, float], ...]  # name, ms
    structures: tuple[Structure, ...]  # outlined


def draw_page(text: PageText, panels: Sequence[Panel], *, made_at: datetime) -> bytes:
    """The page.

    Parameters
    ----------
    text : PageText
        Its words. What does not fit is counted on the page.
    panels : sequence of Panel
        At most three stand side by side.
    made_at : datetime
        Stands in the file as its date.

    Returns
    -------
    bytes
        A PDF file, its fonts embedded.
    """
    pdf = _blank()
    pdf.set_creation_date(made_at)
    pdf.set_title(TITLE)
    cells = (cell for row in text.rows for cell in row)
    state = (text.state.headline, text.state.sentence)
    readable = _Fonts(pdf, [*text.patient, *cells, *text.remarks, *text.foot, *state])
    top = _head(pdf, [readable.shown(line) for line in text.patient])
    top = _table(pdf, [tuple(map(readable.shown, row)) for row in text.rows], top + 2)
    top = _remarks(pdf, [readable.shown(line) for line in text.remarks], top + 1.5)
    _panels(pdf, panels[:3], top + 2)
    note = [f"{UNKNOWN} stands for a character that this page cannot show."] if readable.missing else []
    _foot(pdf, [*map(readable.shown, text.foot), *note])
    pdf._out(_STATE_BEGINS)  # fpdf2 has no public way to write a comment into a page
    _state(pdf, readable, text.state)
    return bytes(pdf.output())


def with_state(page: bytes, state: PageState) -> bytes:
    """A page of :func:`draw_page` with another state in the place of its own; all else is as it was.

    Parameters
    ----------
    page : bytes
        The PDF file.
    state : PageState
        Whether a person stands for it.

    Raises
    ------
    ReportError
        The page has no state that could be replaced: another version of the node drew it.
    """
    writer = PdfWriter(clone_from=BytesIO(page))
    drawn = writer.pages[0]
    stream = drawn["/Contents"].get_object()
    assert isinstance(stream, EncodedStreamObject), "fpdf2 writes one compressed stream a page"
    kept, found, _ = stream.get_data().partition(_STATE_BEGINS.encode())
    if not found:
        raise ReportError("the page says nowhere where its state stands")
    stream.set_data(kept)
    drawn.merge_page(PdfReader(BytesIO(_state_alone(state))).pages[0])
    drawn.compress_content_streams()
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _state_alone(state: PageState) -> bytes:
    pdf = _blank()
    _state(pdf, _Fonts(pdf, [state.headline, state.sentence]), state)
    return bytes(pdf.output())


def _blank() -> FPDF:
    pdf = FPDF(format="A4")
    pdf.set_auto_page_break(auto=False)
    pdf.set_margin(MARGIN)
    pdf.add_page()
    return pdf


class _Fonts:
    """Noto Sans, and the font of Chinese, Japanese and Korean where a character needs it."""

    def __init__(self, pdf: FPDF, words: Iterable[str]) -> None:
        # their messages quote the characters of names
        for name in ("fontTools", "fpdf"):
            logging.getLogger(name).setLevel(logging.ERROR)
        known = _added(pdf, "latin", _LATIN)
        wanted = {ord(character) for line in words for character in line}
        if wanted - known:
            known |= _added(pdf, "east asian", _EAST_ASIAN)
            pdf.set_fallback_fonts(["east asian"])
        self._known = known
        self.missing = any(chr(code).isprintable() for code in wanted - known)
        pdf.set_font("latin", size=8)

    def shown(self, line: str) -> str:
        """The line with a sign for each character that no font has; control characters become spaces."""
        return "".join(
            " " if not character.isprintable() else character if ord(character) in self._known else UNKNOWN
            for character in line
        )


def _added(pdf: FPDF, family: str, path: Path) -> set[int]:
    """Add a font; returns the characters that it has."""
    pdf.add_font(family, fname=path)
    font = pdf.fonts[family]
    assert isinstance(font, TTFFont)
    return set(font.cmap)


def _head(pdf: FPDF, patient: Sequence[str]) -> float:
    """Title, banner and whose study it is; returns where it ends."""
    pdf.set_xy(MARGIN, 9)
    pdf.set_font_size(14)
    pdf.cell(_INNER, 7, TITLE)
    pdf.set_xy(MARGIN, 10.5)
    _set(pdf, 10, _RED)
    pdf.cell(_INNER, 5, BANNER, align="R")
    pdf.set_xy(MARGIN, 20)
    for line, size in zip(patient, (9.5, 8.0), strict=True):
        _set(pdf, size, _BLACK)
        pdf.multi_cell(_INNER, size * 0.5, line, align="L", new_x="LMARGIN", new_y="NEXT")
    _rule(pdf, pdf.get_y() + 1, _BLACK)
    return float(pdf.get_y()) + 1


def _table(pdf: FPDF, rows: Sequence[tuple[str, ...]], top: float) -> float:
    _set(pdf, _TABLE_SIZE, _GREY)
    _row(pdf, COLUMNS, top)
    _rule(pdf, top + _ROW, _GREY)
    for number, row in enumerate(rows[:_MOST_ROWS], start=1):
        _set(pdf, _TABLE_SIZE, _BLACK)
        _row(pdf, row, top + number * _ROW)
        _rule(pdf, top + (number + 1) * _ROW, _LIGHT)
    end = top + (min(len(rows), _MOST_ROWS) + 1) * _ROW
    if len(rows) <= _MOST_ROWS:
        return end if rows else _line(pdf, "No number was measured.", end)
    return _line(pdf, f"{len(rows) - _MOST_ROWS} more numbers are not shown here.", end)


def _row(pdf: FPDF, cells: Sequence[str], top: float) -> None:
    left = MARGIN
    for position, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True)):
        pdf.set_xy(left, top)
        pdf.set_font_size(_TABLE_SIZE)
        pdf.cell(width, _ROW, _fitted(pdf, cell, width - 2), align="R" if position in _RIGHT_ALIGNED else "L")
        left += width


def _fitted(pdf: FPDF, text: str, width: float) -> str:
    """The text in smaller letters where it is too wide; if that is not enough its end is left out, visibly."""
    wanted = pdf.get_string_width(text)
    if wanted <= width:
        return text
    pdf.set_font_size(max(_SMALLEST, 0.98 * pdf.font_size_pt * width / wanted))
    if pdf.get_string_width(text) <= width:
        return text
    while text and pdf.get_string_width(text + "\u2026") > width:
        text = text[:-1]
    return text + "\u2026"


def _line(pdf: FPDF, text: str, top: float) -> float:
    _set(pdf, 7.5, _RED)
    pdf.set_xy(MARGIN, top)
    pdf.cell(_INNER, _ROW, text)
    return top + _ROW


def _remarks(pdf: FPDF, remarks: Sequence[str], top: float) -> float:
    """Paragraphs as far as there is room; returns where they end."""
    pdf.set_xy(MARGIN, top)
    for position, remark in enumerate(remarks):
        _set(pdf, 7.5, _BLACK)
        lines = pdf.multi_cell(_INNER, 3.6, remark, align="L", dry_run=True, output="LINES")
        assert isinstance(lines, list)
        if pdf.get_y() + 3.6 * len(lines) > _REMARKS_END:
            return _line(pdf, f"{len(remarks) - position} more remarks are not shown here.", pdf.get_y())
        pdf.multi_cell(_INNER, 3.6, remark, align="L", new_x="LMARGIN", new_y="NEXT")
    return float(pdf.get_y())


def _panels(pdf: FPDF, panels: Sequence[Panel], top: float) -> None:
    """Clips side by side."""
    width = (_INNER - 2 * _GAP) / 3
    room = _FOOT_TOP - top - _CAPTION - _CURVE_HEIGHT - _LEGEND - 2 * _GAP
    height = min(_LARGEST_PICTURE, room / 2)
    for position, panel in enumerate(panels):
        left = MARGIN + position * (width + _GAP)
        _set(pdf, 8, _BLACK)
        pdf.set_xy(left, top)
        pdf.cell(width, _CAPTION, panel.caption)
        for number, (name, picture) in enumerate(panel.pictures):
            at = top + _CAPTION + number * (height + 1)
            _picture(pdf, picture, name, (left, at, width, height))
        below = top + _CAPTION + 2 * (height + 1) + 2
        _curve(pdf, panel, (left, below, width, _CURVE_HEIGHT))
    _legend(pdf, panels)


def _picture(pdf: FPDF, picture: Picture | None, name: str, box: tuple[float, float, float, float]) -> None:
    """A picture on black, in the middle of its box, its aspect kept; without one, its name says why."""
    left, top, width, height = box
    pdf.set_fill_color(0, 0, 0)
    pdf.rect(left, top, width, height, style="F")
    if picture is None:
        name = f"{name}: cannot be decoded"
    else:
        _place(pdf, picture, box)
    _set(pdf, 7, (255, 255, 255))
    pdf.set_xy(left + 1, top + 0.5)
    pdf.cell(width, 4, name)


def _place(pdf: FPDF, picture: Picture, box: tuple[float, float, float, float]) -> None:
    left, top, width, height = box
    rows, cols = picture.shape[:2]
    scale = min(width / cols, height / rows)
    coded = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=_JPEG_QUALITY, colorsubsampling="444")
    at = left + (width - cols * scale) / 2, top + (height - rows * scale) / 2
    pdf.image(BytesIO(coded), x=at[0], y=at[1], w=cols * scale, h=rows * scale)


def _curve(pdf: FPDF, panel: Panel, box: tuple[float, float, float, float]) -> None:
    """Values from 0 up over time, with the moments that were measured."""
    left, top, width, height = box
    left, width, bottom = left + 8, width - 9, top + height - 4
    values, times = panel.values, panel.times_ms
    span = float(times[-1] - times[0]) or 1.0
    x = left + (times - times[0]) / span * width
    y = bottom - values / (1.15 * float(values.max()) or 1.0) * (bottom - top)
    pdf.set_line_width(0.2)
    pdf.set_draw_color(*_GREY)
    pdf.line(left, bottom, left + width, bottom)
    pdf.set_draw_color(*_CURVE)
    pdf.set_line_width(0.35)
    pdf.polyline([(float(a), float(b)) for a, b in zip(x, y, strict=True)])
    _set(pdf, 6.5, _GREY)
    for index in {int(np.argmax(values)), int(np.argmin(values))}:
        pdf.set_xy(left - 8, float(y[index]) - 1.5)
        pdf.cell(7, 3, f"{values[index]:.0f}", align="R")
    pdf.set_xy(left, bottom + 0.3)
    pdf.cell(width, 3.5, panel.curve_name)
    pdf.set_xy(left, bottom + 0.3)
    pdf.cell(width, 3.5, f"{span / 1000:.1f} s", align="R")
    _moments(pdf, panel, x, y)


def _moments(pdf: FPDF, panel: Panel, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    _set(pdf, 6.5, _BLACK)
    pdf.set_fill_color(*_BLACK)
    for name, at_ms in panel.moments:
        index = int(np.abs(panel.times_ms - at_ms).argmin())
        pdf.circle(float(x[index]), float(y[index]), 0.7, style="F")
        above = y[index] < y.mean()
        pdf.set_xy(float(x[index]), float(y[index]) - 3.6 if above else float(y[index]) + 0.6)
        pdf.cell(8, 3, name)


def _legend(pdf: FPDF, panels: Sequence[Panel]) -> None:
    """Which colour outlines what."""
    pdf.set_xy(MARGIN, _FOOT_TOP - _LEGEND)
    _set(pdf, 6.5, _GREY)
    for structure in Structure:
        if any(structure in panel.structures for panel in panels):
            pdf.set_fill_color(*COLOURS[structure])
            pdf.rect(pdf.get_x() + 1, pdf.get_y() + 0.8, 2, 2, style="F")
            pdf.set_x(pdf.get_x() + 3)
            words = structure.code.meaning
            pdf.cell(pdf.get_string_width(words) + 5, 3.6, words)


def _foot(pdf: FPDF, lines: Sequence[str]) -> None:
    _rule(pdf, _FOOT_TOP, _GREY)
    _set(pdf, 6.3, _GREY)
    pdf.set_xy(MARGIN, _FOOT_TOP + 1 + _STATE_LINES * _FOOT_LINE)
    for line in lines:
        pdf.multi_cell(_INNER, _FOOT_LINE, line, align="L", new_x="LMARGIN", new_y="NEXT")


def _state(pdf: FPDF, readable: _Fonts, state: PageState) -> None:
    """The headline below the banner, and the sentence in the room that the foot leaves for it."""
    _set(pdf, 8, _RED)
    pdf.set_xy(MARGIN, 15.5)
    pdf.cell(_INNER, 3.6, _fitted(pdf, readable.shown(state.headline), _INNER), align="R")
    _set(pdf, 6.3, _RED)
    pdf.set_xy(MARGIN, _FOOT_TOP + 1)
    pdf.multi_cell(_INNER, _FOOT_LINE, readable.shown(state.sentence), align="L", new_x="LMARGIN", new_y="NEXT")


def _rule(pdf: FPDF, top: float, colour: tuple[int, int, int]) -> None:
    pdf.set_line_width(0.1)
    pdf.set_draw_color(*colour)
    pdf.line(MARGIN, top, MARGIN + _INNER, top)


def _set(pdf: FPDF, size: float, colour: tuple[int, int, int]) -> None:
    pdf.set_font_size(size)
    pdf.set_text_color(*colour)
